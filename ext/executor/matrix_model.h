// MatrixModel: what models of one matrix have in common: `features`, FP64 or FP32 [rows, width], to
// `prediction`, FP64 [rows] or [rows, values], and some of them to `contributions`, FP64 [rows, ...], for who
// asks.
#pragma once

#include <cstdint>
#include <new>
#include <span>
#include <string>
#include <vector>

#include "base/arena.h"
#include "base/status.h"
#include "base/tensor.h"
#include "executor/executor.h"

namespace penstock::executor {

// Immutable; used by any number of threads.
class MatrixModel {
 public:
  static constexpr std::uint32_t kPrediction = 0;
  static constexpr std::uint32_t kContributions = 1;

  // `what` is the model in a message, as in "a linear model"; `dtype` is what the input is told to be.
  // Without contributions these have no values a row.
  MatrixModel(std::string what, DataType dtype, std::int64_t width, std::int64_t values_a_row,
              std::int64_t contributions_a_row = 0);

  std::span<const TensorSpec> inputs() const noexcept { return {&input_, 1}; }
  std::span<const TensorSpec> outputs() const noexcept { return outputs_; }

  // Executor::run(). `compute(output, features, values)` gives a Status, and fills the values of one output,
  // [rows, values a row], which are not initialised; it may throw std::bad_alloc.
  template <typename Compute>
  Status run(std::span<const TensorView> inputs, std::span<const std::uint32_t> wanted, Arena& arena,
             Results* results, Compute&& compute) const {
    results->release();
    PENSTOCK_RETURN_IF_ERROR(check(inputs, wanted));
    const TensorView& features = inputs.front();
    const std::int64_t rows = features.shape[0];
    try {
      const std::span<TensorView> tensors = arena.array<TensorView>(wanted.size());
      for (std::size_t i = 0; i < wanted.size(); ++i) {
        const std::span<double> values =
            arena.uninitialised<double>(static_cast<std::size_t>(rows) * values_a_row(wanted[i]));
        PENSTOCK_RETURN_IF_ERROR(compute(wanted[i], features, values));
        tensors[i] = view(wanted[i], rows, values, arena);
      }
      results->tensors = tensors;
      return Status::ok();
    } catch (const std::bad_alloc&) {
      return {Code::kResourceExhausted, "no memory left for the model's predictions"};
    }
  }

 private:
  // Whether a run's arguments are one matrix of the width and outputs that there are, each once. The
  // executors behind it read by pointer alone, so this is checked whatever the caller did.
  Status check(std::span<const TensorView> inputs, std::span<const std::uint32_t> wanted) const;
  // How many values an output has for each row.
  std::size_t values_a_row(std::uint32_t output) const noexcept;
  // Values of an output, which live in `arena`, as a tensor. Throws std::bad_alloc.
  TensorView view(std::uint32_t output, std::int64_t rows, std::span<const double> values,
                  Arena& arena) const;

  std::string what_;
  std::int64_t width_;
  TensorSpec input_;
  std::vector<TensorSpec> outputs_;
};

}  // namespace penstock::executor
