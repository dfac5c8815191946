// Forest: decision trees as they were trained, and an executor that they are compiled into.
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "base/datatype.h"
#include "executor/executor.h"

namespace penstock::executor {

// LightGBM's kZeroThreshold, of single precision.
inline constexpr double kNearZero = static_cast<double>(1e-35F);

// What stands for a missing number at a numeric split. A NaN that is not missing there counts as 0.
enum class Missing : std::uint8_t {
  kNone,  // nothing
  kZero,  // NaN, and what lies within kNearZero of 0
  kNan,   // NaN
};

// One split. A child is a split's index in its tree, or a leaf's as ~leaf.
struct Split {
  std::int32_t feature = 0;
  // Numeric: x <= threshold goes left. Infinite where all, or no, numbers go left; not NaN.
  double threshold = 0;
  // Categorical: the members of `categories`[first_category, last_category) of the tree go left; x counts as
  // the whole number that it is when its fraction is cut off. What is negative, or beyond 2^31 - 1, is in no
  // set.
  bool categorical = false;
  std::uint32_t first_category = 0;
  std::uint32_t last_category = 0;
  // Where a missing value goes. At a categorical split NaN is missing, whatever `missing` says.
  Missing missing = Missing::kNan;
  bool missing_left = false;
  std::int32_t left = 0;
  std::int32_t right = 0;
  double cover = 0;  // the weight of the training rows that reached it; contributions alone need it
};

// A tree of one leaf has no splits. Split 0 is the root.
struct Tree {
  std::vector<Split> splits;
  std::vector<std::int32_t> categories;  // of all categorical splits; ascending within each
  std::vector<double> leaves;            // [leaves, values a leaf]
  std::vector<double> leaf_covers;       // [leaves], or none
  std::int32_t output = 0;  // the output that its leaves add to; 0 where they have a value for each
};

// What is compared of a row's element, where `fp32` is the forest's inputs_are_fp32.
template <typename Element>
double compared(Element element, bool fp32) noexcept {
  return fp32 ? static_cast<double>(static_cast<float>(element)) : static_cast<double>(element);
}

// Whether x, cut off to a whole number, is a category. NaN is none.
inline bool is_category(double x) noexcept { return x > -1 && x < 2147483648.0; }

// From the sums s of a row to its prediction.
//   identity      s
//   sigmoid       1 / (1 + e**(-scale s)), of each output by itself
//   softmax       e**s[c] / sum of e**s
//   exponential   e**s
//   softplus      ln(1 + e**s)
//   signed_square s |s|
//   hinge         1 where s > 0, else 0
//   normalised    s[c] / sum of s
struct Link {
  std::string name = "identity";
  double scale = 1;
};

struct Forest {
  std::vector<Tree> trees;  // summed in this order
  std::int32_t features = 0;
  std::int32_t outputs = 1;
  std::int32_t values_a_leaf = 1;      // 1, or `outputs`
  bool inputs_are_fp32 = false;        // what comes is rounded to single precision before it is compared
  std::vector<double> base;            // [outputs]: where the sums begin; empty: at 0
  double divisor = 1;                  // of the sums, before the link
  bool contributions_of_sums = false;  // contributions are not divided by it: LightGBM's pred_contrib
  Link link;
  DataType dtype = DataType::kFp64;  // of `features`, as inputs() says it: FP64 or FP32
  std::string origin;                // of which library, for describe(): "LightGBM"
};

// One input, `features`, [-1, features] (run() takes FP64 and FP32). Outputs: `prediction`, FP64, [-1], or
// [-1, outputs] of several; and, only for requests that ask for it, `contributions`, FP64,
// [-1, outputs * (features + 1)], as LightGBM's pred_contrib. The same row gives the same bits in every
// batch. INVALID_ARGUMENT for a forest that is malformed, with the tree and split.
Status load_forest(Forest forest, std::unique_ptr<Executor>* made);

}  // namespace penstock::executor
