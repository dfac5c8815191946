// ForestWalk: rows go down the trees, several trees at a time, so that what one waits for the others hide.
// For every forest on every machine.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "executor/forest.h"
#include "executor/forest_places.h"

namespace penstock::executor {

// Immutable; used by any number of threads. A Bin is std::uint16_t or std::uint32_t, and holds what fits().
template <typename Bin>
class ForestWalk {
 public:
  // Whether so many slots and bins are numbered by a Bin. Category bits are slots here.
  static bool fits(std::size_t slots, std::size_t largest_bin) noexcept {
    constexpr std::size_t kMost = static_cast<Bin>(-1);
    return slots <= kMost && largest_bin < kMost;
  }

  // Of a checked forest, whose trees are taken in `order`: those of one output behind each other. Category
  // bit b is slot `first_bit` + b, 0 or 1.
  ForestWalk(const Forest& forest, const std::vector<std::uint32_t>& order, const Places& places,
             std::size_t first_bit);

  // Adds to sums[row * outputs + output]. Row r has its bins at bins + r * stride.
  void add(const Bin* bins, std::size_t stride, std::size_t rows, double* sums) const noexcept;

 private:
  // A leaf is its own child, and no bin is above its rank. Right children lie behind left ones.
  struct Node {
    Bin slot;
    Bin rank;
    std::uint32_t child;
  };
  // Trees that are walked together; of the last one fewer.
  static constexpr std::size_t kTogether = 16;
  // Trees are taken in chunks of about this size, each by all rows, so that it stays in the processor's
  // cache.
  static constexpr std::size_t kChunkBytes = 192 * 1024;

  void add_tree(const Tree& tree, const std::vector<SplitPlace>& places, std::size_t first_bit);
  template <std::size_t kTrees>
  void add_trees(std::size_t first, const Bin* bins, double* sums) const noexcept;
  void add_leaves(std::size_t first, std::span<const std::uint32_t> nodes, double* sums) const noexcept;

  std::size_t outputs_;
  std::size_t values_a_leaf_;
  std::vector<Node> nodes_;
  std::vector<std::uint32_t> roots_;   // of each tree
  std::vector<std::uint32_t> depths_;  // the most splits on a way
  std::vector<std::uint32_t> outputs_of_;
  std::vector<std::uint32_t> chunks_;  // the first tree of each, and behind the last one the number of trees
  std::vector<double> values_;  // [nodes] of leaves; or, of leaves with several values, [leaves, values] ...
  std::vector<std::uint32_t> leaf_of_;  // ... and where a node's begin
};

extern template class ForestWalk<std::uint16_t>;
extern template class ForestWalk<std::uint32_t>;

}  // namespace penstock::executor
