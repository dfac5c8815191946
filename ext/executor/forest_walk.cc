#include "executor/forest_walk.h"

#include <algorithm>
#include <array>

namespace penstock::executor {

template <typename Bin>
ForestWalk<Bin>::ForestWalk(const Forest& forest, const std::vector<std::uint32_t>& order,
                            const Places& places, std::size_t first_bit)
    : outputs_(static_cast<std::size_t>(forest.outputs)),
      values_a_leaf_(static_cast<std::size_t>(forest.values_a_leaf)) {
  std::size_t chunk_begin = 0;
  chunks_.push_back(0);
  for (std::size_t i = 0; i < order.size(); ++i) {
    // Chunks begin where those that are walked together do.
    if (i % kTogether == 0 && (nodes_.size() - chunk_begin) * sizeof(Node) >= kChunkBytes) {
      chunk_begin = nodes_.size();
      chunks_.push_back(static_cast<std::uint32_t>(i));
    }
    const Tree& tree = forest.trees[order[i]];
    add_tree(tree, places[order[i]], first_bit);
    outputs_of_.push_back(static_cast<std::uint32_t>(tree.output));
  }
  chunks_.push_back(static_cast<std::uint32_t>(order.size()));
  nodes_.shrink_to_fit();
  values_.shrink_to_fit();
  leaf_of_.shrink_to_fit();
}

// Level by level: what most rows pass lies together.
template <typename Bin>
void ForestWalk<Bin>::add_tree(const Tree& tree, const std::vector<SplitPlace>& places,
                               std::size_t first_bit) {
  struct Open {
    std::int32_t child;
    std::uint32_t node;
  };
  const auto new_node = [&] {
    nodes_.emplace_back();
    if (values_a_leaf_ > 1) {
      leaf_of_.push_back(0);
    } else {
      values_.push_back(0);
    }
    return static_cast<std::uint32_t>(nodes_.size() - 1);
  };
  std::vector<Open> level{{tree.splits.empty() ? ~0 : 0, new_node()}};
  roots_.push_back(level[0].node);
  std::uint32_t depth = 0;
  for (std::vector<Open> next; !level.empty(); level.swap(next), next.clear()) {
    for (const auto [child, node] : level) {
      if (child < 0) {
        nodes_[node] = {0, static_cast<Bin>(-1), node};
        const auto leaf = static_cast<std::size_t>(~child);
        if (values_a_leaf_ == 1) {
          values_[node] = tree.leaves[leaf];
        } else {
          leaf_of_[node] = static_cast<std::uint32_t>(values_.size());
          const auto from = tree.leaves.begin() + static_cast<std::ptrdiff_t>(leaf * values_a_leaf_);
          values_.insert(values_.end(), from, from + static_cast<std::ptrdiff_t>(values_a_leaf_));
        }
        continue;
      }
      const auto index = static_cast<std::size_t>(child);
      const SplitPlace& place = places[index];
      const std::uint32_t left = new_node();
      const std::uint32_t right = new_node();
      nodes_[node] = {static_cast<Bin>(place.slot + (place.categorical ? first_bit : 0)),
                      static_cast<Bin>(place.rank), left};
      next.push_back({tree.splits[index].left, left});
      next.push_back({tree.splits[index].right, right});
    }
    if (!next.empty()) ++depth;
  }
  depths_.push_back(depth);
}

template <typename Bin>
void ForestWalk<Bin>::add_leaves(std::size_t first, std::span<const std::uint32_t> nodes,
                                 double* sums) const noexcept {
  if (values_a_leaf_ > 1) {
    for (const std::uint32_t node : nodes) {
      const double* values = values_.data() + leaf_of_[node];
      for (std::size_t i = 0; i < values_a_leaf_; ++i) sums[i] += values[i];
    }
    return;
  }
  // Mostly they are of one output: its sum is read and written once.
  const std::uint32_t output = outputs_of_[first];
  if (output == outputs_of_[first + nodes.size() - 1]) {
    double sum = sums[output];
    for (const std::uint32_t node : nodes) sum += values_[node];
    sums[output] = sum;
    return;
  }
  for (std::size_t i = 0; i < nodes.size(); ++i) sums[outputs_of_[first + i]] += values_[nodes[i]];
}

template <typename Bin>
template <std::size_t kTrees>
void ForestWalk<Bin>::add_trees(std::size_t first, const Bin* bins, double* sums) const noexcept {
  // A few steps too many cost less than to look whether all have arrived, unless trees are deep.
  constexpr std::uint32_t kLookFrom = 16;
  constexpr std::uint32_t kStride = 4;
  const Node* nodes = nodes_.data();
  std::array<std::uint32_t, kTrees> at;
  std::uint32_t depth = 0;
  for (std::size_t i = 0; i < kTrees; ++i) {
    at[i] = roots_[first + i];
    depth = std::max(depth, depths_[first + i]);
  }
  const auto step = [&] {
    for (std::size_t i = 0; i < kTrees; ++i) {
      const Node node = nodes[at[i]];
      at[i] = node.child + (bins[node.slot] > node.rank ? 1U : 0U);
    }
  };
  if (depth <= kLookFrom) {
    for (; depth != 0; --depth) step();
  } else {
    for (bool arrived = false; !arrived;) {
      for (std::uint32_t i = 0; i < kStride; ++i) step();
      std::uint32_t left = 0;
      for (std::size_t i = 0; i < kTrees; ++i) left |= nodes[at[i]].child ^ at[i];
      arrived = left == 0;
    }
  }
  add_leaves(first, at, sums);
}

template <typename Bin>
void ForestWalk<Bin>::add(const Bin* bins, std::size_t stride, std::size_t rows,
                          double* sums) const noexcept {
  for (std::size_t chunk = 0; chunk + 1 < chunks_.size(); ++chunk) {
    const std::size_t end = chunks_[chunk + 1];
    for (std::size_t r = 0; r < rows; ++r) {
      const Bin* row = bins + r * stride;
      double* row_sums = sums + r * outputs_;
      std::size_t tree = chunks_[chunk];
      for (; tree + kTogether <= end; tree += kTogether) add_trees<kTogether>(tree, row, row_sums);
      for (; tree + 4 <= end; tree += 4) add_trees<4>(tree, row, row_sums);
      for (; tree < end; ++tree) add_trees<1>(tree, row, row_sums);
    }
  }
}

template class ForestWalk<std::uint16_t>;
template class ForestWalk<std::uint32_t>;

}  // namespace penstock::executor
