// HTTP/2 frames (RFC 9113, 4 and 6): their headers, and the numbers in them.
#pragma once

#include <nghttp2/nghttp2.h>

#include <cstddef>
#include <cstdint>
#include <string>

namespace penstock::loadgen {

inline constexpr std::size_t kFrameHeaderBytes = 9;
inline constexpr std::size_t kDefaultFrameBytes = 16'384;  // of a payload, unless the peer takes more
inline constexpr std::int64_t kDefaultWindow = 65'535;
inline constexpr std::int64_t kMostWindow = 0x7fffffff;
inline constexpr std::uint32_t kDefaultTableBytes = 4096;

struct FrameHeader {
  std::size_t length;  // of the payload
  std::uint8_t type;
  std::uint8_t flags;
  std::uint32_t stream;
};

inline std::uint32_t number_at(const std::uint8_t* bytes) noexcept {
  return static_cast<std::uint32_t>(bytes[0]) << 24U | static_cast<std::uint32_t>(bytes[1]) << 16U |
         static_cast<std::uint32_t>(bytes[2]) << 8U | bytes[3];
}

inline FrameHeader frame_header_at(const std::uint8_t* bytes) noexcept {
  return {number_at(bytes) >> 8U, bytes[3], bytes[4], number_at(bytes + 5) & 0x7fffffffU};
}

inline void put_number(std::string& out, std::uint32_t value, int bytes = 4) {
  for (int shift = (bytes - 1) * 8; shift >= 0; shift -= 8)
    out += static_cast<char>(static_cast<unsigned char>(value >> shift));
}

inline void put_frame_header(std::string& out, const FrameHeader& header) {
  put_number(out, static_cast<std::uint32_t>(header.length), 3);
  out += static_cast<char>(header.type);
  out += static_cast<char>(header.flags);
  put_number(out, header.stream);
}

}  // namespace penstock::loadgen
