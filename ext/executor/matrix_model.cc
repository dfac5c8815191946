#include "executor/matrix_model.h"

#include <utility>

namespace penstock::executor {

MatrixModel::MatrixModel(std::string what, DataType dtype, std::int64_t width, std::int64_t values_a_row)
    : what_(std::move(what)),
      width_(width),
      input_{"features", dtype, {-1, width}},
      output_{"prediction", DataType::kFp64, {-1}} {
  if (values_a_row > 1) output_.shape.push_back(values_a_row);
}

Status MatrixModel::check(std::span<const TensorView> inputs, std::span<const std::uint32_t> wanted) const {
  if (inputs.size() != 1 || wanted.size() > 1 || (wanted.size() == 1 && wanted[0] != 0)) {
    return {Code::kInternal, what_ + " takes one input and gives one output"};
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

void MatrixModel::answer(std::int64_t rows, std::span<double> prediction, Arena& arena,
                         Results* results) const {
  const std::span<std::int64_t> shape = arena.uninitialised<std::int64_t>(output_.shape.size());
  shape[0] = rows;
  if (shape.size() > 1) shape[1] = output_.shape[1];
  const std::span<TensorView> tensors = arena.array<TensorView>(1);
  tensors[0] = {output_.name, DataType::kFp64, shape, static_cast<std::int64_t>(prediction.size()),
                prediction.data()};
  results->tensors = tensors;
}

}  // namespace penstock::executor
