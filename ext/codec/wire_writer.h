// WireWriter: protobuf fields into memory that was measured before.
// Every put has a size function; whoever writes allocates the sum first. Owned by one thread.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "codec/wire_reader.h"

namespace penstock::codec {

constexpr std::size_t varint_size(std::uint64_t value) {
  return (static_cast<std::size_t>(std::bit_width(value | 1)) + 6) / 7;
}

// Of a length-delimited field with its tag, for field numbers below 16.
constexpr std::size_t length_field_size(std::size_t content) { return 1 + varint_size(content) + content; }

// proto3 leaves out a singular string that is empty.
constexpr std::size_t text_field_size(std::string_view text) {
  return text.empty() ? 0 : length_field_size(text.size());
}

class WireWriter {
 public:
  explicit WireWriter(std::byte* at) noexcept : at_(at) {}

  std::byte* at() const noexcept { return at_; }

  void put_varint(std::uint64_t value) noexcept {
    while (value >= 0x80) {
      *at_++ = static_cast<std::byte>(value | 0x80);
      value >>= 7;
    }
    *at_++ = static_cast<std::byte>(value);
  }

  void put_tag(std::uint32_t number, WireType type) noexcept { put_varint(wire_tag(number, type)); }

  void put_bytes(const void* data, std::size_t size) noexcept {
    if (size == 0) return;  // `data` may be null then
    std::memcpy(at_, data, size);
    at_ += size;
  }

  // The tag and length of a length-delimited field; its content comes next.
  void put_header(std::uint32_t number, std::size_t content) noexcept {
    put_tag(number, WireType::kLength);
    put_varint(content);
  }

  void put_text(std::uint32_t number, std::string_view text) noexcept {
    if (text.empty()) return;
    put_header(number, text.size());
    put_bytes(text.data(), text.size());
  }

 private:
  std::byte* at_;
};

}  // namespace penstock::codec
