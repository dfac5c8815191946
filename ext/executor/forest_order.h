// LeafOrder: the leaves of a tree from left to right.
#pragma once

#include <cstdint>
#include <vector>

#include "executor/forest.h"

namespace penstock::executor {

struct LeafOrder {
  // Of a checked tree.
  explicit LeafOrder(const Tree& tree);

  // Positions [begin, middle) lie below a split's left child, [middle, end) below its right one.
  struct Span {
    std::uint32_t begin = 0;
    std::uint32_t middle = 0;
    std::uint32_t end = 0;
  };

  std::vector<std::uint32_t> leaves;  // by position, the tree's index of the leaf
  std::vector<Span> spans;            // of each split
};

}  // namespace penstock::executor
