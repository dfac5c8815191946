#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

#include "loadgen/histogram.h"

using namespace penstock::loadgen;

namespace {

// Of every size from nanoseconds to centuries.
std::vector<std::int64_t> values(std::uint64_t seed, std::size_t count) {
  std::mt19937_64 random(seed);
  std::vector<std::int64_t> out;
  for (std::size_t i = 0; i < count; ++i)
    out.push_back(static_cast<std::int64_t>(random() >> (1 + random() % 62)));
  return out;
}

}  // namespace

TEST_CASE("a quantile is the value of its rank, and above it by less than 1/256") {
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    std::vector<std::int64_t> all = values(seed, 1 + seed * 7);
    Histogram histogram;
    for (const std::int64_t value : all) histogram.add(value);
    std::ranges::sort(all);
    CHECK(histogram.count() == all.size());
    CHECK(histogram.max() == all.back());
    for (const double quantile : {0.0, 0.001, 0.25, 0.5, 0.9, 0.99, 0.999, 1.0}) {
      const auto rank = static_cast<std::size_t>(std::ceil(quantile * static_cast<double>(all.size())));
      const auto exact = static_cast<double>(all[rank == 0 ? 0 : rank - 1]);
      const auto found = static_cast<double>(histogram.quantile(quantile));
      CHECK(found >= exact);
      CHECK(found <= exact * (1 + 1.0 / 256));
    }
  }
}

TEST_CASE("small values are exact") {
  for (std::int64_t value = 0; value < 512; ++value) {
    Histogram histogram;
    histogram.add(value);
    histogram.add(std::int64_t{1} << 40);  // so that the maximum does not stand in for the bound
    CHECK(histogram.quantile(0.5) == value);
  }
}

TEST_CASE("merged histograms are the histogram of all values") {
  Histogram whole;
  Histogram first;
  Histogram second;
  const auto all = values(3, 5000);
  for (std::size_t i = 0; i < all.size(); ++i) {
    whole.add(all[i]);
    (i % 3 == 0 ? first : second).add(all[i]);
  }
  first.merge(second);
  std::vector<std::pair<std::int64_t, std::uint64_t>> expected;
  std::vector<std::pair<std::int64_t, std::uint64_t>> found;
  whole.for_each([&](std::int64_t bound, std::uint64_t count) { expected.emplace_back(bound, count); });
  first.for_each([&](std::int64_t bound, std::uint64_t count) { found.emplace_back(bound, count); });
  CHECK(found == expected);
  CHECK(first.count() == whole.count());
  CHECK(first.max() == whole.max());
  CHECK(first.sum() == doctest::Approx(whole.sum()));
}

TEST_CASE("the smallest and the largest value have a bucket, and negative ones count as 0") {
  Histogram histogram;
  histogram.add(INT64_MIN);
  histogram.add(-1);
  histogram.add(INT64_MAX);
  CHECK(histogram.count() == 3);
  CHECK(histogram.quantile(0.5) == 0);
  CHECK(histogram.quantile(1) == INT64_MAX);
  CHECK(Histogram().quantile(0.5) == 0);
}
