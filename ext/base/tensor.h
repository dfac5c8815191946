// TensorView: a named tensor whose bytes and strings belong to somebody else.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/datatype.h"

namespace penstock {

// One element of a BYTES tensor. `data` is null for a missing string (in process only: the wire has none).
// Same layout as penstock_string of transform/column.h.
struct StringRef {
  const char* data = nullptr;
  std::int64_t size = 0;

  std::string_view view() const noexcept {
    return data == nullptr ? std::string_view{} : std::string_view{data, static_cast<std::size_t>(size)};
  }
};

// Row-major. Whoever hands one out says how long its memory lives.
// Numbers: `data` is little-endian, aligned to the element, `elements * datatype_size(dtype)` bytes long.
// BYTES: `data` is an array of `elements` StringRef.
struct TensorView {
  std::string_view name;
  DataType dtype = DataType::kInvalid;
  std::span<const std::int64_t> shape;
  std::int64_t elements = 0;
  const void* data = nullptr;

  std::size_t byte_size() const noexcept {  // of numbers; 0 for BYTES
    return static_cast<std::size_t>(elements) * datatype_size(dtype);
  }
  std::span<const std::byte> bytes() const noexcept {
    return {static_cast<const std::byte*>(data), byte_size()};
  }
  std::span<const StringRef> strings() const noexcept {
    return {static_cast<const StringRef*>(data), static_cast<std::size_t>(elements)};
  }
};

// What a model or bundle says of one of its tensors. A dimension of -1 takes any size; the first one is rows.
struct TensorSpec {
  std::string name;
  DataType dtype = DataType::kInvalid;
  std::vector<std::int64_t> shape;
};

}  // namespace penstock
