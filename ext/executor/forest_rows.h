// ForestRows: 64 rows at a time through trees of up to 256 leaves, by bit vectors of leaves (after
// QuickScorer, Lucchese et al. 2015, and RapidScorer, Ye et al. 2018).
//
// The leaves of a tree, from left to right, are bits. A split whose row goes right crosses out the leaves
// below its left child; when all splits have done so, the first bit that is left is the row's leaf. No split
// waits for another, and eight leaves of 64 rows, a plane, are one register.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "executor/forest.h"
#include "executor/forest_places.h"

namespace penstock::executor {

// Immutable; used by any number of threads.
class ForestRows {
 public:
  static constexpr std::size_t kBlock = 64;    // rows
  static constexpr std::size_t kLeaves = 256;  // of a tree, at most
  static constexpr std::size_t kSlots = 65536;

  // What the rows of a block are made into.
  struct Block {
    const std::uint8_t* bins;    // [slots, kBlock]
    const std::uint64_t* masks;  // [category bits]: bit r is row r's
    double* sums;                // [outputs, kBlock]
  };

  struct View;
  // One way to compute it.
  struct Kernel {
    std::string_view name;
    void (*add)(const View& forest, std::size_t first_tree, std::size_t last_tree, const Block& block);
  };
  // Those that this machine can run, the fastest last; none on some.
  static std::span<const Kernel> kernels() noexcept;

  // Whether the forest has no more than the above, and bins that fit a byte.
  static bool fits(const Forest& forest, std::size_t slots, std::size_t largest_bin) noexcept;

  // Of a checked forest, whose trees are taken in `order`: those of one output behind each other.
  ForestRows(const Forest& forest, const std::vector<std::uint32_t>& order, const Places& places);

  // Adds to the sums of each block.
  void add(const Kernel& kernel, std::span<const Block> blocks) const noexcept;

  // Rows whose bin is above `rank`, or whose category bit is set, keep only these of eight leaves.
  struct Numbers {
    std::uint16_t slot;
    std::uint8_t rank;
    std::uint8_t keep;
  };
  struct Categories {
    std::uint32_t bit;
    std::uint8_t keep;
  };
  // Where the splits that cross out leaves of a plane end; they begin where those of the plane before end.
  struct Plane {
    std::uint32_t numbers;
    std::uint32_t categories;
  };
  struct Layout {
    std::uint32_t first_plane;
    std::uint32_t planes;
    std::uint32_t output;
  };
  struct View {
    std::span<const Layout> trees;
    std::span<const Plane> planes;  // from the last of a tree to its first
    std::span<const Numbers> numbers;
    std::span<const Categories> categories;
    const double* values;  // [planes, 8, values a leaf], in the order of a tree's leaves
    std::size_t values_a_leaf;
  };

 private:
  // Trees are taken in chunks of about this size, each by all blocks, so that it stays in the processor's
  // cache.
  static constexpr std::size_t kChunkBytes = 256 * 1024;

  void add_tree(const Tree& tree, const std::vector<SplitPlace>& places);
  View view() const noexcept {
    return {trees_, planes_, numbers_, categories_, values_.data(), values_a_leaf_};
  }

  std::size_t values_a_leaf_;
  std::vector<Layout> trees_;
  std::vector<Plane> planes_;
  std::vector<Numbers> numbers_;
  std::vector<Categories> categories_;
  std::vector<double> values_;
  std::vector<std::uint32_t> chunks_;  // the first tree of each, and behind the last one the number of trees
};

}  // namespace penstock::executor
