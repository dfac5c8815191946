#include "codec/wire_reader.h"

#include <string>

namespace penstock::codec {
namespace {

constexpr int kMaxVarintBytes = 10;
constexpr int kMaxTagBytes = 5;  // also of a length: both are 32-bit numbers

// As read_long_varint(), of at most `longest` bytes.
bool read_bounded_varint(const std::byte** at, const std::byte* end, int longest,
                         std::uint64_t* value) noexcept {
  std::uint64_t sum = 0;
  const std::byte* here = *at;
  for (int i = 0; i < longest; ++i) {
    if (here == end) return false;
    const auto byte = static_cast<std::uint8_t>(*here++);
    sum |= static_cast<std::uint64_t>(byte & 0x7F) << (7 * i);
    if (byte < 0x80) {
      *at = here;
      *value = sum;
      return true;
    }
  }
  return false;
}

}  // namespace

bool read_long_varint(const std::byte** at, const std::byte* end, std::uint64_t* value) noexcept {
  return read_bounded_varint(at, end, kMaxVarintBytes, value);
}

bool WireReader::read_long_tag(std::uint32_t* tag) noexcept {
  std::uint64_t value = 0;
  if (!read_bounded_varint(&at_, end_, kMaxTagBytes, &value) || value > UINT32_MAX || value < 8) return false;
  *tag = static_cast<std::uint32_t>(value);
  return true;
}

bool WireReader::read_long_length(std::size_t* length) noexcept {
  std::uint64_t value = 0;
  if (!read_bounded_varint(&at_, end_, kMaxTagBytes, &value) || value > INT32_MAX) return false;
  *length = static_cast<std::size_t>(value);
  return true;
}

bool WireReader::skip_group(std::uint32_t number, int depth) noexcept {
  if (depth <= 0) return false;
  while (at_ != end_) {
    std::uint32_t tag = 0;
    std::uint64_t bits = 0;
    Bytes bytes;
    if (!read_tag(&tag)) return false;
    bool fits = false;
    switch (static_cast<WireType>(tag & 7)) {
      case WireType::kVarint:
        fits = read_varint(&at_, end_, &bits);
        break;
      case WireType::kFixed64:
        fits = read_fixed<std::uint64_t>(&bits);
        break;
      case WireType::kFixed32:
        fits = read_fixed<std::uint32_t>(&bits);
        break;
      case WireType::kLength:
        fits = read_length(&bytes);
        break;
      case WireType::kStartGroup:
        fits = skip_group(tag >> 3, depth - 1);
        break;
      case WireType::kEndGroup:
        return tag >> 3 == number;
    }
    if (!fits) return false;
  }
  return false;
}

Status WireReader::error(std::string_view what) const {
  return invalid_argument("malformed protobuf: " + std::string(what) +
                          " is cut off or holds an impossible field " + "near its byte " +
                          std::to_string(at_ - start_) + " of " + std::to_string(end_ - start_));
}

}  // namespace penstock::codec
