#include "executor/forest_categories.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <set>
#include <span>
#include <utility>

namespace penstock::executor {
namespace {

// Categories below this are looked up in an array.
constexpr std::int32_t kDense = 1 << 16;
constexpr std::size_t kUnnamed = 0;
constexpr std::size_t kMissing = 1;
constexpr std::size_t kFirstKnown = 2;

std::span<const std::int32_t> categories_of(const Tree& tree, const Split& split) noexcept {
  return std::span(tree.categories).subspan(split.first_category, split.last_category - split.first_category);
}

}  // namespace

ForestCategories::ForestCategories(const Forest& forest, Places* places)
    : inputs_are_fp32_(forest.inputs_are_fp32) {
  std::set<std::int32_t> asked;
  for (const Tree& tree : forest.trees) {
    for (const Split& split : tree.splits) {
      if (split.categorical) asked.insert(split.feature);
    }
  }
  for (const std::int32_t index : asked) add_feature(index, forest, places);
}

void ForestCategories::add_feature(std::int32_t index, const Forest& forest, Places* places) {
  using Set = std::pair<std::vector<std::int32_t>, bool>;
  std::map<Set, std::uint32_t> bits;
  std::set<std::int32_t> known;
  const std::size_t first_bit = words_ * 64;
  for (std::size_t t = 0; t < forest.trees.size(); ++t) {
    for (std::size_t s = 0; s < forest.trees[t].splits.size(); ++s) {
      const Split& split = forest.trees[t].splits[s];
      if (!split.categorical || split.feature != index) continue;
      const std::span<const std::int32_t> categories = categories_of(forest.trees[t], split);
      known.insert(categories.begin(), categories.end());
      const auto next = static_cast<std::uint32_t>(first_bit + bits.size());
      const auto at =
          bits.try_emplace(Set({categories.begin(), categories.end()}, split.missing_left), next).first;
      (*places)[t][s] = {at->second, 0, true};
    }
  }
  Feature feature{static_cast<std::size_t>(index),
                  (bits.size() + 63) / 64,
                  words_,
                  table_.size(),
                  known_.size(),
                  known.size(),
                  dense_.size(),
                  std::size_t{0}};
  known_.insert(known_.end(), known.begin(), known.end());
  table_.resize(table_.size() + (kFirstKnown + known.size()) * feature.words, ~std::uint64_t{0});
  const std::span<const std::int32_t> sorted = std::span(known_).subspan(feature.known);
  for (const auto& [set, bit] : bits) {
    const std::size_t local = bit - first_bit;
    const auto clear = [&](std::size_t entry) {
      table_[feature.table + entry * feature.words + local / 64] &= ~(std::uint64_t{1} << (local % 64));
    };
    if (set.second) clear(kMissing);
    for (const std::int32_t category : set.first) {
      clear(kFirstKnown +
            static_cast<std::size_t>(std::ranges::lower_bound(sorted, category) - sorted.begin()));
    }
  }
  for (std::size_t i = 0; i < sorted.size() && sorted[i] < kDense; ++i) {
    dense_.resize(feature.dense + static_cast<std::size_t>(sorted[i]) + 1, kUnnamed);
    dense_.back() = static_cast<std::uint32_t>(kFirstKnown + i);
  }
  feature.dense_size = dense_.size() - feature.dense;
  words_ += feature.words;
  features_.push_back(feature);
}

std::size_t ForestCategories::entry(const Feature& feature, double value) const noexcept {
  if (std::isnan(value)) return kMissing;
  if (!(value > -1 && value < 2147483648.0)) return kUnnamed;
  const auto category = static_cast<std::int32_t>(value);
  if (const auto at = static_cast<std::size_t>(category); at < feature.dense_size)
    return dense_[feature.dense + at];
  const std::span<const std::int32_t> known = std::span(known_).subspan(feature.known, feature.count);
  const auto at = std::ranges::lower_bound(known, category);
  if (at == known.end() || *at != category) return kUnnamed;
  return kFirstKnown + static_cast<std::size_t>(at - known.begin());
}

template <typename Element>
void ForestCategories::fill(const Element* row, std::uint64_t* words) const noexcept {
  for (const Feature& feature : features_) {
    const Element element = row[feature.index];
    const double value =
        inputs_are_fp32_ ? static_cast<double>(static_cast<float>(element)) : static_cast<double>(element);
    const std::uint64_t* from = table_.data() + feature.table + entry(feature, value) * feature.words;
    std::memcpy(words + feature.first_word, from, feature.words * sizeof(std::uint64_t));
  }
}

template void ForestCategories::fill(const float*, std::uint64_t*) const noexcept;
template void ForestCategories::fill(const double*, std::uint64_t*) const noexcept;

// Halves of blocks change places, in blocks of 64, 32, ... 2 (Warren, Hacker's Delight, 7-3).
void transpose_bits(std::uint64_t rows[64]) noexcept {
  std::uint64_t mask = 0x00000000ffffffff;
  for (std::size_t half = 32; half != 0; half /= 2, mask ^= mask << half) {
    for (std::size_t block = 0; block < 64; block += 2 * half) {
      for (std::size_t r = block; r < block + half; ++r) {
        const std::uint64_t change = ((rows[r] >> half) ^ rows[r + half]) & mask;
        rows[r] ^= change << half;
        rows[r + half] ^= change;
      }
    }
  }
}

}  // namespace penstock::executor
