#include "executor/forest_contributions.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <utility>

#include "executor/gauss_legendre.h"

namespace penstock::executor {

// How it is computed. A leaf of value v is reached with the features S known, the others drawn as in
// training, with the weight: product over the features j of its path of (j in S ? one_j : zero_j), where
// zero_j is the fraction of rows that j's splits let through and one_j is 1 where they let this row through,
// else 0. The Shapley values of that game are the integral over t from 0 to 1 of the derivatives of its
// multilinear extension along the diagonal (Owen, "Multilinear Extensions of Games", 1972):
//
//   phi_i = v (one_i - zero_i) integral of product over j != i of (zero_j + (one_j - zero_j) t) dt
//
// The integrand is a polynomial of degree d - 1 for a path of d features, so Gauss-Legendre quadrature with
// ceil(d / 2) points is exact. At each point the product of a path is one number, which is carried down the
// tree; sums of the leaves' values times their products are carried up, and each edge adds its share to phi.
// All products are positive, so that nothing cancels on the way, and a tree costs its nodes times its points.
//
// A feature that splits a path again replaces its factor: `before` is the edge that had it, and the edge adds
// the difference between the two factors' shares, in a form without subtraction of near numbers.

namespace {

constexpr std::size_t kLanes = 4;  // points come in multiples of it
constexpr std::size_t kMostPoints = 512;

// The quadrature of a tree, as rules_ has it: each [points].
struct Rule {
  const double* at;
  const double* beside;           // 1 - at
  const double* beside_inverses;  // 1 / beside
  const double* weights;
};

// Where sums of products of points are added up; four at once, so that they can go side by side.
struct Total {
  double lanes[kLanes] = {};
  double sum() const noexcept { return (lanes[0] + lanes[2]) + (lanes[1] + lanes[3]); }
};

// Down an edge: `products` are those `above` with the factor zero (1 - t) + one t in the place of the one
// whose inverse is `replaced`. `inverse` is that of zero (1 - t) + t.
void descend(std::size_t points, const Rule& rule, const double* __restrict above,
             const double* __restrict replaced, double factor, double one, double zero,
             double* __restrict products, double* __restrict inverse) noexcept {
  for (std::size_t k = 0; k < points; ++k) {
    products[k] = above[k] * replaced[k] * (factor * rule.beside[k] + one * rule.at[k]);
    inverse[k] = 1 / (zero * rule.beside[k] + rule.at[k]);
  }
}

// Up an edge: adds `sums` to those `above`, and gives the edge's share but for a factor.
double ascend(std::size_t points, const Rule& rule, const double* __restrict replaced,
              const double* __restrict inverse, const double* __restrict sums,
              double* __restrict above) noexcept {
  Total total;
  for (std::size_t k = 0; k < points; k += kLanes) {
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      const std::size_t i = k + lane;
      total.lanes[lane] += rule.weights[i] * sums[i] * (replaced[i] * inverse[i]);
      above[i] += sums[i];
    }
  }
  return total.sum();
}

// Down and up the edge of a leaf, whose own factor cancels in its share.
double visit_leaf(std::size_t points, const Rule& rule, const double* __restrict above,
                  const double* __restrict replaced, double factor, double one, double value,
                  double* __restrict sums) noexcept {
  Total total;
  for (std::size_t k = 0; k < points; k += kLanes) {
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      const std::size_t i = k + lane;
      const double product = above[i] * replaced[i];
      total.lanes[lane] += rule.weights[i] * (product * replaced[i]);
      sums[i] += product * (factor * rule.beside[i] + one * rule.at[i]) * value;
    }
  }
  return total.sum() * value;
}

}  // namespace

// What is open on the path from the root: of each depth.
struct ForestContributions::Level {
  std::size_t node;       // the split there
  double zero;            // of the feature that led there, and of all edges above that split by it
  const double* inverse;  // of that feature's factor, by points; where !one, but for the factor `zero`
  bool one;               // whether the row goes this way, as far as that feature decides
  bool left;              // whether the row goes left from here
};

struct ForestContributions::Scratch {
  Level* levels;
  double* products;  // [depth, points]: of the factors of the path
  double* inverses;  // [depth, points]
  double* sums;      // [depth, values a leaf, points]: of the leaves below, each times its product
};

Status ForestContributions::make(const Forest& forest, std::unique_ptr<const ForestContributions>* made) {
  const auto unseen = [](double cover) { return !(cover >= 0) || std::isinf(cover); };
  auto contributions = std::unique_ptr<ForestContributions>(new ForestContributions);
  contributions->features_ = static_cast<std::size_t>(forest.features);
  contributions->outputs_ = static_cast<std::size_t>(forest.outputs);
  contributions->values_a_leaf_ = static_cast<std::size_t>(forest.values_a_leaf);
  contributions->inputs_are_fp32_ = forest.inputs_are_fp32;
  contributions->divisor_ = forest.contributions_of_sums ? 1 : forest.divisor;
  contributions->means_ = forest.base;
  contributions->means_.resize(contributions->outputs_);
  std::size_t splits = 0;
  std::size_t values = 0;
  std::size_t categories = 0;
  for (const Tree& tree : forest.trees) {
    splits += tree.splits.size();
    values += tree.leaves.size();
    categories += tree.categories.size();
  }
  contributions->nodes_.reserve(2 * splits + forest.trees.size());
  contributions->values_.reserve(values);
  contributions->categories_.reserve(categories);
  contributions->trees_.reserve(forest.trees.size());
  std::vector<std::uint32_t> nearest(contributions->features_);
  for (std::size_t i = 0; i < forest.trees.size(); ++i) {
    const Tree& tree = forest.trees[i];
    const bool covered = tree.splits.empty() || (tree.splits.front().cover > 0 && !tree.leaf_covers.empty() &&
                                                 std::ranges::none_of(tree.leaf_covers, unseen) &&
                                                 std::ranges::none_of(tree.splits, unseen, &Split::cover));
    if (!covered) {
      return {Code::kUnimplemented,
              "tree " + std::to_string(i) + " does not say how many training rows reached its nodes"};
    }
    PENSTOCK_RETURN_IF_ERROR(contributions->add_tree(tree, i, &nearest));
  }
  *made = std::move(contributions);
  return Status::ok();
}

Status ForestContributions::add_tree(const Tree& tree, std::size_t index,
                                     std::vector<std::uint32_t>* nearest) {
  const std::size_t first = nodes_.size();
  const std::size_t values = values_.size();
  const std::size_t categories = categories_.size();
  values_.insert(values_.end(), tree.leaves.begin(), tree.leaves.end());
  categories_.insert(categories_.end(), tree.categories.begin(), tree.categories.end());
  if (categories_.size() > std::numeric_limits<std::uint32_t>::max()) {
    return {Code::kUnimplemented, "the categories of all splits are more than 2^32"};
  }

  struct Open {
    std::int32_t child;
    std::uint32_t depth;
    double parent_cover;
  };
  struct Above {  // a split on the path
    std::int32_t feature;
    std::uint32_t before;  // depth of the nearest node above to which its feature led; 0: none
    std::size_t features;  // that have led to its children
  };
  std::vector<Open> open{{tree.splits.empty() ? ~0 : 0, 0, 0}};
  std::vector<Above> path;  // by depth
  const auto leave_to = [&](std::size_t depth) {
    for (; path.size() > depth; path.pop_back()) {
      (*nearest)[static_cast<std::size_t>(path.back().feature)] = path.back().before;
    }
  };
  std::size_t most_features = 0;
  std::size_t deepest = 0;
  while (!open.empty()) {
    const Open next = open.back();
    open.pop_back();
    leave_to(next.depth);
    const bool leaf = next.child < 0;
    const auto at = static_cast<std::size_t>(leaf ? ~next.child : next.child);
    const double cover = !leaf ? tree.splits[at].cover : tree.leaf_covers.empty() ? 0 : tree.leaf_covers[at];
    Node node{};
    node.depth = next.depth;
    node.fraction = next.parent_cover > 0 ? cover / next.parent_cover : 0;
    node.before = path.empty() ? 0 : path.back().before;
    deepest = std::max<std::size_t>(deepest, next.depth);
    if (leaf) {
      node.feature = -1;
      node.value = values + at * values_a_leaf_;
    } else {
      const Split& split = tree.splits[at];
      node.feature = split.feature;
      node.categorical = split.categorical;
      node.missing = split.missing;
      node.missing_left = split.missing_left;
      if (split.categorical) {
        node.categories.first = static_cast<std::uint32_t>(categories + split.first_category);
        node.categories.last = static_cast<std::uint32_t>(categories + split.last_category);
      } else {
        node.threshold = split.threshold;
      }
      const std::uint32_t before =
          std::exchange((*nearest)[static_cast<std::size_t>(split.feature)], next.depth + 1);
      const std::size_t features = (path.empty() ? 0 : path.back().features) + (before == 0 ? 1 : 0);
      most_features = std::max(most_features, features);
      path.push_back({split.feature, before, features});
      open.push_back({split.right, next.depth + 1, cover});
      open.push_back({split.left, next.depth + 1, cover});
    }
    nodes_.push_back(node);
  }
  leave_to(0);

  const std::size_t points = std::max((most_features + 2 * kLanes - 1) / (2 * kLanes) * kLanes, kLanes);
  deepest_ = std::max(deepest_, deepest);
  most_points_ = std::max(most_points_, points);
  const std::size_t a_depth = most_points_ * (2 + values_a_leaf_) * sizeof(double) + sizeof(Level);
  if (points > kMostPoints || deepest_ > kMostScratch / a_depth) {
    return {Code::kUnimplemented, "tree " + std::to_string(index) + " has a path of " +
                                      std::to_string(deepest) + " splits on " +
                                      std::to_string(most_features) + " features"};
  }
  const auto output = static_cast<std::size_t>(tree.output);
  trees_.push_back({first, nodes_.size(), rule_of(points), points, output});
  for (std::size_t v = 0; v < values_a_leaf_; ++v) {
    double mean = tree.leaves[v];
    if (!tree.splits.empty()) {
      mean = 0;
      for (std::size_t leaf = 0; leaf < tree.leaf_covers.size(); ++leaf) {
        mean += tree.leaf_covers[leaf] / tree.splits.front().cover * tree.leaves[leaf * values_a_leaf_ + v];
      }
    }
    means_[output + v] += mean;
  }
  return Status::ok();
}

std::size_t ForestContributions::rule_of(std::size_t points) {
  const auto known = std::ranges::find(rule_starts_, points, [](const auto& entry) { return entry.first; });
  if (known != rule_starts_.end()) return known->second;
  const std::size_t start = rules_.size();
  rules_.resize(start + 4 * points);
  double* at = &rules_[start];
  double* beside = at + points;
  gauss_legendre({at, points}, {beside, points}, {at + 3 * points, points});
  for (std::size_t k = 0; k < points; ++k) beside[points + k] = 1 / beside[k];
  rule_starts_.emplace_back(points, start);
  return start;
}

bool ForestContributions::goes_left(const Node& node, double x) const noexcept {
  const bool nan = x != x;
  if (node.categorical) {
    if (nan) return node.missing_left;
    if (!is_category(x)) return false;
    return std::binary_search(categories_.begin() + node.categories.first,
                              categories_.begin() + node.categories.last, static_cast<std::int32_t>(x));
  }
  if (nan && node.missing == Missing::kNan) return node.missing_left;
  const double number = nan ? 0 : x;
  if (node.missing == Missing::kZero && std::fabs(number) <= kNearZero) return node.missing_left;
  return number <= node.threshold;
}

// kPoints 0: as many as the tree has.
template <std::size_t kPoints, typename Element>
void ForestContributions::add_row(const Span& tree, const Element* row, const Scratch& scratch,
                                  double* contributions) const noexcept {
  const std::size_t points = kPoints == 0 ? tree.points : kPoints;
  const double* at = &rules_[tree.rule];
  const Rule rule{at, at + points, at + 2 * points, at + 3 * points};
  const std::size_t columns = features_ + 1;
  const std::size_t a_sum = values_a_leaf_ * points;
  double* phi = contributions + tree.output * columns;

  const auto close = [&](std::size_t depth) {
    const Level& level = scratch.levels[depth];
    const Level& before = scratch.levels[nodes_[level.node].before];
    const double change = !before.one ? 0.0 : level.one ? before.zero - level.zero : -1.0;
    const double* sums = scratch.sums + depth * a_sum;
    double* above = scratch.sums + (depth - 1) * a_sum;
    double* share = phi + nodes_[scratch.levels[depth - 1].node].feature;
    for (std::size_t v = 0; v < values_a_leaf_; ++v, share += columns, sums += points, above += points) {
      *share += change * ascend(points, rule, before.inverse, level.inverse, sums, above);
    }
  };

  scratch.levels[0] = {tree.first_node, 1.0, scratch.inverses, true, false};
  std::fill_n(scratch.products, points, 1.0);
  std::fill_n(scratch.inverses, points, 1.0);
  std::size_t open = 0;  // depth of the deepest split on the path
  for (std::size_t i = tree.first_node; i < tree.last_node; ++i) {
    const Node& node = nodes_[i];
    const std::size_t depth = node.depth;
    for (; open > 0 && open >= depth; --open) close(open);
    if (depth > 0) {
      const Level& parent = scratch.levels[depth - 1];
      const Level& before = scratch.levels[node.before];
      const bool hot = parent.left == (parent.node + 1 == i);
      const bool one = before.one && hot;
      const double zero = before.zero * node.fraction;
      const double factor = before.one ? zero : node.fraction;
      const double* above = scratch.products + (depth - 1) * points;
      if (node.feature < 0) {
        const double change = !before.one ? 0.0 : hot ? before.zero - zero : -zero;
        double* sums = scratch.sums + (depth - 1) * a_sum;
        double* share = phi + nodes_[parent.node].feature;
        for (std::size_t v = 0; v < values_a_leaf_; ++v, share += columns, sums += points) {
          *share += change * visit_leaf(points, rule, above, before.inverse, factor, one ? 1.0 : 0.0,
                                        values_[node.value + v], sums);
        }
        continue;
      }
      double* inverse = scratch.inverses + depth * points;
      descend(points, rule, above, before.inverse, factor, one ? 1.0 : 0.0, zero,
              scratch.products + depth * points, inverse);
      scratch.levels[depth] = {i, zero, one ? inverse : rule.beside_inverses, one, false};
    }
    if (node.feature < 0) continue;  // a tree that is one leaf
    open = depth;
    std::fill_n(scratch.sums + depth * a_sum, a_sum, 0.0);
    scratch.levels[depth].left =
        goes_left(node, compared(row[static_cast<std::size_t>(node.feature)], inputs_are_fp32_));
  }
  for (; open > 0; --open) close(open);
}

template <typename Element>
void ForestContributions::compute_rows(const Element* rows, std::size_t count, Arena& arena,
                                       double* contributions) const {
  const std::size_t depths = deepest_ + 1;
  const Scratch scratch{arena.uninitialised<Level>(depths).data(),
                        arena.uninitialised<double>(depths * most_points_).data(),
                        arena.uninitialised<double>(depths * most_points_).data(),
                        arena.uninitialised<double>(depths * most_points_ * values_a_leaf_).data()};
  const std::size_t columns = features_ + 1;
  std::fill_n(contributions, count * values_a_row(), 0.0);
  for (const Span& tree : trees_) {
    for (std::size_t r = 0; r < count; ++r) {
      const Element* row = rows + r * features_;
      double* into = contributions + r * values_a_row();
      switch (tree.points) {
        case kLanes:
          add_row<kLanes>(tree, row, scratch, into);
          break;
        case 2 * kLanes:
          add_row<2 * kLanes>(tree, row, scratch, into);
          break;
        default:
          add_row<0>(tree, row, scratch, into);
      }
    }
  }
  for (std::size_t r = 0; r < count; ++r) {
    for (std::size_t output = 0; output < outputs_; ++output, contributions += columns) {
      contributions[features_] = means_[output];
      if (divisor_ == 1) continue;
      for (std::size_t i = 0; i < columns; ++i) contributions[i] /= divisor_;
    }
  }
}

void ForestContributions::compute(const double* rows, std::size_t count, Arena& arena,
                                  double* contributions) const {
  compute_rows(rows, count, arena, contributions);
}

void ForestContributions::compute(const float* rows, std::size_t count, Arena& arena,
                                  double* contributions) const {
  compute_rows(rows, count, arena, contributions);
}

}  // namespace penstock::executor
