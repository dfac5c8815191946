// Compiled forests: each layout gives what a plain walk gives, to the bit, and malformed forests are refused.
#include <doctest/doctest.h>

#include <array>
#include <cstring>
#include <string>

#include "allocations.h"
#include "executor/compiled_forest.h"
#include "executor/forest_check.h"
#include "executor/forest_link.h"
#include "executor/forest_order.h"
#include "random_forest.h"

using namespace penstock;
using namespace penstock::executor;

namespace {

std::vector<CompiledForest::Choice> choices() {
  std::vector<CompiledForest::Choice> all{{}, {true, false, {}, {}}, {false, false, {}, {}}};
  for (const ForestRows::Kernel& kernel : ForestRows::kernels()) {
    all.push_back({true, true, kernel.name, 1});
    all.push_back({false, true, kernel.name, 20});
  }
  return all;
}

bool same_bits(std::span<const double> a, std::span<const double> b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size_bytes()) == 0;
}

template <typename Element>
void check_forest_of(const RandomForest& shape, std::size_t count, std::mt19937& random) {
  const Forest forest = shape.make(random);
  REQUIRE(check_forest(forest).is_ok());
  const std::vector<Element> rows = random_rows<Element>(forest, count, random);
  const std::vector<double> expected = plain_sums(forest, rows);
  for (const CompiledForest::Choice& choice : choices()) {
    const CompiledForest compiled(forest, choice);
    CAPTURE(compiled.describe());
    Arena arena;
    std::vector<double> sums(expected.size());
    compiled.sum(rows.data(), count, arena, sums.data());
    CHECK(same_bits(sums, expected));
    // The same rows in batches of any size.
    const auto features = static_cast<std::size_t>(forest.features);
    const auto outputs = static_cast<std::size_t>(forest.outputs);
    for (std::size_t size = 1, start = 0; start < count; start += size, size = size * 2 + 1) {
      const std::size_t some = std::min(size, count - start);
      compiled.sum(rows.data() + start * features, some, arena, sums.data() + start * outputs);
      arena.reset();
    }
    CHECK(same_bits(sums, expected));
  }
}

Tree stump() {
  Tree tree;
  Split split;
  split.left = ~0;
  split.right = ~1;
  tree.splits = {split};
  tree.leaves = {1, 2};
  return tree;
}

Forest of(Tree tree) {
  Forest forest;
  forest.features = 1;
  forest.trees.push_back(std::move(tree));
  return forest;
}

std::string refusal(const Forest& forest) {
  const Status status = check_forest(forest);
  CHECK(status.code() == Code::kInvalidArgument);
  return status.message();
}

}  // namespace

TEST_CASE("every layout gives the bits of a plain walk") {
  std::mt19937 random(3);
  SUBCASE("small trees") { check_forest_of<double>({}, 300, random); }
  SUBCASE("single precision given") { check_forest_of<float>({}, 300, random); }
  SUBCASE("rounded to single precision") { check_forest_of<double>({.fp32 = true}, 300, random); }
  SUBCASE("more slots than a register") {
    check_forest_of<double>({.features = 100, .missing = false}, 200, random);
  }
  SUBCASE("more slots than two registers") { check_forest_of<double>({.features = 300}, 200, random); }
  SUBCASE("several outputs") { check_forest_of<double>({.trees = 40, .outputs = 3}, 200, random); }
  SUBCASE("a value for each output in a leaf") {
    check_forest_of<double>({.outputs = 3, .values_a_leaf = 3}, 200, random);
  }
  SUBCASE("categories") { check_forest_of<double>({.categorical = 0.5}, 300, random); }
  SUBCASE("only categories") { check_forest_of<float>({.features = 3, .categorical = 1}, 300, random); }
  SUBCASE("many categories in small sets") {
    check_forest_of<double>(
        {.trees = 40, .splits = 200, .features = 2, .categorical = 0.9, .categories = 4000, .one_of = 1000},
        200, random);
  }
  SUBCASE("64 leaves") { check_forest_of<double>({.splits = 63, .thresholds = 60}, 200, random); }
  SUBCASE("256 leaves") { check_forest_of<double>({.splits = 255, .thresholds = 60}, 200, random); }
  SUBCASE("256 leaves, categories, outputs") {
    check_forest_of<double>({.splits = 255, .outputs = 2, .thresholds = 60, .categorical = 0.3}, 200, random);
  }
  SUBCASE("more leaves") { check_forest_of<double>({.splits = 2000, .thresholds = 60}, 100, random); }
  SUBCASE("more thresholds than a byte counts") {
    check_forest_of<double>({.trees = 200, .thresholds = 5000}, 100, random);
  }
  SUBCASE("more thresholds than two bytes count") {
    check_forest_of<double>(
        {.trees = 30, .splits = 10'000, .features = 1, .thresholds = 200'000, .missing = false}, 70, random);
  }
  SUBCASE("deep trees") { check_forest_of<double>({.splits = 200, .deep = true}, 200, random); }
  SUBCASE("very deep trees") {
    check_forest_of<double>({.trees = 3, .splits = 20'000, .deep = true}, 10, random);
  }
  SUBCASE("leaves alone") { check_forest_of<double>({.splits = 0}, 70, random); }
  SUBCASE("more than a chunk") { check_forest_of<double>({.trees = 900, .splits = 31}, 130, random); }
}

TEST_CASE("shapes drawn at random give the bits of a plain walk") {
  std::mt19937 random(4);
  const auto pick = [&](std::initializer_list<int> from) {
    return *(from.begin() + std::uniform_int_distribution<std::ptrdiff_t>(0, std::ssize(from) - 1)(random));
  };
  for (int i = 0; i < 60; ++i) {
    RandomForest shape;
    shape.trees = static_cast<std::size_t>(pick({1, 3, 16, 17, 50}));
    shape.splits = static_cast<std::size_t>(pick({1, 7, 8, 31, 32, 63, 130, 256}));
    shape.features = pick({1, 5, 64, 65, 130});
    shape.outputs = pick({1, 1, 2, 5});
    shape.values_a_leaf = pick({0, 1}) == 1 ? shape.outputs : 1;
    shape.thresholds = static_cast<std::size_t>(pick({1, 14, 15, 16, 200, 254, 300}));
    shape.categorical = pick({0, 0, 1}) * 0.3;
    shape.missing = pick({0, 1}) == 1;
    shape.deep = pick({0, 0, 1}) == 1;
    CAPTURE(i);
    check_forest_of<double>(shape, static_cast<std::size_t>(pick({1, 2, 63, 64, 65, 150})), random);
  }
}

TEST_CASE("the divisor comes after all trees") {
  Forest forest = of(stump());
  forest.trees.push_back(stump());
  forest.divisor = 3;
  Arena arena;
  const std::array<double, 2> rows{-1, 1};
  std::array<double, 2> sums{};
  CompiledForest(forest).sum(rows.data(), 2, arena, sums.data());
  CHECK(same_bits(sums, std::array{2.0 / 3, 4.0 / 3}));
}

TEST_CASE("nothing is allocated once the arena has what it needs") {
  std::mt19937 random(5);
  for (const CompiledForest::Choice& choice : choices()) {
    const Forest forest = RandomForest{.categorical = 0.2}.make(random);
    const CompiledForest compiled(forest, choice);
    const std::vector<double> rows = random_rows<double>(forest, 200, random);
    std::vector<double> sums(200);
    Arena arena;
    const auto work = [&] {
      for (const std::size_t count : {1, 5, 64, 200}) {
        compiled.sum(rows.data(), count, arena, sums.data());
        arena.reset();
      }
    };
    work();
    const std::int64_t before = testing::allocations();
    work();
    CHECK(testing::allocations() == before);
  }
}

TEST_CASE("the executor refuses a matrix of another width and an output twice") {
  std::unique_ptr<Executor> executor;
  REQUIRE(load_forest(of(stump()), &executor).is_ok());
  std::unique_ptr<Context> context;
  REQUIRE(executor->make_context(&context).is_ok());
  Arena arena;
  Results results;
  const std::array<double, 2> values{1, 2};
  const std::array<std::int64_t, 2> wide{1, 2};
  const std::array<std::int64_t, 2> tall{2, 1};
  const std::array<TensorView, 1> wrong{TensorView{"features", DataType::kFp64, wide, 2, values.data()}};
  const std::array<TensorView, 1> right{TensorView{"features", DataType::kFp64, tall, 2, values.data()}};
  const std::array<std::uint32_t, 1> prediction{0};
  const std::array<std::uint32_t, 2> twice{0, 0};
  CHECK(executor->run(*context, wrong, prediction, arena, &results).code() == Code::kInvalidArgument);
  CHECK(executor->run(*context, right, twice, arena, &results).code() == Code::kInternal);
  REQUIRE(executor->run(*context, right, prediction, arena, &results).is_ok());
  CHECK(static_cast<const double*>(results.tensors[0].data)[0] == 2);
  CHECK(executor->default_outputs() == 1);
  CHECK(executor->describe().starts_with("compiled forest, cpu"));
}

TEST_CASE("leaves are numbered from left to right") {
  // 0 over (1 over leaves 0, 1) and leaf 2
  Tree tree;
  tree.splits.resize(2);
  tree.splits[0].left = 1;
  tree.splits[0].right = ~2;
  tree.splits[1].left = ~1;
  tree.splits[1].right = ~0;
  tree.leaves = {0, 0, 0};
  const LeafOrder order(tree);
  CHECK(order.leaves == std::vector<std::uint32_t>{1, 0, 2});
  CHECK(order.spans[0].begin == 0);
  CHECK(order.spans[0].middle == 2);
  CHECK(order.spans[0].end == 3);
  CHECK(order.spans[1].middle == 1);
  CHECK(order.spans[1].end == 2);
}

TEST_CASE("bits are turned round") {
  std::mt19937_64 random(6);
  std::array<std::uint64_t, 64> rows;
  for (std::uint64_t& row : rows) row = random();
  std::array<std::uint64_t, 64> turned = rows;
  transpose_bits(turned.data());
  for (std::size_t r = 0; r < 64; ++r) {
    for (std::size_t c = 0; c < 64; ++c) REQUIRE((rows[r] >> c & 1) == (turned[c] >> r & 1));
  }
}

TEST_CASE("what is no forest is refused with its place") {
  const auto with = [](auto&& change) {
    Forest forest = of(stump());
    change(forest);
    return refusal(forest);
  };
  CHECK(with([](Forest& f) { f.trees.clear(); }).find("no trees") != std::string::npos);
  CHECK(with([](Forest& f) { f.features = 0; }).find("0 features") != std::string::npos);
  CHECK(with([](Forest& f) { f.outputs = 0; }).find("0 outputs") != std::string::npos);
  CHECK(with([](Forest& f) { f.values_a_leaf = 2; }).find("have 2 values") != std::string::npos);
  CHECK(with([](Forest& f) { f.base = {1, 2}; }).find("2 base values") != std::string::npos);
  CHECK(with([](Forest& f) { f.divisor = 0; }).find("divisor") != std::string::npos);
  CHECK(with([](Forest& f) { f.dtype = DataType::kInt8; }).find("INT8") != std::string::npos);
  CHECK(with([](Forest& f) { f.trees[0].output = 1; }).find("output 1") != std::string::npos);
  CHECK(with([](Forest& f) { f.trees[0].leaves.pop_back(); }).find("1 leaf values for 1 splits") !=
        std::string::npos);
  CHECK(with([](Forest& f) { f.trees[0].leaf_covers = {1}; }).find("1 covers") != std::string::npos);
  const auto split = [&](auto&& change) {
    return with([&](Forest& f) { change(f.trees[0].splits[0], f.trees[0]); });
  };
  CHECK(split([](Split& s, Tree&) { s.feature = 1; }).find("tree 0: split 0: feature 1") !=
        std::string::npos);
  CHECK(split([](Split& s, Tree&) { s.feature = -1; }).find("feature -1") != std::string::npos);
  CHECK(split([](Split& s, Tree&) { s.threshold = std::nan(""); }).find("NaN") != std::string::npos);
  CHECK(split([](Split& s, Tree&) { s.missing = static_cast<Missing>(9); }).find("missing") !=
        std::string::npos);
  CHECK(split([](Split& s, Tree&) { s.right = ~2; }).find("outside") != std::string::npos);
  CHECK(split([](Split& s, Tree&) { s.right = 1; }).find("outside") != std::string::npos);
  CHECK(split([](Split& s, Tree&) { s.right = 0; }).find("another parent") != std::string::npos);
  CHECK(split([](Split& s, Tree&) { s.right = ~0; }).find("another parent") != std::string::npos);
  CHECK(split([](Split& s, Tree&) {
          s.categorical = true;
          s.last_category = 1;
        }).find("outside of the tree's") != std::string::npos);
  CHECK(split([](Split& s, Tree& t) {
          s.categorical = true;
          t.categories = {2, 2};
          s.last_category = 2;
        }).find("ascend") != std::string::npos);
  CHECK(split([](Split& s, Tree& t) {
          s.categorical = true;
          t.categories = {-1};
          s.last_category = 1;
        }).find("negative") != std::string::npos);
  CHECK(with([](Forest& f) {
          Split lonely;
          lonely.left = ~1;
          lonely.right = ~2;
          f.trees[0].splits.push_back(lonely);
          f.trees[0].splits[0].right = ~0;
          f.trees[0].splits[0].left = ~1;
          f.trees[0].leaves = {1, 2, 3};
        }).find("not all of it is reached") != std::string::npos);
}

TEST_CASE("links are known by name, and fit their outputs") {
  const auto link = [](Link given, std::size_t outputs, std::vector<double> sums) {
    ForestLink made;
    REQUIRE(ForestLink::make(given, outputs, &made).is_ok());
    made.apply(sums);
    return sums;
  };
  CHECK(link({"identity"}, 1, {3})[0] == 3);
  CHECK(link({"sigmoid", 2}, 1, {0.5})[0] == doctest::Approx(1 / (1 + std::exp(-1.0))).epsilon(1e-15));
  CHECK(link({"exponential"}, 1, {1})[0] == doctest::Approx(std::exp(1.0)).epsilon(1e-15));
  CHECK(link({"softplus"}, 1, {1})[0] == doctest::Approx(std::log1p(std::exp(1.0))).epsilon(1e-15));
  CHECK(link({"signed_square"}, 1, {-3})[0] == -9);
  CHECK(link({"hinge"}, 1, {0})[0] == 0);
  CHECK(link({"hinge"}, 1, {0.1})[0] == 1);
  CHECK(link({"normalised"}, 2, {1, 3})[1] == 0.75);
  const std::vector<double> soft = link({"softmax"}, 2, {1000, 1000, 0, -1e9});
  CHECK(soft[0] == 0.5);
  CHECK(soft[2] == 1);
  ForestLink made;
  CHECK(ForestLink::make({"softmax"}, 1, &made).message().find("one output") != std::string::npos);
  CHECK(ForestLink::make({"cubic"}, 1, &made).message().find("expected one of identity") !=
        std::string::npos);
  CHECK(ForestLink::make({"sigmoid", 0}, 1, &made).message().find("scale") != std::string::npos);
}
