// Forests made at random, rows for them, and a plain walk that knows of no layout: what the compiled ones are
// held to.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

#include "executor/forest.h"

namespace penstock::executor {

struct RandomForest {
  std::size_t trees = 20;
  std::size_t splits = 30;  // of each tree, at most
  std::int32_t features = 10;
  std::int32_t outputs = 1;
  std::int32_t values_a_leaf = 1;
  std::size_t thresholds = 100;  // of each feature, to pick from
  double categorical = 0;        // part of the splits
  std::int32_t categories = 40;
  std::size_t one_of = 3;  // categories is in a split's set
  bool missing = true;     // all kinds; else none
  bool deep = false;       // each split below the one before
  bool fp32 = false;

  Forest make(std::mt19937& random) const {
    Forest forest;
    forest.features = features;
    forest.outputs = outputs;
    forest.values_a_leaf = values_a_leaf;
    forest.inputs_are_fp32 = fp32;
    std::normal_distribution<double> normal;
    const auto below = [&](std::size_t n) {
      return std::uniform_int_distribution<std::size_t>(0, n - 1)(random);
    };
    std::vector<std::vector<double>> pool(static_cast<std::size_t>(features));
    for (std::vector<double>& values : pool) {
      for (std::size_t i = 0; i < thresholds; ++i) values.push_back(normal(random));
      values.push_back(0);
      values.push_back(kNearZero);
      values.push_back(std::numeric_limits<double>::infinity());
    }
    for (std::size_t t = 0; t < trees; ++t) {
      Tree tree;
      const std::size_t count = below(splits + 1);
      for (std::size_t s = 0; s < count; ++s) {
        // Each new split takes the place of a leaf; split i brings leaf i + 1.
        Split split;
        split.feature = static_cast<std::int32_t>(below(static_cast<std::size_t>(features)));
        split.threshold = pool[static_cast<std::size_t>(split.feature)][below(pool[0].size())];
        split.missing = missing ? static_cast<Missing>(below(3)) : Missing::kNone;
        split.missing_left = below(2) == 1;
        split.categorical = std::uniform_real_distribution<double>()(random) < categorical;
        if (split.categorical) {
          split.first_category = static_cast<std::uint32_t>(tree.categories.size());
          for (std::int32_t c = 0; c < categories; ++c) {
            if (below(one_of) == 0)
              tree.categories.push_back(c < 3 ? c : c * 7919);  // some beyond what is looked up densely
          }
          split.last_category = static_cast<std::uint32_t>(tree.categories.size());
        }
        split.left = ~static_cast<std::int32_t>(s);
        split.right = ~static_cast<std::int32_t>(s + 1);
        if (s > 0) {
          const std::size_t leaf = deep ? s : below(s + 1);
          for (Split& parent : tree.splits) {
            if (parent.left == ~static_cast<std::int32_t>(leaf)) parent.left = static_cast<std::int32_t>(s);
            if (parent.right == ~static_cast<std::int32_t>(leaf)) parent.right = static_cast<std::int32_t>(s);
          }
          split.left = ~static_cast<std::int32_t>(leaf);
        }
        tree.splits.push_back(split);
      }
      for (std::size_t i = 0; i < (count + 1) * static_cast<std::size_t>(values_a_leaf); ++i) {
        tree.leaves.push_back(normal(random));
      }
      if (values_a_leaf == 1)
        tree.output = static_cast<std::int32_t>(below(static_cast<std::size_t>(outputs)));
      forest.trees.push_back(std::move(tree));
    }
    for (std::int32_t o = 0; o < outputs; ++o) forest.base.push_back(normal(random));
    return forest;
  }
};

// Numbers at, beside and far from thresholds, categories known and not, and everything that is none of these.
template <typename Element>
std::vector<Element> random_rows(const Forest& forest, std::size_t count, std::mt19937& random) {
  std::normal_distribution<double> normal;
  const auto below = [&](std::size_t n) {
    return std::uniform_int_distribution<std::size_t>(0, n - 1)(random);
  };
  constexpr double kOdd[] = {std::numeric_limits<double>::quiet_NaN(),
                             -std::numeric_limits<double>::quiet_NaN(),
                             std::numeric_limits<double>::infinity(),
                             -std::numeric_limits<double>::infinity(),
                             0.0,
                             -0.0,
                             1e-36,
                             -kNearZero,
                             -0.5,
                             -1.0,
                             -7.0,
                             2147483648.0,
                             1e300,
                             7919.75};
  std::vector<Element> rows(count * static_cast<std::size_t>(forest.features));
  for (Element& value : rows) {
    const Tree& tree = forest.trees[below(forest.trees.size())];
    switch (below(5)) {
      case 0:
        value = static_cast<Element>(kOdd[below(std::size(kOdd))]);
        break;
      case 1:
        value = static_cast<Element>(below(50) * (below(2) == 1 ? 1 : 7919));
        break;
      case 2:
        if (!tree.splits.empty())
          value = static_cast<Element>(tree.splits[below(tree.splits.size())].threshold);
        break;
      default:
        value = static_cast<Element>(normal(random));
    }
  }
  return rows;
}

inline bool goes_left(const Tree& tree, const Split& split, double x) {
  if (split.categorical) {
    if (std::isnan(x)) return split.missing_left;
    if (std::trunc(x) < 0 || std::trunc(x) > 2147483647.0) return false;
    const auto category = static_cast<std::int32_t>(x);
    for (std::uint32_t i = split.first_category; i < split.last_category; ++i) {
      if (tree.categories[i] == category) return true;
    }
    return false;
  }
  if (split.missing == Missing::kNan && std::isnan(x)) return split.missing_left;
  if (split.missing == Missing::kZero && (std::isnan(x) || (x >= -kNearZero && x <= kNearZero)))
    return split.missing_left;
  return (std::isnan(x) ? 0.0 : x) <= split.threshold;
}

template <typename Element>
std::vector<double> plain_sums(const Forest& forest, const std::vector<Element>& rows) {
  const auto features = static_cast<std::size_t>(forest.features);
  const auto outputs = static_cast<std::size_t>(forest.outputs);
  const auto width = static_cast<std::size_t>(forest.values_a_leaf);
  std::vector<double> sums;
  for (std::size_t r = 0; r < rows.size() / features; ++r) {
    std::vector<double> row(outputs);
    for (std::size_t o = 0; o < outputs && !forest.base.empty(); ++o) row[o] = forest.base[o];
    for (const Tree& tree : forest.trees) {
      std::int32_t at = tree.splits.empty() ? ~0 : 0;
      while (at >= 0) {
        const Split& split = tree.splits[static_cast<std::size_t>(at)];
        const Element given = rows[r * features + static_cast<std::size_t>(split.feature)];
        const double x = forest.inputs_are_fp32 ? static_cast<double>(static_cast<float>(given))
                                                : static_cast<double>(given);
        at = goes_left(tree, split, x) ? split.left : split.right;
      }
      for (std::size_t i = 0; i < width; ++i) {
        row[static_cast<std::size_t>(tree.output) + i] +=
            tree.leaves[static_cast<std::size_t>(~at) * width + i];
      }
    }
    for (const double sum : row) sums.push_back(sum / forest.divisor);
  }
  return sums;
}

}  // namespace penstock::executor
