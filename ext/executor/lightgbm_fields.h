// The lines of a LightGBM model text: lists of words, numbers, and "name=value" fields.
#pragma once

#include <charconv>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/status.h"

namespace penstock::executor::lgbm {

// INVALID_ARGUMENT with the place in the text.
Status bad(const std::string& where, std::string_view what);

// Part of the text for a message: short, and without what would break its line.
std::string quoted(std::string_view text);

// The library's integer parser wraps around and stops at the first odd character; this one takes plain
// decimal numbers of the type's range only, which both read alike.
template <typename Integer>
std::optional<Integer> parse_integer(std::string_view text) {
  Integer value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// A number as LightGBM writes it. Only what all three parsers of the library take: anything else ends the
// process, since it throws inside a parallel loop and again on the way out.
std::optional<double> parse_real(std::string_view text);

// The words of a list; runs of blanks separate them, as they do for the library.
class Words {
 public:
  explicit Words(std::string_view text) noexcept : rest_(text) {}
  std::optional<std::string_view> next() noexcept;

 private:
  std::string_view rest_;
};

std::size_t count_words(std::string_view text);

// Cuts the next line, without its end, off `rest`.
std::string_view take_line(std::string_view* rest) noexcept;

// Views into the text.
using Fields = std::unordered_map<std::string_view, std::string_view>;

// The fields of the header or of one tree, with typed access that names the field in errors.
class Section {
 public:
  Section(std::string where, Fields fields) : where_(std::move(where)), fields_(std::move(fields)) {}

  const std::string& where() const noexcept { return where_; }
  bool has(std::string_view key) const { return fields_.contains(key); }

  Status text(std::string_view key, std::string_view* value) const;
  Status integer(std::string_view key, std::int32_t least, std::int32_t most, std::int32_t* value) const;

  // Exactly `count` integers from `least` to `most`.
  template <typename Integer>
  Status integers(std::string_view key, std::size_t count, Integer least, Integer most,
                  std::vector<Integer>* values) const {
    std::string_view given;
    PENSTOCK_RETURN_IF_ERROR(text(key, &given));
    values->clear();
    for (Words words(given); const std::optional<std::string_view> word = words.next();) {
      const std::optional<Integer> parsed = parse_integer<Integer>(*word);
      if (!parsed || *parsed < least || *parsed > most) {
        return bad(where_, std::string(key) + "[" + std::to_string(values->size()) + "] is " + quoted(*word) +
                               ", expected a whole number from " + std::to_string(least) + " to " +
                               std::to_string(most));
      }
      values->push_back(*parsed);
    }
    return counted(key, values->size(), count);
  }

  // Exactly `count` numbers; infinite ones and NaN are numbers. `normal`: of the fields that the library
  // reads with std::stod, which throws for the numbers nearest to zero.
  Status reals(std::string_view key, std::size_t count, std::vector<double>* values,
               bool normal = false) const;

 private:
  Status counted(std::string_view key, std::size_t found, std::size_t expected) const;

  std::string where_;
  Fields fields_;
};

// Takes the lines before the first tree off `rest`. `averages`: whether the sums are divided by the number of
// iterations, as a random forest's are.
Status take_header(std::string_view* rest, Fields* fields, bool* averages);

// The fields of the tree at `index`. `text` is what tree_sizes gives it: its title, its fields, and the blank
// lines that end it.
Status tree_fields(std::string_view text, std::size_t index, Fields* fields);

}  // namespace penstock::executor::lgbm
