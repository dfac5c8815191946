// ForestContributions: how much each feature of a row moved a forest's sum away from its mean over the
// training rows. These are the path-dependent Shapley values of TreeSHAP (Lundberg et al., "Consistent
// Individualized Feature Attribution for Tree Ensembles", arXiv:1802.03888), what LightGBM calls
// pred_contrib.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "base/arena.h"
#include "base/status.h"
#include "executor/forest.h"

namespace penstock::executor {

// Immutable; used by any number of threads.
class ForestContributions {
 public:
  // `forest` is well formed, as load_forest() checks; nothing of it is kept. UNIMPLEMENTED, with the reason,
  // for one whose trees do not say how many training rows reached their nodes, or whose paths are so long
  // that a row would take more than kMostScratch bytes.
  static Status make(const Forest& forest, std::unique_ptr<const ForestContributions>* made);

  static constexpr std::size_t kMostScratch = std::size_t{64} << 20;

  std::size_t values_a_row() const noexcept { return outputs_ * (features_ + 1); }

  // rows [count, features] to contributions [count, outputs, features + 1]. The last of each output is the
  // mean of its sum; together they add up to the sum, before the link. The scratch is of `arena`. The same
  // row gives the same bits in every batch. Throws std::bad_alloc.
  void compute(const double* rows, std::size_t count, Arena& arena, double* contributions) const;
  void compute(const float* rows, std::size_t count, Arena& arena, double* contributions) const;

 private:
  // Of a tree, in preorder: a split's left child comes right after it.
  struct Node {
    double fraction;  // of the training rows that reached its parent
    union {
      double threshold;
      struct {
        std::uint32_t first;
        std::uint32_t last;
      } categories;       // of categories_
      std::size_t value;  // a leaf's first, of values_
    };
    std::int32_t feature;  // -1: a leaf
    std::uint32_t depth;
    std::uint32_t before;  // depth of the nearest node above that the same feature led to; 0: none did
    bool categorical;
    Missing missing;
    bool missing_left;
  };

  struct Span {
    std::size_t first_node;
    std::size_t last_node;
    std::size_t rule;    // where its quadrature begins in rules_
    std::size_t points;  // of it
    std::size_t output;
  };

  struct Level;
  struct Scratch;

  // `nearest` is scratch: of each feature, how deep its last split on the path leads; all 0 before and after.
  Status add_tree(const Tree& tree, std::size_t index, std::vector<std::uint32_t>* nearest);
  std::size_t rule_of(std::size_t points);
  bool goes_left(const Node& node, double x) const noexcept;
  template <std::size_t kPoints, typename Element>
  void add_row(const Span& tree, const Element* row, const Scratch& scratch,
               double* contributions) const noexcept;
  template <typename Element>
  void compute_rows(const Element* rows, std::size_t count, Arena& arena, double* contributions) const;

  std::size_t features_ = 0;
  std::size_t outputs_ = 0;
  std::size_t values_a_leaf_ = 1;
  bool inputs_are_fp32_ = false;
  double divisor_ = 1;
  std::size_t deepest_ = 0;
  std::size_t most_points_ = 0;
  std::vector<Span> trees_;
  std::vector<Node> nodes_;
  std::vector<double> values_;
  std::vector<std::int32_t> categories_;
  std::vector<double> rules_;  // of each: its points t, 1 - t, 1 / (1 - t), and weights
  std::vector<std::pair<std::size_t, std::size_t>> rule_starts_;  // by their numbers of points
  std::vector<double> means_;                                     // [outputs]
};

}  // namespace penstock::executor
