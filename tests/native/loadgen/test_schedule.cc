#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "loadgen/schedule.h"

using namespace penstock::loadgen;

namespace {

std::vector<std::int64_t> dues(Schedule schedule, std::size_t count) {
  std::vector<std::int64_t> out;
  for (std::size_t i = 0; i < count; ++i) {
    out.push_back(schedule.due());
    schedule.advance();
  }
  return out;
}

// The largest distance between the shares of `gaps` (ns, sorted) and the exponential distribution.
double distance_from_exponential(const std::vector<double>& gaps, double mean) {
  double most = 0;
  const auto count = static_cast<double>(gaps.size());
  for (std::size_t i = 0; i < gaps.size(); ++i) {
    const double share = 1 - std::exp(-gaps[i] / mean);
    most = std::max({most, std::abs(share - static_cast<double>(i) / count),
                     std::abs(share - static_cast<double>(i + 1) / count)});
  }
  return most;
}

}  // namespace

TEST_CASE("even requests have the same gap, and their errors do not add up") {
  for (const double rate : {1.0, 3.0, 7'777.7, 999'983.0}) {
    const auto due = dues(Schedule(Arrivals::kEven, rate, 0), 100'000);
    for (std::size_t n = 0; n < due.size(); n += 997)
      CHECK(std::abs(static_cast<double>(due[n]) - static_cast<double>(n) * 1e9 / rate) <= 1);
  }
}

TEST_CASE("even shares interleave to the even schedule of the whole") {
  constexpr unsigned kShares = 3;
  std::vector<std::int64_t> all;
  for (unsigned share = 0; share < kShares; ++share) {
    const auto part = dues(Schedule(Arrivals::kEven, 1234.5, 0, share, kShares), 1000);
    all.insert(all.end(), part.begin(), part.end());
  }
  std::ranges::sort(all);
  const auto whole = dues(Schedule(Arrivals::kEven, 1234.5, 0), all.size());
  for (std::size_t i = 0; i < all.size(); ++i) CHECK(std::abs(all[i] - whole[i]) <= 1);
}

TEST_CASE(
    "the gaps of a Poisson schedule are exponential and independent, for one thread and for shares "
    "together") {
  constexpr std::size_t kCount = 200'000;
  constexpr double kRate = 50'000;
  for (const unsigned shares : {1U, 4U}) {
    std::vector<std::int64_t> due;
    for (unsigned share = 0; share < shares; ++share) {
      const auto part = dues(Schedule(Arrivals::kPoisson, kRate, 42, share, shares), kCount / shares);
      due.insert(due.end(), part.begin(), part.end());
    }
    std::ranges::sort(due);
    due.resize(kCount * 9 / 10);  // where all shares still send
    std::vector<double> gaps;
    for (std::size_t i = 1; i < due.size(); ++i) gaps.push_back(static_cast<double>(due[i] - due[i - 1]));
    const double count = static_cast<double>(gaps.size());
    double sum = 0;
    for (const double gap : gaps) sum += gap;
    const double mean = sum / count;
    CHECK(mean == doctest::Approx(1e9 / kRate).epsilon(0.02));  // 8 standard errors
    double product = 0;
    double square = 0;
    for (std::size_t i = 0; i < gaps.size(); ++i) {
      square += (gaps[i] - mean) * (gaps[i] - mean);
      if (i != 0) product += (gaps[i] - mean) * (gaps[i - 1] - mean);
    }
    CHECK(std::abs(product / square) < 5 / std::sqrt(count));  // serial correlation
    std::ranges::sort(gaps);
    // Kolmogorov's test: above 1.95/sqrt(n) with a probability of 0.001. The seed is fixed.
    CHECK(distance_from_exponential(gaps, mean) < 1.95 / std::sqrt(count));
  }
}

TEST_CASE("a seed repeats its schedule, and another one gives another") {
  const auto first = dues(Schedule(Arrivals::kPoisson, 1000, 7), 100);
  CHECK(first == dues(Schedule(Arrivals::kPoisson, 1000, 7), 100));
  CHECK(first != dues(Schedule(Arrivals::kPoisson, 1000, 8), 100));
  CHECK(dues(Schedule(Arrivals::kPoisson, 1000, 7, 0, 2), 100) !=
        dues(Schedule(Arrivals::kPoisson, 1000, 7, 1, 2), 100));
}
