#include "loadgen/histogram.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace penstock::loadgen {

void Histogram::add(std::int64_t ns) noexcept {
  const std::int64_t value = std::max<std::int64_t>(ns, 0);
  ++counts_[index_of(static_cast<std::uint64_t>(value))];
  ++count_;
  max_ = std::max(max_, value);
  sum_ += static_cast<double>(value);
}

void Histogram::merge(const Histogram& other) noexcept {
  for (std::size_t index = 0; index < counts_.size(); ++index) counts_[index] += other.counts_[index];
  count_ += other.count_;
  max_ = std::max(max_, other.max_);
  sum_ += other.sum_;
}

std::int64_t Histogram::quantile(double quantile) const noexcept {
  const auto rank = static_cast<std::uint64_t>(std::ceil(quantile * static_cast<double>(count_)));
  std::uint64_t seen = 0;
  for (std::size_t index = 0; index < counts_.size(); ++index) {
    seen += counts_[index];
    if (seen != 0 && seen >= rank) return std::min(upper_bound(index), max_);
  }
  return 0;
}

std::size_t Histogram::index_of(std::uint64_t value) noexcept {
  if (value < kSub) return value;
  const int shift = static_cast<int>(std::bit_width(value)) - kSubBits - 1;
  return static_cast<std::size_t>(shift) * kSub + (value >> shift);  // the mantissa has kSub on top of it
}

std::int64_t Histogram::upper_bound(std::size_t index) noexcept {
  if (index < kSub) return static_cast<std::int64_t>(index);
  const std::size_t shift = index / kSub - 1;
  const std::uint64_t mantissa = index % kSub + kSub;
  return static_cast<std::int64_t>(((mantissa + 1) << shift) - 1);
}

}  // namespace penstock::loadgen
