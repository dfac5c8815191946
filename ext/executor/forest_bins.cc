#include "executor/forest_bins.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <tuple>

#if defined(__x86_64__)
#include <immintrin.h>
#define PENSTOCK_AVX512 [[gnu::target("avx512f,popcnt")]]
#endif

namespace penstock::executor {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

bool can_avx512() noexcept {
#if defined(__x86_64__)
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("popcnt");
#else
  return false;
#endif
}

}  // namespace

ForestBins::ForestBins(const Forest& forest, Places* places)
    : inputs_are_fp32_(forest.inputs_are_fp32), avx512_(can_avx512()) {
  std::map<std::tuple<std::int32_t, Missing, bool>, std::vector<double>> asked;
  for (const Tree& tree : forest.trees) {
    for (const Split& split : tree.splits) {
      if (!split.categorical)
        asked[{split.feature, split.missing, split.missing_left}].push_back(split.threshold);
    }
  }
  std::map<std::tuple<std::int32_t, Missing, bool>, std::uint32_t> slots;
  for (auto& [key, values] : asked) {
    std::ranges::sort(values);
    values.erase(std::ranges::unique(values).begin(), values.end());
    slots[key] = static_cast<std::uint32_t>(slots_.size());
    Slot slot{static_cast<std::uint32_t>(std::get<0>(key)), std::get<1>(key),   std::get<2>(key),
              static_cast<std::uint32_t>(values.size()),    thresholds_.size(), 0};
    thresholds_.insert(thresholds_.end(), values.begin(), values.end());
    const std::size_t groups = (values.size() + kGroup - 1) / kGroup;
    thresholds_.resize(slot.first + groups * kGroup, kInfinity);
    if (groups > 1 && groups <= kGroup) {
      slot.pivots = thresholds_.size();
      for (std::size_t g = 0; g < groups; ++g)
        thresholds_.push_back(thresholds_[slot.first + g * kGroup + kGroup - 1]);
      thresholds_.resize(slot.pivots + kGroup, kInfinity);
    }
    slots_.push_back(slot);
    largest_bin_ = std::max(largest_bin_, values.size());
  }
  for (std::size_t t = 0; t < forest.trees.size(); ++t) {
    for (std::size_t s = 0; s < forest.trees[t].splits.size(); ++s) {
      const Split& split = forest.trees[t].splits[s];
      if (split.categorical) continue;
      const auto key = std::make_tuple(split.feature, split.missing, split.missing_left);
      const std::vector<double>& values = asked[key];
      const auto at = std::ranges::lower_bound(values, split.threshold);
      (*places)[t][s] = {slots[key], static_cast<std::uint32_t>(at - values.begin()), false};
    }
  }
  thresholds_.shrink_to_fit();
}

template <typename Element>
bool ForestBins::missing(const Slot& slot, Element element, double* value, std::size_t* bin) const noexcept {
  double x = compared(element, inputs_are_fp32_);
  bool gone = std::isnan(x) && slot.missing != Missing::kNone;
  if (std::isnan(x)) x = 0;
  if (slot.missing == Missing::kZero) gone = gone || std::fabs(x) <= kNearZero;
  *value = x;
  *bin = slot.missing_left ? 0 : slot.count;
  return gone;
}

// How many thresholds lie below the value. Halves what is left without a branch that depends on it.
std::size_t ForestBins::rank(const Slot& slot, double value) const noexcept {
  const double* base = thresholds_.data() + slot.first;
  std::size_t left = slot.count;
  while (left > 1) {
    const std::size_t half = left / 2;
    base += base[half - 1] < value ? half : 0;
    left -= half;
  }
  return static_cast<std::size_t>(base - (thresholds_.data() + slot.first)) + (*base < value ? 1 : 0);
}

#if defined(__x86_64__)

namespace {

// How many of 16 lie below.
PENSTOCK_AVX512 inline std::size_t below(const double* sixteen, __m512d value) noexcept {
  const __mmask8 low = _mm512_cmp_pd_mask(_mm512_loadu_pd(sixteen), value, _CMP_LT_OQ);
  const __mmask8 high = _mm512_cmp_pd_mask(_mm512_loadu_pd(sixteen + 8), value, _CMP_LT_OQ);
  return static_cast<std::size_t>(__builtin_popcount(low | static_cast<unsigned>(high) << 8));
}

}  // namespace

// The group first, then the place in it: two steps instead of eight that wait for each other.
PENSTOCK_AVX512 std::size_t ForestBins::rank_avx512(const Slot& slot, double value) const noexcept {
  const __m512d wide = _mm512_set1_pd(value);
  std::size_t group = 0;
  if (slot.pivots != 0) {
    // Beyond all thresholds no group is left: the last one counts itself.
    const std::size_t last = (slot.count - 1) / kGroup;
    group = std::min(below(thresholds_.data() + slot.pivots, wide), last);
  }
  return group * kGroup + below(thresholds_.data() + slot.first + group * kGroup, wide);
}

#else

std::size_t ForestBins::rank_avx512(const Slot& slot, double value) const noexcept {
  return rank(slot, value);
}

#endif

template <typename Element, typename Bin>
void ForestBins::fill(const Element* row, Bin* bins, std::size_t stride) const noexcept {
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    const Slot& slot = slots_[i];
    double value = 0;
    std::size_t bin = 0;
    if (!missing(slot, row[slot.feature], &value, &bin)) {
      const bool grouped = slot.pivots != 0 || slot.count <= kGroup;
      bin = avx512_ && grouped ? rank_avx512(slot, value) : rank(slot, value);
    }
    bins[i * stride] = static_cast<Bin>(bin);
  }
}

#define PENSTOCK_FILL(Bin)                                                                    \
  template void ForestBins::fill<float, Bin>(const float*, Bin*, std::size_t) const noexcept; \
  template void ForestBins::fill<double, Bin>(const double*, Bin*, std::size_t) const noexcept
PENSTOCK_FILL(std::uint8_t);
PENSTOCK_FILL(std::uint16_t);
PENSTOCK_FILL(std::uint32_t);
#undef PENSTOCK_FILL

}  // namespace penstock::executor
