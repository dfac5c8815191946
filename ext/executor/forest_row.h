// ForestRow: one row through trees of few leaves, all splits of a tree compared at once (AVX-512 VBMI).
//
// A tree's splits give a word of bits, set where the row would go right; a leaf is reached by exactly one
// pattern of those bits that lie on its way. So a tree is read from one end to the other, and there is no
// branch to be guessed.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "executor/forest.h"
#include "executor/forest_places.h"

namespace penstock::executor {

// Immutable; used by any number of threads.
class ForestRow {
 public:
  static constexpr std::size_t kLeaves = 32;  // of a tree, at most
  static constexpr std::size_t kSlots = 128;  // of a forest, at most: two registers of bins

  // Whether this machine can, and the forest has no more than the above, bins that fit a byte, and no
  // categories.
  static bool fits(const Forest& forest, std::size_t slots, std::size_t largest_bin) noexcept;

  // Of a checked forest, whose trees are taken in `order`.
  ForestRow(const Forest& forest, const std::vector<std::uint32_t>& order, const Places& places,
            std::size_t slots);

  using Bins = std::array<std::uint8_t, kSlots>;
  // Adds to sums[output].
  void add(const Bins& bins, double* sums) const noexcept;

 private:
  struct alignas(64) Splits {
    std::array<std::uint8_t, kLeaves> slots{};
    std::array<std::uint8_t, kLeaves> ranks{};
    std::array<std::uint32_t, kLeaves> on_way{};  // by leaf: the splits that lie on the way to it ...
    std::array<std::uint32_t, kLeaves> right{};   // ... and where that goes right
    std::uint32_t output = 0;
    std::uint32_t first_leaf = 0;  // in values_
  };

  template <bool kWide>
  static std::size_t leaf(const Splits& tree, const Bins& bins) noexcept;
  template <bool kWide>
  void add_trees(const Bins& bins, double* sums) const noexcept;

  std::size_t values_a_leaf_;
  bool wide_;  // more slots than one register has
  std::vector<Splits> trees_;
  std::vector<double> values_;  // [leaves, values a leaf]
};

}  // namespace penstock::executor
