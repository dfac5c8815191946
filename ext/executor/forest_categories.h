// ForestCategories: the categories of a row, as the splits of a forest see them: one bit for each set of
// categories that a split asks for, set where the row goes right.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <utility>
#include <vector>

#include "executor/forest.h"
#include "executor/forest_places.h"

namespace penstock::executor {

// Immutable; used by any number of threads.
class ForestCategories {
 public:
  // Of a checked forest. Fills in the places of categorical splits.
  ForestCategories(const Forest& forest, Places* places);

  // Bits come in whole words, so that some of them stand for nothing.
  std::size_t words() const noexcept { return words_; }

  // words[bit / 64], its bit bit % 64. `row` has the forest's features, float or double.
  template <typename Element>
  void fill(const Element* row, std::uint64_t* words) const noexcept;

 private:
  struct Feature {
    std::size_t index;       // of the row's features
    std::size_t words;       // of bits
    std::size_t first_word;  // of a row's
    // What stands for a category that no split names, for a missing value, and for each known category: in
    // table_ its words; or, where that would be large and almost all of its bits set, in list_starts_ where
    // its bits that are clear begin in lists_, up to those of the next.
    bool listed;
    std::size_t entries;
    std::size_t known;  // in known_, of ...
    std::size_t count;  // ... so many, ascending
    std::size_t dense;  // in dense_: of each category below dense_size, which entry of the table
    std::size_t dense_size;
  };

  using Set = std::pair<std::vector<std::int32_t>, bool>;  // who goes left, and whether missing values do
  using Sets = std::map<Set, std::uint32_t>;               // and the bit of each

  struct Asked {
    const Tree* tree;
    const Split* split;
    SplitPlace* place;
  };

  void add_feature(std::int32_t index, const std::vector<Asked>& splits);
  void add_entries(const Sets& sets, Feature* feature);
  std::size_t entry(const Feature& feature, double value) const noexcept;

  bool inputs_are_fp32_;
  std::vector<Feature> features_;
  std::vector<std::int32_t> known_;
  std::vector<std::uint32_t> dense_;
  std::vector<std::uint64_t> table_;
  std::vector<std::size_t> list_starts_;
  std::vector<std::uint32_t> lists_;
  std::size_t words_ = 0;
};

// Turns 64 rows of 64 bits round: bit c of row r comes to bit r of row c.
void transpose_bits(std::uint64_t rows[64]) noexcept;

}  // namespace penstock::executor
