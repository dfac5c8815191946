// WireReader: the fields of one protobuf message, in the order of the wire, over bytes that stay the
// caller's. Source: the protobuf encoding specification; what it leaves open (over-long varints, nesting)
// follows protobuf's own parser. Owned by one thread; holds no memory.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

#include "base/status.h"

namespace penstock::codec {

static_assert(std::endian::native == std::endian::little, "the wire is little-endian, and is read in place");

using Bytes = std::span<const std::byte>;

enum class WireType : std::uint8_t {
  kVarint = 0,
  kFixed64 = 1,
  kLength = 2,
  kStartGroup = 3,
  kEndGroup = 4,
  kFixed32 = 5,
};

constexpr std::uint32_t wire_tag(std::uint32_t number, WireType type) {
  return number << 3 | static_cast<std::uint32_t>(type);
}

inline std::string_view as_text(Bytes bytes) noexcept {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

struct WireField {
  // Number and wire type in one, as on the wire: a known number with another type is an unknown field.
  std::uint32_t tag = 0;
  std::uint64_t bits = 0;  // of a varint, fixed64 or fixed32
  Bytes bytes;             // of a length-delimited field
};

// One varint at `*at`, which moves behind it. At most ten bytes; bits past the 64th are dropped, as protobuf
// does. False when it does not end before `end`, or is longer.
bool read_long_varint(const std::byte** at, const std::byte* end, std::uint64_t* value) noexcept;

inline bool read_varint(const std::byte** at, const std::byte* end, std::uint64_t* value) noexcept {
  if (*at != end && static_cast<std::uint8_t>(**at) < 0x80) {
    *value = static_cast<std::uint8_t>(*(*at)++);
    return true;
  }
  return read_long_varint(at, end, value);
}

class WireReader {
 public:
  // Messages and groups may nest this deep, the outermost included.
  static constexpr int kMaxDepth = 100;

  explicit WireReader(Bytes message, int depth = kMaxDepth) noexcept
      : start_(message.data()), at_(start_), end_(start_ + message.size()), depth_(depth) {}

  // For a message that is the content of a field of this one.
  WireReader nested(Bytes message) const noexcept { return WireReader(message, depth_ - 1); }

  // The next field that is not a group (no message of ours has one: they are skipped). False at the end, or
  // when the bytes are no protobuf message: then failed().
  bool next(WireField* field) noexcept {
    while (at_ != end_) {
      std::uint32_t tag = 0;
      if (!read_tag(&tag)) return fail();
      switch (static_cast<WireType>(tag & 7)) {
        case WireType::kVarint:
          if (!read_varint(&at_, end_, &field->bits)) return fail();
          break;
        case WireType::kFixed64:
          if (!read_fixed<std::uint64_t>(&field->bits)) return fail();
          break;
        case WireType::kFixed32:
          if (!read_fixed<std::uint32_t>(&field->bits)) return fail();
          break;
        case WireType::kLength:
          if (!read_length(&field->bytes)) return fail();
          break;
        case WireType::kStartGroup:
          if (!skip_group(tag >> 3, depth_)) return fail();
          continue;
        default:  // the end of a group that never began, or a wire type that does not exist
          return fail();
      }
      field->tag = tag;
      return true;
    }
    return false;
  }

  bool failed() const noexcept { return failed_; }

  // INVALID_ARGUMENT for a failed() reader; `what` names the message, as in "ModelInferRequest.inputs[2]".
  Status error(std::string_view what) const;

 private:
  bool fail() noexcept {
    failed_ = true;
    return false;
  }

  bool read_tag(std::uint32_t* tag) noexcept {
    const auto first = static_cast<std::uint8_t>(*at_);
    if (first < 0x80) {
      ++at_;
      *tag = first;
      return first >= 8;  // field number 0 is none
    }
    return read_long_tag(tag);
  }

  template <typename T>
  bool read_fixed(std::uint64_t* bits) noexcept {
    if (static_cast<std::size_t>(end_ - at_) < sizeof(T)) return false;
    T value = 0;
    std::memcpy(&value, at_, sizeof value);
    at_ += sizeof value;
    *bits = value;
    return true;
  }

  bool read_length(Bytes* bytes) noexcept {
    std::size_t length = 0;
    if (at_ != end_ && static_cast<std::uint8_t>(*at_) < 0x80) {
      length = static_cast<std::uint8_t>(*at_++);
    } else if (!read_long_length(&length)) {
      return false;
    }
    if (length > static_cast<std::size_t>(end_ - at_)) return false;
    *bytes = {at_, length};
    at_ += length;
    return true;
  }

  bool read_long_tag(std::uint32_t* tag) noexcept;
  bool read_long_length(std::size_t* length) noexcept;
  bool skip_group(std::uint32_t number, int depth) noexcept;

  const std::byte* start_;
  const std::byte* at_;
  const std::byte* end_;
  int depth_;
  bool failed_ = false;
};

}  // namespace penstock::codec
