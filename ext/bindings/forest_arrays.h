// ForestArrays: the trees of a forest's file, which lie one after the other in arrays that Python lends, as
// the executor's Forest.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/guarded.h"
#include "base/status.h"
#include "executor/forest.h"

namespace penstock::bindings {

// penstock/models/forest.py says what each holds.
struct ForestArrays {
  std::span<const std::int32_t> splits;
  std::span<const std::int32_t> outputs;
  std::span<const std::int32_t> features;
  std::span<const double> thresholds;
  std::span<const std::uint8_t> missing_left;
  std::span<const std::int32_t> left;
  std::span<const std::int32_t> right;
  std::span<const double> covers;
  std::span<const std::int32_t> category_counts;
  std::span<const std::int32_t> categories;
  std::span<const double> leaves;
  std::span<const double> leaf_covers;
};

namespace detail {

// The next `count` of `rest`, and past them. False where there are not as many.
template <typename T>
bool take(std::span<const T>* rest, std::size_t count, std::span<const T>* taken) {
  if (count > rest->size()) return false;
  *taken = rest->first(count);
  *rest = rest->subspan(count);
  return true;
}

inline bool take_split(ForestArrays* rest, bool has_covers, executor::Tree* tree, executor::Split* split) {
  std::span<const std::int32_t> one;
  std::span<const double> number;
  std::span<const std::uint8_t> flag;
  if (!take(&rest->features, 1, &one)) return false;
  split->feature = one[0];
  if (!take(&rest->thresholds, 1, &number)) return false;
  split->threshold = number[0];
  if (!take(&rest->missing_left, 1, &flag)) return false;
  split->missing_left = flag[0] != 0;
  if (!take(&rest->left, 1, &one)) return false;
  split->left = one[0];
  if (!take(&rest->right, 1, &one)) return false;
  split->right = one[0];
  if (has_covers) {
    if (!take(&rest->covers, 1, &number)) return false;
    split->cover = number[0];
  }
  if (!take(&rest->category_counts, 1, &one)) return false;
  if (one[0] < 0) return true;
  std::span<const std::int32_t> members;
  if (!take(&rest->categories, static_cast<std::size_t>(one[0]), &members)) return false;
  split->categorical = true;
  split->first_category = static_cast<std::uint32_t>(tree->categories.size());
  tree->categories.insert(tree->categories.end(), members.begin(), members.end());
  split->last_category = static_cast<std::uint32_t>(tree->categories.size());
  return true;
}

inline bool take_tree(ForestArrays* rest, bool has_covers, std::size_t values_a_leaf, std::size_t splits,
                      executor::Tree* tree) {
  tree->splits.resize(splits);
  for (executor::Split& split : tree->splits) {
    if (!take_split(rest, has_covers, tree, &split)) return false;
  }
  std::span<const double> values;
  if (!take(&rest->leaves, (splits + 1) * values_a_leaf, &values)) return false;
  tree->leaves.assign(values.begin(), values.end());
  if (!has_covers) return true;
  if (!take(&rest->leaf_covers, splits + 1, &values)) return false;
  tree->leaf_covers.assign(values.begin(), values.end());
  return true;
}

}  // namespace detail

// INVALID_ARGUMENT where the arrays' sizes disagree. The trees themselves load_forest checks.
inline Status take_trees(ForestArrays arrays, executor::Forest* forest) {
  const auto wrong = [](std::size_t tree) {
    return invalid_argument("a forest's arrays end before tree " + std::to_string(tree) + " does");
  };
  const bool has_covers = !arrays.leaf_covers.empty();
  const std::size_t most = arrays.features.size();
  forest->trees.clear();
  forest->trees.reserve(arrays.splits.size());
  for (std::size_t t = 0; t < arrays.splits.size(); ++t) {
    const std::int32_t splits = arrays.splits[t];
    std::span<const std::int32_t> output;
    if (splits < 0 || static_cast<std::size_t>(splits) > most) return wrong(t);
    executor::Tree& tree = forest->trees.emplace_back();
    if (!detail::take(&arrays.outputs, 1, &output)) return wrong(t);
    tree.output = output[0];
    const auto values = static_cast<std::size_t>(forest->values_a_leaf);
    if (!detail::take_tree(&arrays, has_covers, values, static_cast<std::size_t>(splits), &tree))
      return wrong(t);
  }
  const std::size_t left_over = arrays.outputs.size() + arrays.features.size() + arrays.thresholds.size() +
                                arrays.missing_left.size() + arrays.left.size() + arrays.right.size() +
                                arrays.covers.size() + arrays.category_counts.size() +
                                arrays.categories.size() + arrays.leaves.size() + arrays.leaf_covers.size();
  if (left_over > 0) {
    return invalid_argument("a forest's arrays hold " + std::to_string(left_over) +
                            " elements beyond its trees");
  }
  return Status::ok();
}

inline Status make_forest(const ForestArrays& arrays, executor::Forest& forest,
                          std::shared_ptr<const executor::Executor>* made) noexcept {
  return guarded([&]() -> Status {
    PENSTOCK_RETURN_IF_ERROR(take_trees(arrays, &forest));
    std::unique_ptr<executor::Executor> executor;
    PENSTOCK_RETURN_IF_ERROR(executor::load_forest(std::move(forest), &executor));
    *made = std::move(executor);
    return Status::ok();
  });
}

}  // namespace penstock::bindings
