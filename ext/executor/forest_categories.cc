#include "executor/forest_categories.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
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
// A feature's table grows as its sets times its categories: up to so many words it is taken in any case.
constexpr std::size_t kSmallTable = std::size_t{1} << 16;

std::span<const std::int32_t> categories_of(const Tree& tree, const Split& split) noexcept {
  return std::span(tree.categories).subspan(split.first_category, split.last_category - split.first_category);
}

}  // namespace

ForestCategories::ForestCategories(const Forest& forest, Places* places)
    : inputs_are_fp32_(forest.inputs_are_fp32) {
  std::map<std::int32_t, std::vector<Asked>> asked;
  for (std::size_t t = 0; t < forest.trees.size(); ++t) {
    const Tree& tree = forest.trees[t];
    for (std::size_t s = 0; s < tree.splits.size(); ++s) {
      const Split& split = tree.splits[s];
      if (split.categorical) asked[split.feature].push_back({&tree, &split, &(*places)[t][s]});
    }
  }
  for (const auto& [index, splits] : asked) add_feature(index, splits);
}

void ForestCategories::add_feature(std::int32_t index, const std::vector<Asked>& splits) {
  Sets bits;
  std::set<std::int32_t> known;
  const std::size_t first_bit = words_ * 64;
  for (const auto& [tree, split, place] : splits) {
    const std::span<const std::int32_t> categories = categories_of(*tree, *split);
    known.insert(categories.begin(), categories.end());
    const auto next = static_cast<std::uint32_t>(first_bit + bits.size());
    const auto at =
        bits.try_emplace(Set({categories.begin(), categories.end()}, split->missing_left), next).first;
    *place = {at->second, 0, true};
  }
  Feature feature{static_cast<std::size_t>(index),
                  (bits.size() + 63) / 64,
                  words_,
                  false,
                  std::size_t{0},
                  known_.size(),
                  known.size(),
                  dense_.size(),
                  std::size_t{0}};
  known_.insert(known_.end(), known.begin(), known.end());
  const std::span<const std::int32_t> sorted = std::span(known_).subspan(feature.known);
  add_entries(bits, &feature);
  for (std::size_t i = 0; i < sorted.size() && sorted[i] < kDense; ++i) {
    dense_.resize(feature.dense + static_cast<std::size_t>(sorted[i]) + 1, kUnnamed);
    dense_.back() = static_cast<std::uint32_t>(kFirstKnown + i);
  }
  feature.dense_size = dense_.size() - feature.dense;
  words_ += feature.words;
  features_.push_back(feature);
}

void ForestCategories::add_entries(const Sets& sets, Feature* feature) {
  const std::size_t entries = kFirstKnown + feature->count;
  const std::span<const std::int32_t> known = std::span(known_).subspan(feature->known, feature->count);
  // Of each clear bit, the entry and the bit among the feature's.
  const auto each_clear = [&](auto&& visit) {
    for (const auto& [set, bit] : sets) {
      const std::size_t local = bit - feature->first_word * 64;
      if (set.second) visit(kMissing, local);
      for (const std::int32_t category : set.first) {
        const auto at = std::ranges::lower_bound(known, category) - known.begin();
        visit(kFirstKnown + static_cast<std::size_t>(at), local);
      }
    }
  };
  std::vector<std::size_t> starts(entries + 1);
  each_clear([&](std::size_t entry, std::size_t) { ++starts[entry + 1]; });
  std::partial_sum(starts.begin(), starts.end(), starts.begin());
  const std::size_t table = entries * feature->words;
  feature->listed = table > kSmallTable && starts.back() < table;
  if (!feature->listed) {
    feature->entries = table_.size();
    table_.resize(table_.size() + table, ~std::uint64_t{0});
    each_clear([&](std::size_t entry, std::size_t bit) {
      table_[feature->entries + entry * feature->words + bit / 64] &= ~(std::uint64_t{1} << (bit % 64));
    });
    return;
  }
  const std::size_t first = lists_.size();
  feature->entries = list_starts_.size();
  for (const std::size_t start : starts) list_starts_.push_back(first + start);
  lists_.resize(first + starts.back());
  each_clear([&](std::size_t entry, std::size_t bit) {
    lists_[first + starts[entry]++] = static_cast<std::uint32_t>(bit);
  });
}

std::size_t ForestCategories::entry(const Feature& feature, double value) const noexcept {
  if (std::isnan(value)) return kMissing;
  if (!is_category(value)) return kUnnamed;
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
    std::uint64_t* into = words + feature.first_word;
    const std::size_t at = entry(feature, compared(row[feature.index], inputs_are_fp32_));
    if (!feature.listed) {
      const std::uint64_t* from = table_.data() + feature.entries + at * feature.words;
      std::memcpy(into, from, feature.words * sizeof(std::uint64_t));
      continue;
    }
    std::fill_n(into, feature.words, ~std::uint64_t{0});
    const std::size_t* ends = list_starts_.data() + feature.entries + at;
    for (std::size_t i = ends[0]; i < ends[1]; ++i) {
      into[lists_[i] / 64] &= ~(std::uint64_t{1} << (lists_[i] % 64));
    }
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
