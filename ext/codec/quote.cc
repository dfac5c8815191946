#include "codec/quote.h"

#include <algorithm>

namespace penstock::codec {

std::string quote(std::string_view text) {
  constexpr std::size_t kLongest = 128;
  std::string quoted = "'";
  if (text.size() <= kLongest) {
    quoted += text;
  } else {
    std::size_t cut = kLongest;
    while (cut > 0 && (static_cast<unsigned char>(text[cut]) & 0xC0) == 0x80)
      --cut;  // not within a character
    quoted += text.substr(0, cut);
    quoted += "...";
  }
  quoted += '\'';
  return quoted;
}

std::string quote(std::span<const std::int64_t> shape) {
  constexpr std::size_t kLongest = 16;
  std::string quoted = "[";
  for (std::size_t i = 0; i < std::min(shape.size(), kLongest); ++i) {
    if (i > 0) quoted += ", ";
    quoted += std::to_string(shape[i]);
  }
  if (shape.size() > kLongest) quoted += ", ...";
  quoted += ']';
  return quoted;
}

}  // namespace penstock::codec
