// The small parts of gRPC's framing over HTTP/2: message prefix, grpc-timeout, percent-encoded grpc-message.
// Source: the gRPC over HTTP/2 specification.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace penstock::codec {

inline constexpr std::size_t kPrefixBytes = 5;

struct MessagePrefix {
  std::uint8_t flag = 0;     // 0: not compressed, 1: compressed; anything else is an error of the sender
  std::uint32_t length = 0;  // of the message behind the prefix
};

MessagePrefix read_prefix(std::span<const std::byte, kPrefixBytes> bytes) noexcept;
void write_prefix(std::span<std::byte, kPrefixBytes> bytes, std::uint32_t length) noexcept;

// Nanoseconds of a grpc-timeout header ("100m", "5S"; at most 8 digits and a unit of H M S m u n), saturating
// at INT64_MAX; nothing for a malformed one.
std::optional<std::int64_t> parse_timeout(std::string_view header) noexcept;

// grpc-message: printable ASCII but '%' as it is, every other byte as %XX.
std::string percent_encode(std::string_view text);

}  // namespace penstock::codec
