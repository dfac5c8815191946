#include "transform/refusal.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <cstring>
#include <string>

#include "base/datatype.h"
#include "base/utf8.h"

namespace penstock::transform {

namespace {

constexpr std::size_t kLongestText = 64;  // bytes of a value that a message shows

// The length of the UTF-8 character that `text` starts with, or 0 when it starts with none.
std::size_t character_length(std::string_view text) noexcept {
  for (std::size_t length = 1; length <= std::min<std::size_t>(4, text.size()); ++length) {
    if (is_utf8(text.substr(0, length))) return length;
  }
  return 0;
}

std::string quoted_text(std::string_view text) {
  static constexpr std::string_view kHex = "0123456789abcdef";
  std::string shown = "\"";
  std::size_t at = 0;
  while (at < text.size() && at < kLongestText) {
    const std::size_t length = character_length(text.substr(at));
    const auto byte = static_cast<unsigned char>(text[at]);
    if (length == 0 || byte < 0x20 || byte == 0x7F) {
      shown += {'\\', 'x', kHex[byte >> 4U], kHex[byte & 0xFU]};
      at += 1;
      continue;
    }
    if (byte == '"' || byte == '\\') shown += '\\';
    shown += text.substr(at, length);
    at += length;
  }
  shown += '"';
  if (at < text.size()) shown += "... (" + std::to_string(text.size()) + " bytes)";
  return shown;
}

template <typename T>
T read(const std::byte* at) noexcept {
  T value;
  std::memcpy(&value, at, sizeof(T));
  return value;
}

template <typename T>
std::string shortest(T value) {
  std::array<char, 32> digits{};
  const std::to_chars_result end = std::to_chars(digits.data(), digits.data() + digits.size(), value);
  return {digits.data(), end.ptr};
}

std::string value_at(const penstock_column& column, std::int64_t row) {
  const auto* at = static_cast<const std::byte*>(column.data) + row * column.stride;
  switch (static_cast<DataType>(column.dtype)) {
    case DataType::kBool:
      return read<std::uint8_t>(at) != 0 ? "true" : "false";
    case DataType::kUint8:
      return std::to_string(read<std::uint8_t>(at));
    case DataType::kUint16:
      return std::to_string(read<std::uint16_t>(at));
    case DataType::kUint32:
      return std::to_string(read<std::uint32_t>(at));
    case DataType::kUint64:
      return std::to_string(read<std::uint64_t>(at));
    case DataType::kInt8:
      return std::to_string(read<std::int8_t>(at));
    case DataType::kInt16:
      return std::to_string(read<std::int16_t>(at));
    case DataType::kInt32:
      return std::to_string(read<std::int32_t>(at));
    case DataType::kInt64:
      return std::to_string(read<std::int64_t>(at));
    case DataType::kFp32:
      return shortest(read<float>(at));
    case DataType::kFp64:
      return shortest(read<double>(at));
    case DataType::kBytes: {
      const auto text = read<penstock_string>(at);
      if (text.data == nullptr) return "a missing value";
      return quoted_text({text.data, static_cast<std::size_t>(text.size)});
    }
    default:
      return "a value of " + std::string(datatype_name(static_cast<DataType>(column.dtype)));
  }
}

}  // namespace

Status refusal(std::string_view step, std::span<const penstock_column> columns, std::int64_t row,
               std::int64_t rows, std::int64_t first) {
  std::string message(step);
  if (row < 0 || row >= rows) {
    message += " refused row " + std::to_string(row) + " of " + std::to_string(rows);
    return {Code::kInternal, std::move(message)};
  }
  message += " refused row " + std::to_string(first + row);
  if (!columns.empty()) message += ": " + value_at(columns.front(), row);
  return invalid_argument(std::move(message));
}

}  // namespace penstock::transform
