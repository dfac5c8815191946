// UTF-8 well-formedness, as Unicode 15 table 3-7 defines it (no surrogates, no overlong forms, nothing past
// U+10FFFF).
#pragma once

#include <string_view>

namespace penstock {

bool is_utf8(std::string_view text) noexcept;

}  // namespace penstock
