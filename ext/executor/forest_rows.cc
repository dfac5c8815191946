#include "executor/forest_rows.h"

#include <algorithm>

#include "executor/forest_order.h"

namespace penstock::executor {
namespace {

constexpr std::size_t kPlane = 8;  // leaves

// Of the leaves [8 plane, 8 plane + 8), those outside of [begin, end), as bits.
std::uint8_t outside(std::size_t plane, std::size_t begin, std::size_t end) noexcept {
  unsigned keep = 0;
  for (std::size_t i = 0; i < kPlane; ++i) {
    const std::size_t leaf = plane * kPlane + i;
    if (leaf < begin || leaf >= end) keep |= 1U << i;
  }
  return static_cast<std::uint8_t>(keep);
}

}  // namespace

bool ForestRows::fits(const Forest& forest, std::size_t slots, std::size_t largest_bin) noexcept {
  // A split may be listed in half of the planes; the lists have indices of 32 bits.
  constexpr std::size_t kMostTrees = std::size_t{1} << 18;
  return slots <= kSlots && largest_bin <= UINT8_MAX && forest.trees.size() <= kMostTrees &&
         std::ranges::all_of(forest.trees, [](const Tree& tree) { return tree.splits.size() < kLeaves; });
}

ForestRows::ForestRows(const Forest& forest, const std::vector<std::uint32_t>& order, const Places& places)
    : values_a_leaf_(static_cast<std::size_t>(forest.values_a_leaf)) {
  std::size_t chunk_begin = 0;
  chunks_.push_back(0);
  for (std::size_t i = 0; i < order.size(); ++i) {
    const std::size_t bytes = numbers_.size() * sizeof(Numbers) + categories_.size() * sizeof(Categories) +
                              values_.size() * sizeof(double);
    if (bytes - chunk_begin >= kChunkBytes) {
      chunk_begin = bytes;
      chunks_.push_back(static_cast<std::uint32_t>(i));
    }
    add_tree(forest.trees[order[i]], places[order[i]]);
  }
  chunks_.push_back(static_cast<std::uint32_t>(order.size()));
  planes_.shrink_to_fit();
  numbers_.shrink_to_fit();
  categories_.shrink_to_fit();
  values_.shrink_to_fit();
}

void ForestRows::add_tree(const Tree& tree, const std::vector<SplitPlace>& places) {
  const LeafOrder order(tree);
  const std::size_t planes = (order.leaves.size() + kPlane - 1) / kPlane;
  trees_.push_back({static_cast<std::uint32_t>(planes_.size()), static_cast<std::uint32_t>(planes),
                    static_cast<std::uint32_t>(tree.output)});
  for (std::size_t plane = planes; plane-- > 0;) {
    for (std::size_t s = 0; s < tree.splits.size(); ++s) {
      const LeafOrder::Span& span = order.spans[s];
      const std::uint8_t keep = outside(plane, span.begin, span.middle);
      if (keep == UINT8_MAX) continue;
      const SplitPlace& place = places[s];
      if (place.categorical) {
        categories_.push_back({place.slot, keep});
      } else {
        numbers_.push_back(
            {static_cast<std::uint16_t>(place.slot), static_cast<std::uint8_t>(place.rank), keep});
      }
    }
    planes_.push_back(
        {static_cast<std::uint32_t>(numbers_.size()), static_cast<std::uint32_t>(categories_.size())});
  }
  const std::size_t first = values_.size();
  values_.resize(first + planes * kPlane * values_a_leaf_);
  for (std::size_t i = 0; i < order.leaves.size(); ++i) {
    const auto from = tree.leaves.begin() + static_cast<std::ptrdiff_t>(order.leaves[i] * values_a_leaf_);
    std::copy_n(from, values_a_leaf_,
                values_.begin() + static_cast<std::ptrdiff_t>(first + i * values_a_leaf_));
  }
}

void ForestRows::add(const Kernel& kernel, std::span<const Block> blocks) const noexcept {
  const View forest = view();
  for (std::size_t chunk = 0; chunk + 1 < chunks_.size(); ++chunk) {
    for (const Block& block : blocks) kernel.add(forest, chunks_[chunk], chunks_[chunk + 1], block);
  }
}

}  // namespace penstock::executor
