#include "codec/grpc_message.h"

namespace penstock::codec {

MessagePrefix read_prefix(std::span<const std::byte, kPrefixBytes> bytes) noexcept {
  std::uint32_t length = 0;
  for (const std::byte byte : bytes.subspan<1>()) length = length << 8 | static_cast<std::uint32_t>(byte);
  return {static_cast<std::uint8_t>(bytes[0]), length};
}

void write_prefix(std::span<std::byte, kPrefixBytes> bytes, std::uint32_t length) noexcept {
  bytes[0] = std::byte{0};
  for (std::size_t i = 1; i < kPrefixBytes; ++i) {
    bytes[i] = static_cast<std::byte>(length >> (8 * (kPrefixBytes - 1 - i)));
  }
}

std::optional<std::int64_t> parse_timeout(std::string_view header) noexcept {
  constexpr std::size_t kMaxDigits = 8;
  if (header.size() < 2 || header.size() > kMaxDigits + 1) return std::nullopt;
  std::int64_t amount = 0;
  for (const char digit : header.substr(0, header.size() - 1)) {
    if (digit < '0' || digit > '9') return std::nullopt;
    amount = amount * 10 + (digit - '0');
  }
  std::int64_t unit = 0;
  switch (header.back()) {
    case 'H':
      unit = 3'600'000'000'000;
      break;
    case 'M':
      unit = 60'000'000'000;
      break;
    case 'S':
      unit = 1'000'000'000;
      break;
    case 'm':
      unit = 1'000'000;
      break;
    case 'u':
      unit = 1'000;
      break;
    case 'n':
      unit = 1;
      break;
    default:
      return std::nullopt;
  }
  return amount > INT64_MAX / unit ? INT64_MAX : amount * unit;
}

std::string percent_encode(std::string_view text) {
  constexpr std::string_view kHex = "0123456789ABCDEF";
  std::string encoded;
  encoded.reserve(text.size());
  for (const char c : text) {
    if (c >= ' ' && c <= '~' && c != '%') {
      encoded += c;
    } else {
      const auto byte = static_cast<std::uint8_t>(c);
      encoded += '%';
      encoded += kHex[byte >> 4];
      encoded += kHex[byte & 15];
    }
  }
  return encoded;
}

}  // namespace penstock::codec
