// Small kernels and specs for the tests of Program.
#pragma once

#include <cstddef>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <utility>
#include <vector>

#include "transform/program.h"

namespace penstock::transform::testing {

inline penstock_column column(const void* data, std::int64_t stride, DataType dtype) {
  return {const_cast<void*>(data), stride, static_cast<std::int32_t>(dtype), 1};
}

template <typename T>
T& at(const penstock_column& column, std::int64_t row) {
  return *reinterpret_cast<T*>(static_cast<std::byte*>(column.data) + row * column.stride);
}

template <typename T>
ProgramSpec::Array array(DataType dtype, const std::vector<T>& values) {
  ProgramSpec::Array made{dtype, std::vector<std::byte>(values.size() * sizeof(T))};
  if (!values.empty()) std::memcpy(made.bytes.data(), values.data(), made.bytes.size());
  return made;
}

// Each output is the input of the same index plus that element of the first array.
inline int add(const void* raw, const penstock_column* in, penstock_column* out, std::int64_t rows) {
  const auto* state = static_cast<const penstock_state*>(raw);
  const auto* addend = static_cast<const double*>(state->arrays[0].data);
  for (std::int64_t c = 0; c < state->outputs; ++c) {
    for (std::int64_t row = 0; row < rows; ++row) {
      at<double>(out[c], row) = at<double>(in[c], row) + addend[c];
    }
  }
  return 0;
}

// Copies strings; refuses the first row that holds "ZZ" or nothing.
inline int copy_text(const void*, const penstock_column* in, penstock_column* out, std::int64_t rows) {
  for (std::int64_t row = 0; row < rows; ++row) {
    const auto text = at<penstock_string>(in[0], row);
    if (text.data == nullptr || (text.size == 2 && std::memcmp(text.data, "ZZ", 2) == 0)) {
      return static_cast<int>(row) + 1;
    }
    at<penstock_string>(out[0], row) = text;
  }
  return 0;
}

// Inputs a and b, FP64; "features" [n, 2] is {a + 11, b + 2}. Slot 2 is scratch, 3 and 4 are the matrix.
inline ProgramSpec two_steps() {
  ProgramSpec spec;
  spec.inputs = {{"a", DataType::kFp64, {-1}}, {"b", DataType::kFp64, {-1}}};
  spec.slots = {{DataType::kFp64, "a", 0, -1, 0},
                {DataType::kFp64, "b", 1, -1, 0},
                {DataType::kFp64, "scratch", -1, -1, 0},
                {DataType::kFp64, "x", -1, 0, 0},
                {DataType::kFp64, "y", -1, 0, 1}};
  spec.steps.push_back({"first", add, {array<double>(DataType::kFp64, {1.0, 2.0})}, {0, 1}, {2, 4}, 0});
  spec.steps.push_back({"second", add, {array<double>(DataType::kFp64, {10.0})}, {2}, {3}, 0});
  spec.outputs = {{"features", DataType::kFp64, 2, false}};
  return spec;
}

inline Status build(ProgramSpec spec) {
  std::unique_ptr<Program> program;
  return Program::make(std::move(spec), &program);
}

inline std::unique_ptr<Program> built(ProgramSpec spec) {
  std::unique_ptr<Program> program;
  const Status status = Program::make(std::move(spec), &program);
  if (!status.is_ok()) throw std::runtime_error(status.message());
  return program;
}

}  // namespace penstock::transform::testing
