#include "codec/parameters.h"

#include <algorithm>
#include <bit>
#include <string>

#include "base/utf8.h"

namespace penstock::codec {
namespace {

// InferParameter's oneof.
constexpr std::uint32_t kBool = 1;
constexpr std::uint32_t kInt64 = 2;
constexpr std::uint32_t kString = 3;
constexpr std::uint32_t kDouble = 4;
constexpr std::uint32_t kUint64 = 5;
// A map entry's fields.
constexpr std::uint32_t kKey = 1;
constexpr std::uint32_t kValue = 2;

// Up to here a doubled key is looked for among the entries before; beyond, sorting is cheaper.
constexpr std::size_t kFewParameters = 16;

Status not_utf8(std::string_view what, std::string_view field) {
  return invalid_argument(std::string(what) + ".parameters: a " + std::string(field) + " is not valid UTF-8");
}

// Into a value that may hold an earlier occurrence's: the last member set counts.
Status decode_value(WireReader reader, std::string_view what, ParameterValue* value) {
  WireField field;
  while (reader.next(&field)) {
    switch (field.tag) {
      case wire_tag(kBool, WireType::kVarint):
        *value = field.bits != 0;
        break;
      case wire_tag(kInt64, WireType::kVarint):
        *value = static_cast<std::int64_t>(field.bits);
        break;
      case wire_tag(kString, WireType::kLength):
        if (!is_utf8(as_text(field.bytes))) return not_utf8(what, "string_param");
        *value = as_text(field.bytes);
        break;
      case wire_tag(kDouble, WireType::kFixed64):
        *value = std::bit_cast<double>(field.bits);
        break;
      case wire_tag(kUint64, WireType::kVarint):
        *value = field.bits;
        break;
      default:
        break;
    }
  }
  return reader.failed() ? reader.error(std::string(what) + ".parameters") : Status::ok();
}

Status decode_entry(WireReader reader, std::string_view what, Parameter* parameter) {
  WireField field;
  while (reader.next(&field)) {
    if (field.tag == wire_tag(kKey, WireType::kLength)) {
      if (!is_utf8(as_text(field.bytes))) return not_utf8(what, "key");
      parameter->name = as_text(field.bytes);
    } else if (field.tag == wire_tag(kValue, WireType::kLength)) {
      PENSTOCK_RETURN_IF_ERROR(decode_value(reader.nested(field.bytes), what, &parameter->value));
    }
  }
  return reader.failed() ? reader.error(std::string(what) + ".parameters") : Status::ok();
}

// Leaves the last entry of each key, packed to the front; their number.
std::size_t drop_doubled(std::span<Parameter> entries, Arena& arena) {
  if (entries.size() <= kFewParameters) {
    std::size_t kept = 0;
    for (const Parameter& entry : entries) {
      const auto end = entries.begin() + static_cast<std::ptrdiff_t>(kept);
      const auto same = std::find_if(entries.begin(), end,
                                     [&](const Parameter& earlier) { return earlier.name == entry.name; });
      if (same == end) ++kept;
      *same = entry;
    }
    return kept;
  }
  const std::span<Parameter> in_order = arena.array<Parameter>(entries.size());
  const std::span<std::size_t> order = arena.uninitialised<std::size_t>(entries.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::ranges::sort(order, [&](std::size_t a, std::size_t b) {
    const int names = entries[a].name.compare(entries[b].name);
    return names != 0 ? names < 0 : a < b;
  });
  std::size_t kept = 0;
  for (std::size_t i = 0; i < order.size(); ++i) {
    const bool last = i + 1 == order.size() || entries[order[i]].name != entries[order[i + 1]].name;
    if (last) in_order[kept++] = entries[order[i]];
  }
  std::ranges::copy(in_order.first(kept), entries.begin());
  return kept;
}

std::size_t value_size(const ParameterValue& value) {
  if (const auto* flag = std::get_if<bool>(&value)) return 1 + varint_size(*flag);
  if (const auto* number = std::get_if<std::int64_t>(&value)) {
    return 1 + varint_size(static_cast<std::uint64_t>(*number));
  }
  if (const auto* text = std::get_if<std::string_view>(&value)) return length_field_size(text->size());
  if (std::holds_alternative<double>(value)) return 1 + sizeof(double);
  if (const auto* number = std::get_if<std::uint64_t>(&value)) return 1 + varint_size(*number);
  return 0;
}

}  // namespace

Status decode_parameters(WireReader message, std::uint32_t tag, std::size_t count, std::string_view what,
                         Arena& arena, std::span<const Parameter>* parameters) {
  const std::span<Parameter> entries = arena.array<Parameter>(count);
  std::size_t filled = 0;
  WireField field;
  while (filled < count && message.next(&field)) {
    if (field.tag != tag) continue;
    PENSTOCK_RETURN_IF_ERROR(decode_entry(message.nested(field.bytes), what, &entries[filled]));
    ++filled;
  }
  *parameters = entries.first(drop_doubled(entries.first(filled), arena));
  return Status::ok();
}

std::size_t parameter_entry_size(const Parameter& parameter) {
  return text_field_size(parameter.name) + length_field_size(value_size(parameter.value));
}

void put_parameter_entry(const Parameter& parameter, WireWriter* out) {
  out->put_text(kKey, parameter.name);
  out->put_header(kValue, value_size(parameter.value));
  // A member of a oneof is written even when it is zero or empty: that it is set is its meaning.
  if (const auto* flag = std::get_if<bool>(&parameter.value)) {
    out->put_tag(kBool, WireType::kVarint);
    out->put_varint(*flag);
  } else if (const auto* signed_number = std::get_if<std::int64_t>(&parameter.value)) {
    out->put_tag(kInt64, WireType::kVarint);
    out->put_varint(static_cast<std::uint64_t>(*signed_number));
  } else if (const auto* text = std::get_if<std::string_view>(&parameter.value)) {
    out->put_header(kString, text->size());
    out->put_bytes(text->data(), text->size());
  } else if (const auto* real = std::get_if<double>(&parameter.value)) {
    out->put_tag(kDouble, WireType::kFixed64);
    out->put_bytes(real, sizeof *real);
  } else if (const auto* number = std::get_if<std::uint64_t>(&parameter.value)) {
    out->put_tag(kUint64, WireType::kVarint);
    out->put_varint(*number);
  }
}

}  // namespace penstock::codec
