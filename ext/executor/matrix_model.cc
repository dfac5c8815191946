#include "executor/matrix_model.h"

#include <utility>

namespace penstock::executor {

MatrixModel::MatrixModel(std::string what, DataType dtype, std::int64_t width, std::int64_t values_a_row,
                         std::int64_t contributions_a_row)
    : what_(std::move(what)), width_(width), input_{"features", dtype, {-1, width}} {
  outputs_.push_back({"prediction", DataType::kFp64, {-1}});
  if (values_a_row > 1) outputs_[kPrediction].shape.push_back(values_a_row);
  if (contributions_a_row > 0)
    outputs_.push_back({"contributions", DataType::kFp64, {-1, contributions_a_row}});
}

Status MatrixModel::check(std::span<const TensorView> inputs, std::span<const std::uint32_t> wanted) const {
  bool fits = inputs.size() == 1 && wanted.size() <= outputs_.size();
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    fits = fits && wanted[i] < outputs_.size() && (i == 0 || wanted[i] != wanted[0]);
  }
  if (!fits) {
    return {Code::kInternal, what_ + " takes one input and gives " + std::to_string(outputs_.size()) +
                                 " outputs at most, each once"};
  }
  const TensorView& features = inputs.front();
  if (features.dtype != DataType::kFp64 && features.dtype != DataType::kFp32) {
    return invalid_argument("'features' is " + std::string(datatype_name(features.dtype)) +
                            ", expected FP64 or FP32");
  }
  if (features.shape.size() != 2 || features.shape[0] < 0 || features.shape[1] != width_ ||
      features.elements / width_ != features.shape[0] || features.elements % width_ != 0) {
    std::string shape;
    for (const std::int64_t size : features.shape) shape += (shape.empty() ? "" : ",") + std::to_string(size);
    return invalid_argument("'features' has shape [" + shape + "], expected [-1," + std::to_string(width_) +
                            "]");
  }
  return Status::ok();
}

std::size_t MatrixModel::values_a_row(std::uint32_t output) const noexcept {
  const std::vector<std::int64_t>& shape = outputs_[output].shape;
  return shape.size() > 1 ? static_cast<std::size_t>(shape[1]) : 1;
}

TensorView MatrixModel::view(std::uint32_t output, std::int64_t rows, std::span<const double> values,
                             Arena& arena) const {
  const TensorSpec& spec = outputs_[output];
  const std::span<std::int64_t> shape = arena.uninitialised<std::int64_t>(spec.shape.size());
  shape[0] = rows;
  if (shape.size() > 1) shape[1] = spec.shape[1];
  return {spec.name, DataType::kFp64, shape, static_cast<std::int64_t>(values.size()), values.data()};
}

}  // namespace penstock::executor
