// What came from the wire, as error messages show it.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace penstock::codec {

// 'text', cut to a length that fits into a gRPC trailer. `text` is valid UTF-8, and stays so.
std::string quote(std::string_view text);

// "[1, 30]"
std::string quote(std::span<const std::int64_t> shape);

}  // namespace penstock::codec
