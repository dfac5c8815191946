// UTF-8 well-formedness, as Unicode 15 table 3-7 defines it (no surrogates, no overlong forms, nothing past
// U+10FFFF).
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace penstock {

// Not zero where a byte of the text is no ASCII. Most text is, and this is a fraction of what
// is_utf8_beyond_ascii() costs. A short text is read by two words that overlap.
inline std::uint64_t beyond_ascii(std::string_view text) noexcept {
  constexpr std::uint64_t kHighBits = 0x8080808080808080U;
  const char* const at = text.data();
  const std::size_t size = text.size();
  std::uint64_t found = 0;
  if (size >= sizeof(std::uint64_t)) {
    std::uint64_t word = 0;
    for (std::size_t i = 0; i + sizeof word < size; i += sizeof word) {
      std::memcpy(&word, at + i, sizeof word);
      found |= word;
    }
    std::memcpy(&word, at + size - sizeof word, sizeof word);
    return (found | word) & kHighBits;
  }
  if (size >= sizeof(std::uint32_t)) {
    std::uint32_t first = 0;
    std::uint32_t last = 0;
    std::memcpy(&first, at, sizeof first);
    std::memcpy(&last, at + size - sizeof last, sizeof last);
    return (first | last) & kHighBits;
  }
  for (const char byte : text) found |= static_cast<unsigned char>(byte);
  return found & kHighBits;
}

// As is_utf8(), for text that is likely to be more than ASCII.
bool is_utf8_beyond_ascii(std::string_view text) noexcept;

inline bool is_utf8(std::string_view text) noexcept {
  return beyond_ascii(text) == 0 || is_utf8_beyond_ascii(text);
}

}  // namespace penstock
