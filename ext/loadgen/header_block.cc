#include "loadgen/header_block.h"

#include <array>
#include <optional>

namespace penstock::loadgen {

namespace {

constexpr std::uint64_t kFirstDynamic = 62;
constexpr std::uint64_t kEntryOverhead = 32;

// First bytes of a representation (RFC 7541, 6), and how many bits of them are left for a number.
struct Form {
  std::uint8_t pattern;
  int bits;
};
constexpr Form kIndexed{0x80, 7};
constexpr Form kLiteralIndexing{0x40, 6};
constexpr Form kLiteral{0x00, 4};
constexpr Form kTableSize{0x20, 5};
constexpr Form kPlainString{0x00, 7};

// RFC 7541, 5.1.
void put_number(std::string& out, Form form, std::uint64_t number) {
  const std::uint64_t most = (std::uint64_t{1} << form.bits) - 1;
  if (number < most) {
    out += static_cast<char>(form.pattern | number);
    return;
  }
  out += static_cast<char>(form.pattern | most);
  for (number -= most; number >= 0x80; number >>= 7U) out += static_cast<char>((number & 0x7fU) | 0x80U);
  out += static_cast<char>(number);
}

void put_string(std::string& out, std::string_view text) {
  put_number(out, kPlainString, text.size());
  out += text;
}

// Of the static table (RFC 7541, appendix A) what gRPC requests can use: `value` empty means the name alone.
struct StaticEntry {
  std::string_view name;
  std::string_view value;
  std::uint64_t index;
};
constexpr std::array<StaticEntry, 7> kStatic{{
    {":authority", "", 1},
    {":method", "POST", 3},
    {":path", "", 4},
    {":scheme", "http", 6},
    {"authorization", "", 23},
    {"content-type", "", 31},
    {"user-agent", "", 58},
}};

std::optional<StaticEntry> found(std::string_view name) {
  for (const StaticEntry& entry : kStatic)
    if (entry.name == name) return entry;
  return std::nullopt;
}

void put_literal(std::string& out, Form form, std::string_view name, std::string_view value) {
  const auto entry = found(name);
  put_number(out, form, entry ? entry->index : 0);
  if (!entry) put_string(out, name);
  put_string(out, value);
}

}  // namespace

HeaderBlock::HeaderBlock(const Fields& fields) {
  const auto whole = [](const auto& field) {
    const auto entry = found(field.first);
    return entry && !entry->value.empty() && entry->value == field.second ? entry->index : 0;
  };
  std::uint64_t entries = 0;
  for (const auto& field : fields)
    if (whole(field) == 0) ++entries;
  // The entry that was made last has the lowest index.
  std::uint64_t index = kFirstDynamic + entries;
  for (const auto& field : fields) {
    const auto& [name, value] = field;
    if (const std::uint64_t fixed = whole(field); fixed != 0) {
      for (std::string* out : {&indexing_, &indexed_, &literal_}) put_number(*out, kIndexed, fixed);
      continue;
    }
    put_literal(indexing_, kLiteralIndexing, name, value);
    put_literal(literal_, kLiteral, name, value);
    put_number(indexed_, kIndexed, --index);
    table_bytes_ += name.size() + value.size() + kEntryOverhead;
  }
}

std::string HeaderBlock::table_update(std::uint32_t bytes) {
  std::string out;
  put_number(out, kTableSize, 0);
  put_number(out, kTableSize, bytes);
  return out;
}

}  // namespace penstock::loadgen
