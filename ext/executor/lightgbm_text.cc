#include "executor/lightgbm_text.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

namespace penstock::executor {
namespace {

using Fields = std::unordered_map<std::string_view, std::string_view>;

Status bad(std::string where, std::string_view what) {
  return invalid_argument("LightGBM model text, " + std::move(where) + ": " + std::string(what));
}

std::string quoted(std::string_view text) {
  constexpr std::size_t kLongest = 40;
  std::string out = "'";
  for (const char c : text.substr(0, kLongest)) {
    out += static_cast<unsigned char>(c) < ' ' || c == '\x7f' ? '?' : c;
  }
  return out + (text.size() > kLongest ? "...'" : "'");
}

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
std::optional<double> parse_real(std::string_view text) {
  std::string_view rest = text;
  if (rest.starts_with('-')) rest.remove_prefix(1);
  if (rest == "nan" || rest == "inf") return std::numeric_limits<double>::quiet_NaN();
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

// The words of a list; runs of blanks separate them, as they do for the library.
class Words {
 public:
  explicit Words(std::string_view text) noexcept : rest_(text) {}

  std::optional<std::string_view> next() noexcept {
    std::size_t start = 0;
    while (start < rest_.size() && rest_[start] == ' ') ++start;
    if (start == rest_.size()) return std::nullopt;
    std::size_t end = start;
    while (end < rest_.size() && rest_[end] != ' ') ++end;
    const std::string_view word = rest_.substr(start, end - start);
    rest_.remove_prefix(end);
    return word;
  }

 private:
  std::string_view rest_;
};

std::size_t count_words(std::string_view text) {
  std::size_t count = 0;
  for (Words words(text); words.next();) ++count;
  return count;
}

// Cuts the next line, without its end, off `rest`.
std::string_view take_line(std::string_view* rest) noexcept {
  const std::string_view line = rest->substr(0, rest->find('\n'));
  rest->remove_prefix(std::min(line.size() + 1, rest->size()));
  return line;
}

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

// The fields of the header or of one tree, with typed access that names the field in errors.
class Section {
 public:
  Section(std::string where, Fields fields) : where_(std::move(where)), fields_(std::move(fields)) {}

  const std::string& where() const noexcept { return where_; }
  bool has(std::string_view key) const { return fields_.contains(key); }

  Status text(std::string_view key, std::string_view* value) const {
    const auto found = fields_.find(key);
    if (found == fields_.end()) return bad(where_, "field '" + std::string(key) + "' is missing");
    *value = found->second;
    return Status::ok();
  }

  Status integer(std::string_view key, std::int32_t least, std::int32_t most, std::int32_t* value) const {
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

  // `normal`: of the fields that the library reads with std::stod, which throws for the numbers nearest to
  // zero.
  Status reals(std::string_view key, std::size_t count, bool normal = false) const {
    std::string_view given;
    PENSTOCK_RETURN_IF_ERROR(text(key, &given));
    std::size_t found = 0;
    for (Words words(given); const std::optional<std::string_view> word = words.next(); ++found) {
      const std::optional<double> value = parse_real(*word);
      if (value && !(normal && std::fpclassify(*value) == FP_SUBNORMAL)) continue;
      return bad(where_,
                 std::string(key) + "[" + std::to_string(found) + "] is " + quoted(*word) +
                     (value ? ", too near to zero for LightGBM to read back" : ", expected a number"));
    }
    return counted(key, found, count);
  }

  Status reals_if_present(std::string_view key, std::size_t count) const {
    return has(key) ? reals(key, count) : Status::ok();
  }

 private:
  Status counted(std::string_view key, std::size_t found, std::size_t expected) const {
    if (found == expected) return Status::ok();
    return bad(where_, std::string(key) + " has " + std::to_string(found) + " values, expected " +
                           std::to_string(expected));
  }

  std::string where_;
  Fields fields_;
};

// A transform over classes writes as many values as the objective says, into room for as many as the header
// says.
Status check_objective(const Section& header, std::int32_t classes) {
  if (!header.has("objective")) return Status::ok();  // a custom one: scores come out as they are
  std::string_view objective;
  PENSTOCK_RETURN_IF_ERROR(header.text("objective", &objective));
  Words words(objective);
  if (!words.next()) return bad(header.where(), "objective is empty");
  for (constexpr std::string_view kClasses = "num_class:";
       const std::optional<std::string_view> word = words.next();) {
    if (!word->starts_with(kClasses)) continue;
    if (parse_integer<std::int32_t>(word->substr(kClasses.size())) == classes) continue;
    return bad(header.where(), "objective " + quoted(objective) +
                                   " does not agree with num_class=" + std::to_string(classes));
  }
  return Status::ok();
}

struct Header {
  std::int32_t features = 0;
  std::vector<std::uint64_t> tree_sizes;
};

// Consumes the lines before the first tree.
Status check_header(std::string_view* rest, Header* header) {
  const std::string where = "header";
  if (take_line(rest) != "tree") {
    return bad(where, "the first line is not 'tree': this is no LightGBM model saved as text");
  }
  Fields fields;
  while (!rest->empty() && !rest->starts_with("Tree=") && !rest->starts_with("end of trees")) {
    const std::string_view line = take_line(rest);
    if (line.empty() || line == "average_output") continue;
    PENSTOCK_RETURN_IF_ERROR(add_field(line, where, &fields));
  }
  const Section section(where, std::move(fields));
  constexpr std::int32_t kMost = std::numeric_limits<std::int32_t>::max() - 1;
  std::int32_t classes = 0;
  std::int32_t trees_an_iteration = 0;
  std::int32_t unused_label = 0;
  std::int32_t last_feature = 0;
  std::string_view words;
  PENSTOCK_RETURN_IF_ERROR(section.integer("num_class", 1, kMost, &classes));
  PENSTOCK_RETURN_IF_ERROR(section.integer("num_tree_per_iteration", classes, classes, &trees_an_iteration));
  PENSTOCK_RETURN_IF_ERROR(section.integer("label_index", 0, kMost, &unused_label));
  PENSTOCK_RETURN_IF_ERROR(section.integer("max_feature_idx", 0, kMost, &last_feature));
  header->features = last_feature + 1;
  for (const std::string_view key : {"feature_names", "feature_infos"}) {
    PENSTOCK_RETURN_IF_ERROR(section.text(key, &words));
    if (const std::size_t count = count_words(words); count != static_cast<std::size_t>(header->features)) {
      return bad(where, std::string(key) + " has " + std::to_string(count) + " entries, expected " +
                            std::to_string(header->features) + " (max_feature_idx + 1)");
    }
  }
  if (section.has("monotone_constraints")) {
    std::vector<std::int32_t> constraints;
    PENSTOCK_RETURN_IF_ERROR(section.integers<std::int32_t>(
        "monotone_constraints", static_cast<std::size_t>(header->features), -1, 1, &constraints));
  }
  PENSTOCK_RETURN_IF_ERROR(check_objective(section, classes));
  PENSTOCK_RETURN_IF_ERROR(section.text("tree_sizes", &words));
  const std::size_t trees = count_words(words);
  PENSTOCK_RETURN_IF_ERROR(section.integers<std::uint64_t>(
      "tree_sizes", trees, 1, std::numeric_limits<std::uint64_t>::max(), &header->tree_sizes));
  if (trees == 0 || trees % static_cast<std::size_t>(classes) != 0) {
    return bad(where,
               "tree_sizes lists " + std::to_string(trees) +
                   " trees, expected at least one and a multiple of num_class=" + std::to_string(classes));
  }
  return Status::ok();
}

// Each node but the root is the child of one node, and all are reached from the root. Leaf i stands as ~i.
Status check_children(const Section& tree, std::size_t leaves) {
  const std::size_t nodes = leaves - 1;
  const auto least = static_cast<std::int32_t>(-static_cast<std::int64_t>(leaves));
  const auto most = static_cast<std::int32_t>(nodes) - 1;
  std::vector<std::int32_t> left;
  std::vector<std::int32_t> right;
  PENSTOCK_RETURN_IF_ERROR(tree.integers<std::int32_t>("left_child", nodes, least, most, &left));
  PENSTOCK_RETURN_IF_ERROR(tree.integers<std::int32_t>("right_child", nodes, least, most, &right));
  if (nodes == 0) return Status::ok();
  std::vector<bool> node_seen(nodes);
  std::vector<bool> leaf_seen(leaves);
  std::vector<std::size_t> open{0};
  node_seen[0] = true;
  std::size_t reached = 1;
  while (!open.empty()) {
    const std::size_t parent = open.back();
    open.pop_back();
    for (const std::int32_t child : {left[parent], right[parent]}) {
      const auto index = static_cast<std::size_t>(child < 0 ? ~child : child);
      std::vector<bool>::reference seen = child < 0 ? leaf_seen[index] : node_seen[index];
      if (seen) {
        return bad(tree.where(), (child < 0 ? "leaf " : "node ") + std::to_string(index) +
                                     " is reached twice (again as a child of node " + std::to_string(parent) +
                                     ")");
      }
      seen = true;
      ++reached;
      if (child >= 0) open.push_back(index);
    }
  }
  if (reached == nodes + leaves) return Status::ok();
  return bad(tree.where(), std::to_string(reached) + " of " + std::to_string(nodes + leaves) +
                               " nodes and leaves are reached from the root");
}

// A categorical split's threshold is the number of its bit set; cat_boundaries says where that lies in
// cat_threshold.
Status check_categories(const Section& tree, std::size_t nodes,
                        const std::vector<std::int32_t>& decision_types) {
  constexpr std::int32_t kMost = std::numeric_limits<std::int32_t>::max() - 1;
  std::int32_t sets = 0;
  PENSTOCK_RETURN_IF_ERROR(tree.integer("num_cat", 0, kMost, &sets));
  if (sets > 0) {
    std::vector<std::int32_t> boundaries;
    std::vector<std::uint32_t> bits;
    PENSTOCK_RETURN_IF_ERROR(tree.integers<std::int32_t>("cat_boundaries", static_cast<std::size_t>(sets) + 1,
                                                         0, kMost, &boundaries));
    if (boundaries.front() != 0 || !std::ranges::is_sorted(boundaries)) {
      return bad(tree.where(), "cat_boundaries do not rise from 0");
    }
    PENSTOCK_RETURN_IF_ERROR(tree.integers<std::uint32_t>("cat_threshold",
                                                          static_cast<std::size_t>(boundaries.back()), 0,
                                                          std::numeric_limits<std::uint32_t>::max(), &bits));
  }
  std::string_view thresholds;
  PENSTOCK_RETURN_IF_ERROR(tree.text("threshold", &thresholds));
  Words words(thresholds);
  for (std::size_t node = 0; node < nodes; ++node) {
    const std::string_view threshold = words.next().value_or("");
    constexpr std::int32_t kCategorical = 1;
    if (decision_types.empty() || (decision_types[node] & kCategorical) == 0) continue;
    const std::optional<std::int32_t> set = parse_integer<std::int32_t>(threshold);
    if (!set || *set < 0 || *set >= sets) {
      return bad(tree.where(), "node " + std::to_string(node) + " splits on categories with threshold " +
                                   quoted(threshold) +
                                   ", expected one below num_cat=" + std::to_string(sets));
    }
  }
  return Status::ok();
}

// A linear tree's leaves hold a constant and coefficients of some features, one list of all leaves together.
Status check_linear(const Section& tree, std::size_t leaves, std::int32_t features, bool* linear) {
  std::int32_t flag = 0;
  if (tree.has("is_linear")) PENSTOCK_RETURN_IF_ERROR(tree.integer("is_linear", 0, 1, &flag));
  *linear = flag != 0;
  if (!*linear) return Status::ok();
  std::vector<std::int32_t> counts;
  std::vector<std::int32_t> used;
  PENSTOCK_RETURN_IF_ERROR(tree.reals("leaf_const", leaves, /*normal=*/true));
  PENSTOCK_RETURN_IF_ERROR(tree.integers<std::int32_t>("num_features", leaves, 0, features, &counts));
  std::size_t total = 0;
  for (const std::int32_t count : counts) total += static_cast<std::size_t>(count);
  PENSTOCK_RETURN_IF_ERROR(tree.integers<std::int32_t>("leaf_features", total, 0, features - 1, &used));
  return tree.reals("leaf_coeff", total, /*normal=*/true);
}

Status check_tree(const Section& tree, std::int32_t features) {
  constexpr std::int32_t kMost = std::numeric_limits<std::int32_t>::max() - 1;
  std::int32_t leaf_count = 0;
  PENSTOCK_RETURN_IF_ERROR(tree.integer("num_leaves", 1, kMost, &leaf_count));
  const auto leaves = static_cast<std::size_t>(leaf_count);
  const std::size_t nodes = leaves - 1;
  std::vector<std::int32_t> split_features;
  std::vector<std::int32_t> decision_types;
  PENSTOCK_RETURN_IF_ERROR(tree.reals("leaf_value", leaves));
  PENSTOCK_RETURN_IF_ERROR(
      tree.integers<std::int32_t>("split_feature", nodes, 0, features - 1, &split_features));
  PENSTOCK_RETURN_IF_ERROR(tree.reals("threshold", nodes));
  constexpr std::int32_t kAllDecisionBits = 15;  // categorical, default left, and two of the missing type
  if (tree.has("decision_type")) {
    PENSTOCK_RETURN_IF_ERROR(
        tree.integers<std::int32_t>("decision_type", nodes, 0, kAllDecisionBits, &decision_types));
  }
  PENSTOCK_RETURN_IF_ERROR(check_children(tree, leaves));
  PENSTOCK_RETURN_IF_ERROR(check_categories(tree, nodes, decision_types));
  bool linear = false;
  PENSTOCK_RETURN_IF_ERROR(check_linear(tree, leaves, features, &linear));
  PENSTOCK_RETURN_IF_ERROR(tree.reals_if_present("shrinkage", 1));
  PENSTOCK_RETURN_IF_ERROR(tree.reals_if_present("leaf_count", leaves));
  // Of a tree that is one plain leaf, LightGBM writes no weight and reads none.
  if (nodes > 0 || linear) PENSTOCK_RETURN_IF_ERROR(tree.reals_if_present("leaf_weight", leaves));
  for (const std::string_view key : {"split_gain", "internal_value", "internal_weight", "internal_count"}) {
    PENSTOCK_RETURN_IF_ERROR(tree.reals_if_present(key, nodes));
  }
  return Status::ok();
}

// `text` is what tree_sizes gives the tree: its title, its fields, and the blank lines that end it.
Status read_tree(std::string_view text, std::size_t index, std::int32_t features) {
  const std::string where = "tree " + std::to_string(index);
  const std::string title = "Tree=" + std::to_string(index);
  if (const std::string_view line = take_line(&text); line != title) {
    return bad(where, "tree_sizes points at " + quoted(line) + ", expected '" + title + "'");
  }
  constexpr std::size_t kMostFields = 22;  // the library leaves the rest unread
  Fields fields;
  while (!text.empty() && !text.starts_with('\n')) {
    PENSTOCK_RETURN_IF_ERROR(add_field(take_line(&text), where, &fields));
    if (fields.size() > kMostFields) {
      return bad(where, "more than " + std::to_string(kMostFields) + " fields");
    }
  }
  if (text.empty() || text.find_first_not_of('\n') != std::string_view::npos) {
    return bad(where, "the tree does not end where tree_sizes says");
  }
  return check_tree(Section(where, std::move(fields)), features);
}

}  // namespace

Status check_lightgbm_text(std::string_view text) {
  if (const std::size_t at = text.find('\r'); at != std::string_view::npos) {
    return bad("byte " + std::to_string(at),
               "a carriage return: the file was altered when it was copied as text");
  }
  if (const std::size_t at = text.find('\0'); at != std::string_view::npos) {
    return bad("byte " + std::to_string(at), "a zero byte: this is no text file");
  }
  std::string_view rest = text;
  Header header;
  PENSTOCK_RETURN_IF_ERROR(check_header(&rest, &header));
  for (std::size_t i = 0; i < header.tree_sizes.size(); ++i) {
    if (header.tree_sizes[i] > rest.size()) {
      return bad("tree " + std::to_string(i), "the text ends " + std::to_string(rest.size()) +
                                                  " bytes into a tree of " +
                                                  std::to_string(header.tree_sizes[i]) + " bytes");
    }
    PENSTOCK_RETURN_IF_ERROR(read_tree(rest.substr(0, header.tree_sizes[i]), i, header.features));
    rest.remove_prefix(header.tree_sizes[i]);
  }
  if (take_line(&rest) != "end of trees") {
    return bad("after the last tree",
               "the line 'end of trees' is missing: the file was cut, or tree_sizes is wrong");
  }
  return Status::ok();
}

}  // namespace penstock::executor
