#include "executor/lightgbm_text.h"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "executor/lightgbm_fields.h"

namespace penstock::executor {
namespace lgbm {
namespace {

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
  Fields fields;
  bool unused_averages = false;
  PENSTOCK_RETURN_IF_ERROR(take_header(rest, &fields, &unused_averages));
  const Section section("header", std::move(fields));
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
      return bad(section.where(), std::string(key) + " has " + std::to_string(count) + " entries, expected " +
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
    return bad(section.where(),
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

Status check_reals(const Section& tree, std::string_view key, std::size_t count, bool normal = false) {
  std::vector<double> values;
  return tree.reals(key, count, &values, normal);
}

Status reals_if_present(const Section& tree, std::string_view key, std::size_t count) {
  return tree.has(key) ? check_reals(tree, key, count) : Status::ok();
}

// A linear tree's leaves hold a constant and coefficients of some features, one list of all leaves together.
Status check_linear(const Section& tree, std::size_t leaves, std::int32_t features, bool* linear) {
  std::int32_t flag = 0;
  if (tree.has("is_linear")) PENSTOCK_RETURN_IF_ERROR(tree.integer("is_linear", 0, 1, &flag));
  *linear = flag != 0;
  if (!*linear) return Status::ok();
  std::vector<std::int32_t> counts;
  std::vector<std::int32_t> used;
  PENSTOCK_RETURN_IF_ERROR(check_reals(tree, "leaf_const", leaves, /*normal=*/true));
  PENSTOCK_RETURN_IF_ERROR(tree.integers<std::int32_t>("num_features", leaves, 0, features, &counts));
  std::size_t total = 0;
  for (const std::int32_t count : counts) total += static_cast<std::size_t>(count);
  PENSTOCK_RETURN_IF_ERROR(tree.integers<std::int32_t>("leaf_features", total, 0, features - 1, &used));
  return check_reals(tree, "leaf_coeff", total, /*normal=*/true);
}

Status check_tree(const Section& tree, std::int32_t features) {
  constexpr std::int32_t kMost = std::numeric_limits<std::int32_t>::max() - 1;
  std::int32_t leaf_count = 0;
  PENSTOCK_RETURN_IF_ERROR(tree.integer("num_leaves", 1, kMost, &leaf_count));
  const auto leaves = static_cast<std::size_t>(leaf_count);
  const std::size_t nodes = leaves - 1;
  std::vector<std::int32_t> split_features;
  std::vector<std::int32_t> decision_types;
  PENSTOCK_RETURN_IF_ERROR(check_reals(tree, "leaf_value", leaves));
  PENSTOCK_RETURN_IF_ERROR(
      tree.integers<std::int32_t>("split_feature", nodes, 0, features - 1, &split_features));
  PENSTOCK_RETURN_IF_ERROR(check_reals(tree, "threshold", nodes));
  constexpr std::int32_t kAllDecisionBits = 15;  // categorical, default left, and two of the missing type
  if (tree.has("decision_type")) {
    PENSTOCK_RETURN_IF_ERROR(
        tree.integers<std::int32_t>("decision_type", nodes, 0, kAllDecisionBits, &decision_types));
  }
  PENSTOCK_RETURN_IF_ERROR(check_children(tree, leaves));
  PENSTOCK_RETURN_IF_ERROR(check_categories(tree, nodes, decision_types));
  bool linear = false;
  PENSTOCK_RETURN_IF_ERROR(check_linear(tree, leaves, features, &linear));
  PENSTOCK_RETURN_IF_ERROR(reals_if_present(tree, "shrinkage", 1));
  PENSTOCK_RETURN_IF_ERROR(reals_if_present(tree, "leaf_count", leaves));
  // Of a tree that is one plain leaf, LightGBM writes no weight and reads none.
  if (nodes > 0 || linear) PENSTOCK_RETURN_IF_ERROR(reals_if_present(tree, "leaf_weight", leaves));
  for (const std::string_view key : {"split_gain", "internal_value", "internal_weight", "internal_count"}) {
    PENSTOCK_RETURN_IF_ERROR(reals_if_present(tree, key, nodes));
  }
  return Status::ok();
}

}  // namespace
}  // namespace lgbm

Status check_lightgbm_text(std::string_view text) {
  using namespace lgbm;
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
    Fields fields;
    PENSTOCK_RETURN_IF_ERROR(tree_fields(rest.substr(0, header.tree_sizes[i]), i, &fields));
    PENSTOCK_RETURN_IF_ERROR(
        check_tree(Section("tree " + std::to_string(i), std::move(fields)), header.features));
    rest.remove_prefix(header.tree_sizes[i]);
  }
  if (take_line(&rest) != "end of trees") {
    return bad("after the last tree",
               "the line 'end of trees' is missing: the file was cut, or tree_sizes is wrong");
  }
  return Status::ok();
}

}  // namespace penstock::executor
