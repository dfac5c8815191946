#include "executor/lightgbm_fields.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace penstock::executor::lgbm {
namespace {

// Adds "key=value" to `fields`. `key` may not come twice: the library would silently take the last.
Status add_field(std::string_view line, const std::string& where, Fields* fields) {
  const std::size_t equals = line.find('=');
  if (equals == std::string_view::npos || equals == 0) {
    return bad(where, "expected a line 'name=value', found " + quoted(line));
  }
  const std::string_view key = line.substr(0, equals);
  const std::string_view value = line.substr(equals + 1);
  if (!std::ranges::all_of(key, [](char c) { return (c >= 'a' && c <= 'z') || c == '_'; })) {
    return bad(where, "expected a field's name, found " + quoted(key));
  }
  const bool free_text = key == "feature_names" || key == "monotone_constraints";
  if (value.starts_with('=') || (!free_text && value.find('=') != std::string_view::npos)) {
    return bad(where, "field '" + std::string(key) + "' has a second '='");
  }
  if (!fields->emplace(key, value).second) return bad(where, "field '" + std::string(key) + "' comes twice");
  return Status::ok();
}

}  // namespace

Status bad(const std::string& where, std::string_view what) {
  return invalid_argument("LightGBM model text, " + where + ": " + std::string(what));
}

std::string quoted(std::string_view text) {
  constexpr std::size_t kLongest = 40;
  std::string out = "'";
  for (const char c : text.substr(0, kLongest)) {
    out += static_cast<unsigned char>(c) < ' ' || c == '\x7f' ? '?' : c;
  }
  return out + (text.size() > kLongest ? "...'" : "'");
}

std::optional<double> parse_real(std::string_view text) {
  std::string_view rest = text;
  const bool negative = rest.starts_with('-');
  if (negative) rest.remove_prefix(1);
  if (rest == "nan") return std::numeric_limits<double>::quiet_NaN();
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  if (rest == "inf") return negative ? -kInfinity : kInfinity;
  const auto digits = [&rest] {
    std::size_t count = 0;
    while (count < rest.size() && rest[count] >= '0' && rest[count] <= '9') ++count;
    rest.remove_prefix(count);
    return count;
  };
  const bool leading_zero = rest.starts_with('0');
  const std::size_t whole = digits();
  if (whole == 0 || (leading_zero && whole > 1)) return std::nullopt;
  if (rest.starts_with('.')) {
    rest.remove_prefix(1);
    if (digits() == 0) return std::nullopt;
  }
  if (rest.starts_with('e')) {
    rest.remove_prefix(1);
    if (rest.starts_with('-') || rest.starts_with('+')) rest.remove_prefix(1);
    if (digits() == 0) return std::nullopt;
  }
  double value = 0;
  const std::from_chars_result read = std::from_chars(text.data(), text.data() + text.size(), value);
  if (!rest.empty() || read.ec != std::errc{}) return std::nullopt;
  return value;
}

std::optional<std::string_view> Words::next() noexcept {
  std::size_t start = 0;
  while (start < rest_.size() && rest_[start] == ' ') ++start;
  if (start == rest_.size()) return std::nullopt;
  std::size_t end = start;
  while (end < rest_.size() && rest_[end] != ' ') ++end;
  const std::string_view word = rest_.substr(start, end - start);
  rest_.remove_prefix(end);
  return word;
}

std::size_t count_words(std::string_view text) {
  std::size_t count = 0;
  for (Words words(text); words.next();) ++count;
  return count;
}

std::string_view take_line(std::string_view* rest) noexcept {
  const std::string_view line = rest->substr(0, rest->find('\n'));
  rest->remove_prefix(std::min(line.size() + 1, rest->size()));
  return line;
}

Status Section::text(std::string_view key, std::string_view* value) const {
  const auto found = fields_.find(key);
  if (found == fields_.end()) return bad(where_, "field '" + std::string(key) + "' is missing");
  *value = found->second;
  return Status::ok();
}

Status Section::integer(std::string_view key, std::int32_t least, std::int32_t most,
                        std::int32_t* value) const {
  std::string_view given;
  PENSTOCK_RETURN_IF_ERROR(text(key, &given));
  const std::optional<std::int32_t> parsed = parse_integer<std::int32_t>(given);
  if (!parsed || *parsed < least || *parsed > most) {
    return bad(where_, std::string(key) + "=" + quoted(given) + " is not a whole number from " +
                           std::to_string(least) + " to " + std::to_string(most));
  }
  *value = *parsed;
  return Status::ok();
}

Status Section::reals(std::string_view key, std::size_t count, std::vector<double>* values,
                      bool normal) const {
  std::string_view given;
  PENSTOCK_RETURN_IF_ERROR(text(key, &given));
  values->clear();
  for (Words words(given); const std::optional<std::string_view> word = words.next();) {
    const std::optional<double> value = parse_real(*word);
    if (!value || (normal && std::fpclassify(*value) == FP_SUBNORMAL)) {
      return bad(where_,
                 std::string(key) + "[" + std::to_string(values->size()) + "] is " + quoted(*word) +
                     (value ? ", too near to zero for LightGBM to read back" : ", expected a number"));
    }
    values->push_back(*value);
  }
  return counted(key, values->size(), count);
}

Status Section::counted(std::string_view key, std::size_t found, std::size_t expected) const {
  if (found == expected) return Status::ok();
  return bad(where_, std::string(key) + " has " + std::to_string(found) + " values, expected " +
                         std::to_string(expected));
}

Status take_header(std::string_view* rest, Fields* fields, bool* averages) {
  const std::string where = "header";
  if (take_line(rest) != "tree") {
    return bad(where, "the first line is not 'tree': this is no LightGBM model saved as text");
  }
  *averages = false;
  while (!rest->empty() && !rest->starts_with("Tree=") && !rest->starts_with("end of trees")) {
    const std::string_view line = take_line(rest);
    *averages = *averages || line == "average_output";
    if (line.empty() || line == "average_output") continue;
    PENSTOCK_RETURN_IF_ERROR(add_field(line, where, fields));
  }
  return Status::ok();
}

Status tree_fields(std::string_view text, std::size_t index, Fields* fields) {
  const std::string where = "tree " + std::to_string(index);
  const std::string title = "Tree=" + std::to_string(index);
  if (const std::string_view line = take_line(&text); line != title) {
    return bad(where, "tree_sizes points at " + quoted(line) + ", expected '" + title + "'");
  }
  constexpr std::size_t kMostFields = 22;  // the library leaves the rest unread
  while (!text.empty() && !text.starts_with('\n')) {
    PENSTOCK_RETURN_IF_ERROR(add_field(take_line(&text), where, fields));
    if (fields->size() > kMostFields) {
      return bad(where, "more than " + std::to_string(kMostFields) + " fields");
    }
  }
  if (text.empty() || text.find_first_not_of('\n') != std::string_view::npos) {
    return bad(where, "the tree does not end where tree_sizes says");
  }
  return Status::ok();
}

}  // namespace penstock::executor::lgbm
