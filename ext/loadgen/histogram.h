// Histogram: counts of nanoseconds in log-linear buckets, as HDR histograms have them: 256 to each power of
// two, so that the bounds of a bucket are within 1/256 (0.4 %) of each other, and values below 512 ns are
// exact. Owned by one thread. 114 KiB, and it never grows.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace penstock::loadgen {

class Histogram {
 public:
  // A negative value counts as 0.
  void add(std::int64_t ns) noexcept;
  // Adds the counts of another one.
  void merge(const Histogram& other) noexcept;

  std::uint64_t count() const noexcept { return count_; }
  std::int64_t max() const noexcept { return max_; }
  double sum() const noexcept { return sum_; }  // of the values themselves

  // The upper bound of the bucket that the value of rank ceil(quantile * count) lies in (0..1; the first
  // value for 0), and never more than the maximum; 0 when there is none.
  std::int64_t quantile(double quantile) const noexcept;

  // Calls visit(upper bound in ns, count) for each bucket that is not empty, in ascending order.
  template <typename Visit>
  void for_each(Visit visit) const {
    for (std::size_t index = 0; index < counts_.size(); ++index)
      if (counts_[index] != 0) visit(upper_bound(index), counts_[index]);
  }

 private:
  static constexpr int kSubBits = 8;
  static constexpr std::size_t kSub = std::size_t{1} << kSubBits;
  static constexpr std::size_t kBuckets = (64 - kSubBits) * kSub;

  static std::size_t index_of(std::uint64_t value) noexcept;
  static std::int64_t upper_bound(std::size_t index) noexcept;

  std::array<std::uint64_t, kBuckets> counts_{};
  std::uint64_t count_ = 0;
  std::int64_t max_ = 0;
  double sum_ = 0;
};

}  // namespace penstock::loadgen
