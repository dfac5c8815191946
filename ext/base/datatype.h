// DataType: the element types of the Open Inference Protocol, version 2.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace penstock {

// The numbers are part of the kernel ABI and of saved transforms' state: append, never renumber.
enum class DataType : std::int32_t {
  kInvalid = 0,
  kBool = 1,
  kUint8 = 2,
  kUint16 = 3,
  kUint32 = 4,
  kUint64 = 5,
  kInt8 = 6,
  kInt16 = 7,
  kInt32 = 8,
  kInt64 = 9,
  kFp16 = 10,
  kFp32 = 11,
  kFp64 = 12,
  kBytes = 13,
  kBf16 = 14,
};

inline constexpr std::size_t kDataTypeCount = 15;

namespace internal {
struct DataTypeTraits {
  std::string_view name;
  std::size_t bytes;  // of one element on the wire; 0: variable
};
inline constexpr std::array<DataTypeTraits, kDataTypeCount> kDataTypes{{{"INVALID", 0},
                                                                        {"BOOL", 1},
                                                                        {"UINT8", 1},
                                                                        {"UINT16", 2},
                                                                        {"UINT32", 4},
                                                                        {"UINT64", 8},
                                                                        {"INT8", 1},
                                                                        {"INT16", 2},
                                                                        {"INT32", 4},
                                                                        {"INT64", 8},
                                                                        {"FP16", 2},
                                                                        {"FP32", 4},
                                                                        {"FP64", 8},
                                                                        {"BYTES", 0},
                                                                        {"BF16", 2}}};
}  // namespace internal

// The protocol's name of a type, as in "FP32".
constexpr std::string_view datatype_name(DataType type) {
  return internal::kDataTypes[static_cast<std::size_t>(type)].name;
}

// Bytes of one element in raw contents; 0 for BYTES, whose elements vary.
constexpr std::size_t datatype_size(DataType type) {
  return internal::kDataTypes[static_cast<std::size_t>(type)].bytes;
}

// The type of that name, exactly as the protocol writes it; nothing for any other text.
constexpr std::optional<DataType> datatype_from_name(std::string_view name) {
  for (std::size_t i = 1; i < kDataTypeCount; ++i) {
    if (internal::kDataTypes[i].name == name) return static_cast<DataType>(i);
  }
  return std::nullopt;
}

}  // namespace penstock
