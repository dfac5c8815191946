// Inputs: a request's tensors matched with what a version takes, by name, datatype, shape and rows.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/arena.h"
#include "base/status.h"
#include "base/tensor.h"
#include "base/text_map.h"
#include "codec/infer_request.h"
#include "transform/column.h"

namespace penstock::engine {

// The name under which all columns of a numeric bundle may come as one tensor [rows, columns].
inline constexpr std::string_view kMatrixInput = "features";

// Immutable once made; used by any number of threads. All spans that it gives live in the arena or in the
// request.
class Inputs {
 public:
  // `columns`: the inputs are named columns, sent as [n] or [n, 1]; otherwise tensors of any rank.
  // `empty_is_missing` are names of BYTES inputs whose empty string stands for a missing value. `max_rows` 0:
  // no limit.
  static Status make(std::span<const TensorSpec> specs, bool columns,
                     std::span<const std::string> empty_is_missing, std::int64_t max_rows, Inputs* made);

  std::span<const TensorSpec> specs() const noexcept { return specs_; }
  // Whether one FP32 or FP64 tensor `features` may stand for all columns.
  bool takes_matrix() const noexcept { return takes_matrix_; }

  // The rows of a request that is not bound yet, for estimates: at least 1, and none that its elements do not
  // bear out.
  std::int64_t rows_of(const codec::InferRequest& request) const noexcept;

  // The request's tensors in the order of specs(), checked. INVALID_ARGUMENT names the tensor, what came and
  // what was expected.
  Status bind_tensors(const codec::InferRequest& request, Arena& arena, std::span<const TensorView>* bound,
                      std::int64_t* rows) const;

  // The same as columns for a transform::Program. `matrix` is set instead of `bound` when the request sent
  // one.
  Status bind_columns(const codec::InferRequest& request, Arena& arena,
                      std::span<const penstock_column>* bound, const TensorView** matrix,
                      std::int64_t* rows) const;

  // A matrix's columns, cast to the declared datatypes. INVALID_ARGUMENT where a value does not fit its
  // column.
  Status split_matrix(const TensorView& matrix, Arena& arena, std::span<const penstock_column>* bound) const;

 private:
  Status match(const codec::InferRequest& request, Arena& arena, std::span<const TensorView*>* found) const;
  Status check_rows(std::int64_t rows) const;
  Status check_matrix(const TensorView& matrix) const;

  std::vector<TensorSpec> specs_;
  std::vector<bool> empty_is_missing_;
  TextMap<std::uint32_t> by_name_;
  bool columns_ = false;
  bool takes_matrix_ = false;
  std::int64_t max_rows_ = 0;
};

// For messages: "FP32 [2, 30]".
std::string describe(DataType dtype, std::span<const std::int64_t> shape);

}  // namespace penstock::engine
