#include "executor/forest_check.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <string_view>

namespace penstock::executor {
namespace {

// What is made of a forest has indices of 32 bits, for splits and leaves together.
constexpr std::size_t kMostLeafValues = std::size_t{1} << 30;
constexpr std::int32_t kMostColumns = 1 << 24;

Status bad(std::size_t tree, std::string_view what) {
  return invalid_argument("forest, tree " + std::to_string(tree) + ": " + std::string(what));
}

Status bad(std::size_t tree, std::size_t split, std::string_view what) {
  return bad(tree, "split " + std::to_string(split) + ": " + std::string(what));
}

Status check_split(const Forest& forest, std::size_t t, std::size_t s) {
  const Tree& tree = forest.trees[t];
  const Split& split = tree.splits[s];
  if (split.feature < 0 || split.feature >= forest.features) {
    return bad(t, s,
               "feature " + std::to_string(split.feature) + " is none of " + std::to_string(forest.features));
  }
  if (split.missing != Missing::kNone && split.missing != Missing::kZero && split.missing != Missing::kNan) {
    return bad(t, s, "an unknown kind of missing values");
  }
  if (!split.categorical)
    return std::isnan(split.threshold) ? bad(t, s, "the threshold is NaN") : Status::ok();
  if (split.first_category > split.last_category || split.last_category > tree.categories.size()) {
    return bad(t, s, "its categories lie outside of the tree's");
  }
  const auto begin = tree.categories.begin() + split.first_category;
  const auto end = tree.categories.begin() + split.last_category;
  if (begin != end && *begin < 0) return bad(t, s, "a category is negative");
  if (std::adjacent_find(begin, end, [](std::int32_t a, std::int32_t b) { return a >= b; }) != end) {
    return bad(t, s, "its categories do not ascend");
  }
  return Status::ok();
}

// Each split but the root, and each leaf, is the child of one split, and all are reached from the root.
Status check_children(const Tree& tree, std::size_t t, std::size_t leaves) {
  const std::size_t splits = tree.splits.size();
  std::vector<bool> split_seen(splits);
  std::vector<bool> leaf_seen(leaves);
  std::vector<std::size_t> open;
  std::size_t reached = 1;
  if (splits > 0) {
    open.push_back(0);
    split_seen[0] = true;
  }
  while (!open.empty()) {
    const std::size_t parent = open.back();
    open.pop_back();
    for (const std::int32_t child : {tree.splits[parent].left, tree.splits[parent].right}) {
      const bool leaf = child < 0;
      const auto index = static_cast<std::size_t>(leaf ? ~child : child);
      if (index >= (leaf ? leaves : splits)) return bad(t, parent, "a child lies outside of the tree");
      std::vector<bool>::reference seen = leaf ? leaf_seen[index] : split_seen[index];
      if (seen) return bad(t, parent, "its child " + std::to_string(child) + " has another parent");
      seen = true;
      ++reached;
      if (!leaf) open.push_back(index);
    }
  }
  if (reached != splits + leaves) return bad(t, "not all of it is reached from the root");
  return Status::ok();
}

Status check_tree(const Forest& forest, std::size_t t) {
  const Tree& tree = forest.trees[t];
  const auto width = static_cast<std::size_t>(forest.values_a_leaf);
  const std::size_t leaves = tree.splits.size() + 1;
  if (tree.leaves.size() != leaves * width) {
    return bad(t, std::to_string(tree.leaves.size()) + " leaf values for " +
                      std::to_string(tree.splits.size()) + " splits; expected " +
                      std::to_string(leaves * width));
  }
  if (!tree.leaf_covers.empty() && tree.leaf_covers.size() != leaves) {
    return bad(t,
               std::to_string(tree.leaf_covers.size()) + " covers for " + std::to_string(leaves) + " leaves");
  }
  const bool fits =
      forest.values_a_leaf > 1 ? tree.output == 0 : tree.output >= 0 && tree.output < forest.outputs;
  if (!fits) return bad(t, "it adds to output " + std::to_string(tree.output));
  for (std::size_t s = 0; s < tree.splits.size(); ++s) PENSTOCK_RETURN_IF_ERROR(check_split(forest, t, s));
  return check_children(tree, t, leaves);
}

}  // namespace

Status check_forest(const Forest& forest) {
  if (forest.features < 1 || forest.features > kMostColumns) {
    return invalid_argument("a forest of " + std::to_string(forest.features) + " features; expected 1 to " +
                            std::to_string(kMostColumns));
  }
  if (forest.outputs < 1 || forest.outputs > kMostColumns) {
    return invalid_argument("a forest of " + std::to_string(forest.outputs) + " outputs; expected 1 to " +
                            std::to_string(kMostColumns));
  }
  if (forest.values_a_leaf != 1 && forest.values_a_leaf != forest.outputs) {
    return invalid_argument("a forest's leaves have " + std::to_string(forest.values_a_leaf) +
                            " values; expected 1, or one for each of its " + std::to_string(forest.outputs) +
                            " outputs");
  }
  if (forest.trees.empty()) return invalid_argument("a forest has no trees");
  if (!forest.base.empty() && forest.base.size() != static_cast<std::size_t>(forest.outputs)) {
    return invalid_argument("a forest has " + std::to_string(forest.base.size()) + " base values for " +
                            std::to_string(forest.outputs) + " outputs");
  }
  if (!(forest.divisor > 0) || !std::isfinite(forest.divisor)) {
    return invalid_argument("a forest's divisor is " + std::to_string(forest.divisor) +
                            "; a finite number above 0 is expected");
  }
  if (forest.dtype != DataType::kFp64 && forest.dtype != DataType::kFp32) {
    return invalid_argument("a forest's features are FP64 or FP32, not " +
                            std::string(datatype_name(forest.dtype)));
  }
  std::size_t leaf_values = 0;
  for (std::size_t t = 0; t < forest.trees.size(); ++t) {
    PENSTOCK_RETURN_IF_ERROR(check_tree(forest, t));
    leaf_values += forest.trees[t].leaves.size();
    if (leaf_values > kMostLeafValues) return bad(t, "a forest of more than 2^30 leaf values is not taken");
  }
  return Status::ok();
}

}  // namespace penstock::executor
