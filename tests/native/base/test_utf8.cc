#include <doctest/doctest.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/utf8.h"

using penstock::is_utf8;

namespace {

// Decodes by arithmetic, and checks what came out: another way than the table's.
bool reference(std::string_view text) {
  std::size_t at = 0;
  while (at < text.size()) {
    const auto lead = static_cast<unsigned char>(text[at++]);
    std::uint32_t point = lead;
    std::size_t more = 0;
    if (lead >= 0x80) {
      if ((lead & 0xE0) == 0xC0) {
        more = 1;
        point = lead & 0x1FU;
      } else if ((lead & 0xF0) == 0xE0) {
        more = 2;
        point = lead & 0x0FU;
      } else if ((lead & 0xF8) == 0xF0) {
        more = 3;
        point = lead & 0x07U;
      } else {
        return false;
      }
    }
    for (std::size_t i = 0; i < more; ++i) {
      if (at == text.size()) return false;
      const auto next = static_cast<unsigned char>(text[at++]);
      if ((next & 0xC0) != 0x80) return false;
      point = point << 6 | (next & 0x3FU);
    }
    constexpr std::uint32_t kLeast[]{0, 0x80, 0x800, 0x10000};
    if (point < kLeast[more] || point > 0x10FFFF || (point >= 0xD800 && point <= 0xDFFF)) return false;
  }
  return true;
}

}  // namespace

TEST_CASE("every sequence of one to three bytes is judged as Unicode does") {
  std::size_t wrong = 0;
  std::size_t valid = 0;
  std::string text;
  for (std::size_t size = 1; size <= 3; ++size) {
    text.assign(size, '\0');
    const std::uint32_t end = 1U << (8 * size);
    for (std::uint32_t bits = 0; bits < end; ++bits) {
      for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<char>(bits >> (8 * i));
      const bool good = is_utf8(text);
      wrong += good != reference(text) ? 1 : 0;
      valid += good ? 1 : 0;
    }
  }
  CHECK(wrong == 0);
  CHECK(valid > 2'000'000);  // ASCII alone is 128 + 128^2 + 128^3
}

TEST_CASE("sequences of four bytes and more, and their place in a word, are judged as Unicode does") {
  std::uint64_t state = 88172645463325252U;
  const auto random = [&state] {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return static_cast<std::uint32_t>(state >> 32);
  };
  std::size_t wrong = 0;
  std::size_t valid = 0;
  for (int i = 0; i < 1'000'000; ++i) {
    std::string text(random() % 12, 'a');
    text += static_cast<char>(0xF0 | (random() & 0x07));
    for (int more = 0; more < 3; ++more)
      text += static_cast<char>(random() % 16 == 0 ? random() : 0x80 | (random() & 0x3F));
    text.append(random() % 12, 'z');
    const bool good = is_utf8(text);
    wrong += good != reference(text) ? 1 : 0;
    valid += good ? 1 : 0;
  }
  CHECK(wrong == 0);
  CHECK(valid > 100'000);
}

TEST_CASE("a character cut off by the end is not UTF-8, wherever the end lies") {
  const std::string whole = "aaaaaaaaaaaaaaa\xF0\x9F\x9A\x82";
  for (std::size_t skip = 0; skip < 15; ++skip) {
    CHECK(is_utf8(whole.substr(skip)));
    for (std::size_t cut = 1; cut < 4; ++cut) {
      CHECK_FALSE(is_utf8(whole.substr(skip, whole.size() - skip - cut)));
    }
  }
  CHECK(is_utf8(""));
}
