// ForestBins: the numbers of a row, as the splits of a forest see them.
//
// A slot is a feature together with what a missing value does. Its bin is the number of the slot's thresholds
// below the value, and lies at an end for a missing one: a split is then a comparison of small integers that
// knows of no missing value.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "executor/forest.h"
#include "executor/forest_places.h"

namespace penstock::executor {

// Immutable; used by any number of threads.
class ForestBins {
 public:
  // Of a checked forest. Fills in the places of numeric splits.
  ForestBins(const Forest& forest, Places* places);

  std::size_t slots() const noexcept { return slots_.size(); }
  // The largest of all slots.
  std::size_t largest_bin() const noexcept { return largest_bin_; }

  // bins[slot * stride], for a Bin that holds largest_bin(): std::uint8_t, std::uint16_t or std::uint32_t.
  // `row` has the forest's features, float or double.
  template <typename Element, typename Bin>
  void fill(const Element* row, Bin* bins, std::size_t stride) const noexcept;

 private:
  // Thresholds stand in groups of so many, the last one filled up with infinity.
  static constexpr std::size_t kGroup = 16;

  struct Slot {
    std::uint32_t feature;
    Missing missing;
    bool missing_left;
    std::uint32_t count;  // of thresholds
    std::size_t first;    // of them, in thresholds_
    std::size_t
        pivots;  // where 2 to kGroup groups have the largest of each, in thresholds_; 0: they have not
  };

  std::size_t rank(const Slot& slot, double value) const noexcept;
  std::size_t rank_avx512(const Slot& slot, double value) const noexcept;
  // The value that counts where it is not missing; `bin` where it is.
  template <typename Element>
  bool missing(const Slot& slot, Element element, double* value, std::size_t* bin) const noexcept;

  bool inputs_are_fp32_;
  bool avx512_;
  std::vector<Slot> slots_;
  std::vector<double> thresholds_;
  std::size_t largest_bin_ = 0;
};

}  // namespace penstock::executor
