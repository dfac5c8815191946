#include "executor/forest_row.h"

#include <algorithm>
#include <bit>
#include <utility>

#if defined(__x86_64__)
#include <immintrin.h>
// GCC 12 takes the undefined sources of AVX-512 intrinsics for a mistake (GCC bug 105593).
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#define PENSTOCK_VBMI [[gnu::target("avx512f,avx512bw,avx512vl,avx512vbmi")]]
#endif

namespace penstock::executor {

bool ForestRow::fits(const Forest& forest, std::size_t slots, std::size_t largest_bin) noexcept {
#if defined(__x86_64__)
  const bool can = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                   __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vbmi");
#else
  const bool can = false;
#endif
  return can && slots <= kSlots && largest_bin <= UINT8_MAX &&
         std::ranges::all_of(forest.trees, [](const Tree& tree) {
           return tree.splits.size() < kLeaves &&
                  std::ranges::none_of(tree.splits, [](const Split& split) { return split.categorical; });
         });
}

ForestRow::ForestRow(const Forest& forest, const std::vector<std::uint32_t>& order, const Places& places,
                     std::size_t slots)
    : values_a_leaf_(static_cast<std::size_t>(forest.values_a_leaf)), wide_(slots > kSlots / 2) {
  for (const std::uint32_t index : order) {
    const Tree& tree = forest.trees[index];
    Splits& made = trees_.emplace_back();
    made.output = static_cast<std::uint32_t>(tree.output);
    made.first_leaf = static_cast<std::uint32_t>(values_.size() / values_a_leaf_);
    values_.insert(values_.end(), tree.leaves.begin(), tree.leaves.end());
    made.ranks.fill(UINT8_MAX);                  // of no split: no bin is above it
    made.right.fill(1);                          // of no leaf: on no way
    if (tree.splits.empty()) made.right[0] = 0;  // of the only one
    struct Open {
      std::int32_t split;
      std::uint32_t on_way;
      std::uint32_t right;
    };
    std::vector<Open> open;
    if (!tree.splits.empty()) open.push_back({0, 0, 0});
    while (!open.empty()) {
      const Open way = open.back();
      open.pop_back();
      const auto s = static_cast<std::size_t>(way.split);
      made.slots[s] = static_cast<std::uint8_t>(places[index][s].slot);
      made.ranks[s] = static_cast<std::uint8_t>(places[index][s].rank);
      const std::uint32_t bit = std::uint32_t{1} << s;
      const std::array<std::pair<std::int32_t, std::uint32_t>, 2> children{
          {{tree.splits[s].left, way.right}, {tree.splits[s].right, way.right | bit}}};
      for (const auto& [child, right] : children) {
        if (child >= 0) {
          open.push_back({child, way.on_way | bit, right});
        } else {
          made.on_way[static_cast<std::size_t>(~child)] = way.on_way | bit;
          made.right[static_cast<std::size_t>(~child)] = right;
        }
      }
    }
  }
}

#if defined(__x86_64__)

namespace {

// Which of 16 leaves is reached.
PENSTOCK_VBMI inline __mmask16 reached(__m512i right_at, const std::uint32_t* on_way,
                                       const std::uint32_t* right) {
  return _mm512_cmpeq_epi32_mask(_mm512_and_si512(right_at, _mm512_load_si512(on_way)),
                                 _mm512_load_si512(right));
}

// The upper half is of no interest.
PENSTOCK_VBMI inline __m512i load_half(const std::uint8_t* bytes) {
  return _mm512_zextsi256_si512(_mm256_load_si256(reinterpret_cast<const __m256i*>(bytes)));
}

}  // namespace

template <bool kWide>
PENSTOCK_VBMI inline std::size_t ForestRow::leaf(const Splits& tree, const Bins& bins) noexcept {
  const __m512i low = _mm512_loadu_si512(bins.data());
  const __m512i high = _mm512_loadu_si512(bins.data() + kSlots / 2);
  const __m512i slots = load_half(tree.slots.data());
  const __m512i picked =
      kWide ? _mm512_permutex2var_epi8(low, slots, high) : _mm512_permutexvar_epi8(slots, low);
  const auto right_at =
      static_cast<std::uint32_t>(_mm512_cmpgt_epu8_mask(picked, load_half(tree.ranks.data())));
  const __m512i everywhere = _mm512_set1_epi32(static_cast<int>(right_at));
  const __mmask16 first = reached(everywhere, &tree.on_way[0], &tree.right[0]);
  const __mmask16 second = reached(everywhere, &tree.on_way[16], &tree.right[16]);
  const std::uint32_t leaves = static_cast<std::uint32_t>(first) | static_cast<std::uint32_t>(second) << 16;
  return static_cast<std::size_t>(std::countr_zero(leaves));
}

template <bool kWide>
PENSTOCK_VBMI void ForestRow::add_trees(const Bins& bins, double* sums) const noexcept {
  if (values_a_leaf_ > 1) {
    for (const Splits& tree : trees_) {
      const double* values = values_.data() + (tree.first_leaf + leaf<kWide>(tree, bins)) * values_a_leaf_;
      for (std::size_t i = 0; i < values_a_leaf_; ++i) sums[i] += values[i];
    }
    return;
  }
  // One sum at a time, in a register.
  for (std::size_t t = 0; t < trees_.size();) {
    const std::uint32_t output = trees_[t].output;
    double sum = sums[output];
    for (; t < trees_.size() && trees_[t].output == output; ++t) {
      sum += values_[trees_[t].first_leaf + leaf<kWide>(trees_[t], bins)];
    }
    sums[output] = sum;
  }
}

void ForestRow::add(const Bins& bins, double* sums) const noexcept {
  wide_ ? add_trees<true>(bins, sums) : add_trees<false>(bins, sums);
}

#else

void ForestRow::add(const Bins&, double*) const noexcept {}  // fits() is never true

#endif

}  // namespace penstock::executor
