// A program of one C kernel, for tests.
#pragma once

#include <cstring>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "engine/requests.h"
#include "transform/program.h"

namespace penstock::engine::testing {

// Copies its column into the output, times the state's factor; refuses negative values.
inline int scale(const void* raw, const penstock_column* in, penstock_column* out, std::int64_t rows) {
  const auto* state = static_cast<const penstock_state*>(raw);
  const double factor = *static_cast<const double*>(state->arrays[0].data);
  for (std::int64_t row = 0; row < rows; ++row) {
    const double value =
        *reinterpret_cast<const double*>(static_cast<const std::byte*>(in[0].data) + row * in[0].stride);
    if (value < 0) return static_cast<int>(row) + 1;
    *reinterpret_cast<double*>(static_cast<std::byte*>(out[0].data) + row * out[0].stride) = value * factor;
  }
  return 0;
}

// A program of columns c0, c1, ..., the i-th times i + 1, into the matrix "x".
inline std::shared_ptr<const transform::Program> scaled(std::int32_t columns) {
  transform::ProgramSpec spec;
  for (std::int32_t i = 0; i < columns; ++i) {
    const std::string name = "c" + std::to_string(i);
    spec.inputs.push_back({name, DataType::kFp64, {-1}});
    spec.slots.push_back({DataType::kFp64, name, i, -1, 0});
  }
  for (std::int32_t i = 0; i < columns; ++i) {
    spec.slots.push_back({DataType::kFp64, "out" + std::to_string(i), -1, 0, i});
    const double factor = i + 1;
    transform::ProgramSpec::Array array{DataType::kFp64, std::vector<std::byte>(sizeof factor)};
    std::memcpy(array.bytes.data(), &factor, sizeof factor);
    spec.steps.push_back({"scale(c" + std::to_string(i) + ")", scale, {array}, {i}, {columns + i}, 0});
  }
  spec.outputs = {{"x", DataType::kFp64, columns, false}};
  std::unique_ptr<transform::Program> program;
  const Status status = transform::Program::make(std::move(spec), &program);
  if (!status.is_ok()) throw std::runtime_error(status.message());
  return program;
}

inline Tensor column(std::string name, std::vector<double> values) {
  return {std::move(name), "FP64", {static_cast<std::int64_t>(values.size())}, raw_bytes(values)};
}

}  // namespace penstock::engine::testing
