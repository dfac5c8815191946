// Contributions: they add up to the sums, follow Shapley's definition, and read no damaged model amiss.
#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <functional>

#include "allocations.h"
#include "executor/forest_check.h"
#include "executor/forest_contributions.h"
#include "executor/lightgbm_forest.h"
#include "executor/lightgbm_text.h"
#include "executor/models.h"
#include "random_forest.h"

using namespace penstock;
using namespace penstock::executor;

namespace {

// Gives each leaf 0 to 9 training rows, and the splits what is below them; the root at least one.
void cover(Forest* forest, std::mt19937& random) {
  for (Tree& tree : forest->trees) {
    if (tree.splits.empty()) continue;
    tree.leaf_covers.assign(tree.splits.size() + 1, 0);
    for (double& rows : tree.leaf_covers) {
      rows = static_cast<double>(std::uniform_int_distribution<int>(0, 9)(random));
    }
    tree.leaf_covers[0] += 1;
    const std::function<double(std::int32_t)> below = [&](std::int32_t child) -> double {
      if (child < 0) return tree.leaf_covers[static_cast<std::size_t>(~child)];
      Split& split = tree.splits[static_cast<std::size_t>(child)];
      return split.cover = below(split.left) + below(split.right);
    };
    below(0);
  }
}

std::unique_ptr<const ForestContributions> made(const Forest& forest) {
  REQUIRE(check_forest(forest).is_ok());
  std::unique_ptr<const ForestContributions> contributions;
  const Status status = ForestContributions::make(forest, &contributions);
  REQUIRE_MESSAGE(status.is_ok(), status.message());
  return contributions;
}

template <typename Element>
std::vector<double> computed(const ForestContributions& of, const std::vector<Element>& rows,
                             std::size_t count) {
  Arena arena;
  std::vector<double> values(count * of.values_a_row());
  of.compute(rows.data(), count, arena, values.data());
  return values;
}

// The mean of output 0 over the training rows that agree with `row` in the features of `known`.
double mean(const Tree& tree, std::int32_t child, const double* row, std::uint32_t known) {
  if (child < 0) return tree.leaves[static_cast<std::size_t>(~child)];
  const Split& split = tree.splits[static_cast<std::size_t>(child)];
  if ((known >> split.feature & 1) != 0) {
    return mean(tree, goes_left(tree, split, row[split.feature]) ? split.left : split.right, row, known);
  }
  const auto rows = [&](std::int32_t of) {
    return of < 0 ? tree.leaf_covers[static_cast<std::size_t>(~of)]
                  : tree.splits[static_cast<std::size_t>(of)].cover;
  };
  const double total = rows(split.left) + rows(split.right);
  if (total == 0) return 0;
  return (rows(split.left) * mean(tree, split.left, row, known) +
          rows(split.right) * mean(tree, split.right, row, known)) /
         total;
}

template <typename Element>
void check_sums(const RandomForest& shape, std::mt19937& random) {
  Forest forest = shape.make(random);
  cover(&forest, random);
  constexpr std::size_t kRows = 40;
  const std::vector<Element> rows = random_rows<Element>(forest, kRows, random);
  const std::vector<double> expected = plain_sums(forest, rows);
  const auto contributions = made(forest);
  const std::vector<double> values = computed(*contributions, rows, kRows);
  const auto columns = static_cast<std::size_t>(forest.features) + 1;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    double sum = 0;
    double scale = 1;
    for (std::size_t c = 0; c < columns; ++c) {
      sum += values[i * columns + c];
      scale += std::fabs(values[i * columns + c]);
    }
    CHECK(std::fabs(sum - expected[i]) <= 1e-12 * scale);
  }
  // The same row by itself.
  const std::vector<Element> last(rows.end() - forest.features, rows.end());
  const std::vector<double> alone = computed(*contributions, last, 1);
  CHECK(std::memcmp(alone.data(), values.data() + values.size() - alone.size(),
                    alone.size() * sizeof(double)) == 0);
}

}  // namespace

TEST_CASE("contributions add up to the sum of any forest, whatever the batch") {
  std::mt19937 random(3);
  for (int round = 0; round < 20; ++round) {
    check_sums<double>({}, random);
    check_sums<double>({.outputs = 3, .categorical = 0.3}, random);
    check_sums<float>({.outputs = 3, .values_a_leaf = 3}, random);
    check_sums<double>({.trees = 3, .splits = 200, .features = 40, .deep = true}, random);
    check_sums<double>({.features = 3, .fp32 = true}, random);
  }
}

TEST_CASE("contributions are Shapley's values of the conditional means") {
  std::mt19937 random(4);
  constexpr std::int32_t kFeatures = 5;
  for (int round = 0; round < 50; ++round) {
    Forest forest =
        RandomForest{.trees = 1, .splits = 12, .features = kFeatures, .categorical = 0.2}.make(random);
    cover(&forest, random);
    forest.base.clear();
    const Tree& tree = forest.trees.front();
    const std::int32_t root = tree.splits.empty() ? ~0 : 0;
    const std::vector<double> row = random_rows<double>(forest, 1, random);
    const std::vector<double> values = computed(*made(forest), row, 1);
    CHECK(values[kFeatures] == doctest::Approx(mean(tree, root, row.data(), 0)).epsilon(1e-12));
    for (std::uint32_t feature = 0; feature < kFeatures; ++feature) {
      double expected = 0;
      for (std::uint32_t known = 0; known < 1U << kFeatures; ++known) {
        if ((known >> feature & 1) != 0) continue;
        constexpr double kChoose[] = {1, 4, 6, 4, 1};
        const double weight = 1 / (kFeatures * kChoose[std::popcount(known)]);
        expected += weight * (mean(tree, root, row.data(), known | 1U << feature) -
                              mean(tree, root, row.data(), known));
      }
      CHECK(std::fabs(values[feature] - expected) <= 1e-12);
    }
  }
}

TEST_CASE("the base and the divisor are shared out, but for LightGBM's random forests") {
  std::mt19937 random(5);
  Forest forest = RandomForest{}.make(random);
  cover(&forest, random);
  forest.base.clear();
  const std::vector<double> rows = random_rows<double>(forest, 1, random);
  const std::vector<double> plain = computed(*made(forest), rows, 1);
  forest.base = {0.5};
  forest.divisor = 4;
  const std::vector<double> divided = computed(*made(forest), rows, 1);
  for (std::size_t i = 0; i + 1 < plain.size(); ++i) CHECK(divided[i] == plain[i] / 4);
  CHECK(divided.back() == doctest::Approx((plain.back() + 0.5) / 4));
  forest.base.clear();
  forest.contributions_of_sums = true;
  CHECK(computed(*made(forest), rows, 1) == plain);
}

TEST_CASE("a forest that does not say how many rows its nodes saw has none") {
  std::mt19937 random(6);
  Forest forest = RandomForest{}.make(random);
  cover(&forest, random);
  forest.trees[3] = forest.trees[0];
  std::size_t at = 0;
  while (forest.trees[at].splits.empty()) ++at;
  std::unique_ptr<const ForestContributions> contributions;
  for (const double rows : {-1.0, std::nan(""), std::numeric_limits<double>::infinity()}) {
    Forest damaged = forest;
    damaged.trees[at].leaf_covers[0] = rows;
    const Status status = ForestContributions::make(damaged, &contributions);
    CHECK(status.code() == Code::kUnimplemented);
    CHECK(status.message() ==
          "tree " + std::to_string(at) + " does not say how many training rows reached its nodes");
  }
  forest.trees[at].leaf_covers.clear();
  CHECK(ForestContributions::make(forest, &contributions).code() == Code::kUnimplemented);
}

TEST_CASE("paths that would take too much memory a row are refused") {
  Forest forest;
  constexpr std::int32_t kDepth = 30'000;
  forest.features = kDepth;
  Tree tree;
  for (std::int32_t i = 0; i < kDepth; ++i) {
    Split split;
    split.feature = i;
    split.left = ~i;
    split.right = i + 1 < kDepth ? i + 1 : ~kDepth;
    split.cover = 1 + kDepth - i;
    tree.splits.push_back(split);
  }
  tree.leaves.assign(kDepth + 1, 1.0);
  tree.leaf_covers.assign(kDepth + 1, 1.0);
  forest.trees.push_back(tree);
  std::unique_ptr<const ForestContributions> contributions;
  const Status status = ForestContributions::make(forest, &contributions);
  CHECK(status.code() == Code::kUnimplemented);
  CHECK(status.message() == "tree 0 has a path of 30000 splits on 30000 features");
}

TEST_CASE("contributions allocate nothing once the arena has its memory") {
  std::mt19937 random(8);
  Forest forest = RandomForest{.outputs = 2}.make(random);
  cover(&forest, random);
  const auto contributions = made(forest);
  constexpr std::size_t kRows = 16;
  const std::vector<double> rows = random_rows<double>(forest, kRows, random);
  std::vector<double> values(kRows * contributions->values_a_row());
  Arena arena;
  contributions->compute(rows.data(), kRows, arena, values.data());
  arena.reset();
  const auto before = testing::allocations();
  for (int i = 0; i < 10; ++i) {
    contributions->compute(rows.data(), kRows, arena, values.data());
    arena.reset();
  }
  CHECK(testing::allocations() == before);
}

// For the sanitizers: what the checker lets through, the reader and all that follows must take.
TEST_CASE("no damaged text that is accepted is read amiss") {
  const std::string whole = testing::lightgbm_text();
  std::mt19937 random(9);
  int explained = 0;
  for (int trial = 0; trial < 20'000; ++trial) {
    std::string text = whole;
    for (int change = trial % 3; change >= 0; --change) {
      text[random() % text.size()] = "0123456789-. =\ne"[random() % 16];
    }
    if (!check_lightgbm_text(text).is_ok()) continue;
    Forest forest;
    if (!read_lightgbm_forest(text, {}, &forest).is_ok()) continue;
    REQUIRE(check_forest(forest).is_ok());
    std::unique_ptr<const ForestContributions> contributions;
    if (!ForestContributions::make(forest, &contributions).is_ok()) continue;
    for (const double value : {0.0, -1.0, 3.0, 1e300, std::nan("")}) {
      const std::vector<double> row(static_cast<std::size_t>(forest.features), value);
      computed(*contributions, row, 1);
    }
    ++explained;
  }
  CHECK(explained > 500);
}
