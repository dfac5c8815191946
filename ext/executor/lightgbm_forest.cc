#include "executor/lightgbm_forest.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <optional>
#include <utility>

#include "executor/lightgbm_fields.h"

namespace penstock::executor {
namespace lgbm {
namespace {

Status not_covered(std::string reason) { return {Code::kUnimplemented, std::move(reason)}; }

// The transforms of the scores, by the name of the objective. `sqrt` may follow that of a regression.
constexpr std::array<std::pair<std::string_view, std::string_view>, 22> kLinks{
    {{"regression", "identity"},   {"regression_l1", "identity"}, {"huber", "identity"},
     {"fair", "identity"},         {"quantile", "identity"},      {"mape", "identity"},
     {"lambdarank", "identity"},   {"rank_xendcg", "identity"},   {"none", "identity"},
     {"null", "identity"},         {"custom", "identity"},        {"na", "identity"},
     {"poisson", "exponential"},   {"gamma", "exponential"},      {"tweedie", "exponential"},
     {"binary", "sigmoid"},        {"multiclassova", "sigmoid"},  {"multiclass", "softmax"},
     {"cross_entropy", "sigmoid"}, {"xentropy", "sigmoid"},       {"cross_entropy_lambda", "softplus"},
     {"xentlambda", "softplus"}}};
constexpr std::array<std::string_view, 5> kTakeSqrt{"regression", "regression_l1", "fair", "quantile",
                                                    "mape"};

// What follows `name` and a colon among the words of an objective, or nothing.
std::optional<std::string_view> parameter(std::string_view objective, std::string_view name) {
  std::optional<std::string_view> found;
  for (Words words(objective); const std::optional<std::string_view> word = words.next();) {
    const std::size_t colon = word->find(':');
    if (word->substr(0, colon) == name && colon != std::string_view::npos) found = word->substr(colon + 1);
  }
  return found;
}

Status read_link(std::string_view objective, std::int32_t classes, Link* link) {
  Words words(objective);
  const std::string_view name = words.next().value_or("");
  const auto* known = std::ranges::find(kLinks, name, [](const auto& entry) { return entry.first; });
  if (known == kLinks.end()) return not_covered("the objective " + quoted(name) + " is not known");
  link->name = known->second;
  bool root = false;
  while (const std::optional<std::string_view> word = words.next()) root = root || *word == "sqrt";
  if (root && std::ranges::find(kTakeSqrt, name) != kTakeSqrt.end()) link->name = "signed_square";
  if (name == "binary" || name == "multiclassova") {
    const std::optional<std::string_view> given = parameter(objective, "sigmoid");
    const std::optional<double> scale = given ? parse_real(*given) : std::nullopt;
    if (!scale || !std::isfinite(*scale) || *scale <= 0) {
      return not_covered("the objective " + quoted(objective) + " has no sigmoid above 0");
    }
    link->scale = *scale;
  }
  const bool of_classes = name == "multiclass" || name == "multiclassova";
  if (of_classes && !parameter(objective, "num_class")) {
    return not_covered("the objective " + quoted(objective) + " has no num_class");
  }
  // The library would transform the first of them alone.
  if (!of_classes && classes > 1 && link->name != "identity") {
    return not_covered("the objective " + quoted(name) + " has " + std::to_string(classes) + " outputs");
  }
  return Status::ok();
}

// The sets of all categorical splits, one after another in `tree`; set i ends at (*ends)[i].
Status read_categories(const Section& section, Tree* tree, std::vector<std::uint32_t>* ends) {
  constexpr std::int32_t kMost = std::numeric_limits<std::int32_t>::max();
  constexpr std::size_t kBits = 32;
  std::int32_t sets = 0;
  PENSTOCK_RETURN_IF_ERROR(section.integer("num_cat", 0, kMost, &sets));
  if (sets == 0) return Status::ok();
  std::vector<std::int32_t> boundaries;
  std::vector<std::uint32_t> words;
  PENSTOCK_RETURN_IF_ERROR(section.integers<std::int32_t>(
      "cat_boundaries", static_cast<std::size_t>(sets) + 1, 0, kMost, &boundaries));
  PENSTOCK_RETURN_IF_ERROR(
      section.integers<std::uint32_t>("cat_threshold", static_cast<std::size_t>(boundaries.back()), 0,
                                      std::numeric_limits<std::uint32_t>::max(), &words));
  for (std::size_t set = 0; set < static_cast<std::size_t>(sets); ++set) {
    const auto first = static_cast<std::size_t>(boundaries[set]);
    const auto last = static_cast<std::size_t>(boundaries[set + 1]);
    for (std::size_t word = first; word < last; ++word) {
      for (std::uint32_t bits = words[word]; bits != 0; bits &= bits - 1) {
        const std::size_t category =
            (word - first) * kBits + static_cast<std::size_t>(std::countr_zero(bits));
        if (category <= static_cast<std::size_t>(kMost)) {  // no value reaches the others
          tree->categories.push_back(static_cast<std::int32_t>(category));
        }
      }
    }
    ends->push_back(static_cast<std::uint32_t>(tree->categories.size()));
  }
  return Status::ok();
}

// LightGBM takes a number within kNearZero of 0 for 0 before it compares. A threshold
// in there is moved to where all of them go the way of 0.
double beside_zero(double threshold) noexcept {
  if (std::fabs(threshold) > kNearZero) return threshold;
  return threshold >= 0 ? kNearZero : -std::nextafter(kNearZero, 1.0);
}

Status read_decision(const Section& section, std::size_t node, std::int32_t type, double threshold,
                     const std::vector<std::uint32_t>& set_ends, Split* split) {
  constexpr std::int32_t kCategorical = 1;
  constexpr std::int32_t kDefaultLeft = 2;
  constexpr int kMissingShift = 2;  // two bits say what is missing
  if ((type & kCategorical) != 0) {
    const auto set = static_cast<std::size_t>(threshold);
    split->categorical = true;
    split->first_category = set == 0 ? 0 : set_ends[set - 1];
    split->last_category = set_ends[set];
    split->missing_left = false;  // whatever kDefaultLeft says
    return Status::ok();
  }
  if (std::isnan(threshold)) {
    return not_covered(section.where() + " has the threshold NaN at node " + std::to_string(node));
  }
  split->threshold = beside_zero(threshold);
  split->missing_left = (type & kDefaultLeft) != 0;
  switch (type >> kMissingShift) {
    case 1:
      split->missing = Missing::kZero;
      break;
    case 2:
      split->missing = Missing::kNan;
      break;
    default:
      split->missing = Missing::kNone;
  }
  return Status::ok();
}

// The numbers of training rows that reached each split and leaf, which contributions weigh by. Older releases
// wrote none; then `tree` keeps none.
Status read_covers(const Section& section, Tree* tree) {
  if (!section.has("leaf_count") || !section.has("internal_count")) return Status::ok();
  std::vector<double> counts;
  PENSTOCK_RETURN_IF_ERROR(section.reals("internal_count", tree->splits.size(), &counts));
  PENSTOCK_RETURN_IF_ERROR(section.reals("leaf_count", tree->leaves.size(), &tree->leaf_covers));
  for (std::size_t i = 0; i < counts.size(); ++i) tree->splits[i].cover = counts[i];
  return Status::ok();
}

Status read_tree(const Section& section, std::int32_t features, Tree* tree) {
  constexpr std::int32_t kMost = std::numeric_limits<std::int32_t>::max();
  std::int32_t leaves = 0;
  std::int32_t linear = 0;
  if (section.has("is_linear")) PENSTOCK_RETURN_IF_ERROR(section.integer("is_linear", 0, 1, &linear));
  if (linear != 0) return not_covered("linear trees are not compiled");
  PENSTOCK_RETURN_IF_ERROR(section.integer("num_leaves", 1, kMost, &leaves));
  PENSTOCK_RETURN_IF_ERROR(section.reals("leaf_value", static_cast<std::size_t>(leaves), &tree->leaves));
  if (!std::ranges::all_of(tree->leaves, [](double value) { return std::isfinite(value); })) {
    return not_covered(section.where() + " has a leaf that is not finite");
  }
  if (leaves == 1) return Status::ok();

  const std::size_t nodes = static_cast<std::size_t>(leaves) - 1;
  std::vector<std::int32_t> used;
  std::vector<std::int32_t> left;
  std::vector<std::int32_t> right;
  std::vector<std::int32_t> types(nodes);
  std::vector<double> thresholds;
  std::vector<std::uint32_t> set_ends;
  PENSTOCK_RETURN_IF_ERROR(section.integers<std::int32_t>("split_feature", nodes, 0, features - 1, &used));
  PENSTOCK_RETURN_IF_ERROR(section.integers<std::int32_t>("left_child", nodes, -kMost - 1, kMost, &left));
  PENSTOCK_RETURN_IF_ERROR(section.integers<std::int32_t>("right_child", nodes, -kMost - 1, kMost, &right));
  PENSTOCK_RETURN_IF_ERROR(section.reals("threshold", nodes, &thresholds));
  if (section.has("decision_type")) {
    PENSTOCK_RETURN_IF_ERROR(section.integers<std::int32_t>("decision_type", nodes, 0, 15, &types));
  }
  PENSTOCK_RETURN_IF_ERROR(read_categories(section, tree, &set_ends));
  tree->splits.resize(nodes);
  for (std::size_t node = 0; node < nodes; ++node) {
    Split& split = tree->splits[node];
    split.feature = used[node];
    split.left = left[node];
    split.right = right[node];
    PENSTOCK_RETURN_IF_ERROR(read_decision(section, node, types[node], thresholds[node], set_ends, &split));
  }
  return read_covers(section, tree);
}

// Which trees count.
struct Range {
  std::size_t first;
  std::size_t last;
};

Status read_range(std::size_t iterations, const LightgbmOptions& options, Range* range) {
  PENSTOCK_RETURN_IF_ERROR(check_start_iteration(options, iterations));
  range->first = static_cast<std::size_t>(options.start_iteration);
  const std::size_t rest = iterations - range->first;
  const bool all = options.num_iterations <= 0;
  range->last =
      range->first + (all ? rest : std::min(rest, static_cast<std::size_t>(options.num_iterations)));
  return Status::ok();
}

}  // namespace

}  // namespace lgbm

Status check_start_iteration(const LightgbmOptions& options, std::size_t iterations) {
  if (options.start_iteration >= 0 && static_cast<std::size_t>(options.start_iteration) < iterations) {
    return Status::ok();
  }
  return invalid_argument("start_iteration is " + std::to_string(options.start_iteration) +
                          ", but the model has iterations 0 to " + std::to_string(iterations - 1));
}

Status read_lightgbm_forest(std::string_view text, const LightgbmOptions& options, Forest* forest) {
  using namespace lgbm;
  constexpr std::int32_t kMost = std::numeric_limits<std::int32_t>::max();
  Fields fields;
  bool averages = false;
  PENSTOCK_RETURN_IF_ERROR(take_header(&text, &fields, &averages));
  const Section header("header", std::move(fields));
  averages = averages || header.has("average_output");
  std::int32_t last_feature = 0;
  PENSTOCK_RETURN_IF_ERROR(header.integer("num_class", 1, kMost, &forest->outputs));
  PENSTOCK_RETURN_IF_ERROR(header.integer("max_feature_idx", 0, kMost - 1, &last_feature));
  forest->features = last_feature + 1;
  forest->origin = "LightGBM";
  forest->contributions_of_sums = true;
  std::string_view objective = "none";
  if (header.has("objective")) PENSTOCK_RETURN_IF_ERROR(header.text("objective", &objective));
  Link link;
  PENSTOCK_RETURN_IF_ERROR(read_link(objective, forest->outputs, &link));
  if (!options.raw_score) forest->link = std::move(link);

  std::string_view words;
  std::vector<std::uint64_t> sizes;
  PENSTOCK_RETURN_IF_ERROR(header.text("tree_sizes", &words));
  PENSTOCK_RETURN_IF_ERROR(header.integers<std::uint64_t>("tree_sizes", count_words(words), 1,
                                                          std::numeric_limits<std::uint64_t>::max(), &sizes));
  const auto outputs = static_cast<std::size_t>(forest->outputs);
  Range range{};
  PENSTOCK_RETURN_IF_ERROR(read_range(sizes.size() / outputs, options, &range));
  if (averages && !options.raw_score) forest->divisor = static_cast<double>(range.last - range.first);
  forest->trees.reserve((range.last - range.first) * outputs);
  for (std::size_t i = 0; i < range.last * outputs; ++i) {
    if (i >= range.first * outputs) {
      Fields of_tree;
      PENSTOCK_RETURN_IF_ERROR(tree_fields(text.substr(0, sizes[i]), i, &of_tree));
      Tree& tree = forest->trees.emplace_back();
      tree.output = static_cast<std::int32_t>(i % outputs);
      PENSTOCK_RETURN_IF_ERROR(
          read_tree(Section("tree " + std::to_string(i), std::move(of_tree)), forest->features, &tree));
    }
    text.remove_prefix(sizes[i]);
  }
  return Status::ok();
}

}  // namespace penstock::executor
