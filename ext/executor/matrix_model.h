// MatrixModel: what models of one matrix have in common: `features`, FP64 or FP32 [rows, width], to
// `prediction`, FP64 [rows] or [rows, values].
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "base/arena.h"
#include "base/status.h"
#include "base/tensor.h"
#include "executor/executor.h"

namespace penstock::executor {

// Immutable; used by any number of threads.
class MatrixModel {
 public:
  // `what` is the model in a message, as in "a linear model"; `dtype` is what the input is told to be.
  MatrixModel(std::string what, DataType dtype, std::int64_t width, std::int64_t values_a_row);

  std::span<const TensorSpec> inputs() const noexcept { return {&input_, 1}; }
  std::span<const TensorSpec> outputs() const noexcept { return {&output_, 1}; }

  // Whether a run's arguments are one matrix of the width and at most the one output. The executors behind it
  // read by pointer alone, so this is checked whatever the caller did.
  Status check(std::span<const TensorView> inputs, std::span<const std::uint32_t> wanted) const;

  // `prediction` [rows * values], which lives in `arena`, as the run's result. Throws std::bad_alloc.
  void answer(std::int64_t rows, std::span<double> prediction, Arena& arena, Results* results) const;

 private:
  std::string what_;
  std::int64_t width_;
  TensorSpec input_;
  TensorSpec output_;
};

}  // namespace penstock::executor
