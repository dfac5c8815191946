// Linear models: scores of the coefficients, through the inverse of a link. Needs no library.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/datatype.h"
#include "executor/executor.h"

namespace penstock::executor {

// What was fitted. `link` turns the scores s of a row into its prediction:
//   identity         s
//   log              e**s (regression of counts and amounts)
//   logistic         1 / (1 + e**-s), one output: the probability of the second of two classes
//   softmax          e**s[c] / sum of e**s, for two classes or more
//   one_versus_rest  the logistic of each s[c], divided by their sum; equal parts where that is 0
struct LinearModel {
  std::vector<double> coefficients;  // [outputs, features]
  std::vector<double> intercepts;    // [outputs]
  std::string link;
  DataType dtype = DataType::kFp64;  // of `features`, as inputs() says it: FP64 or FP32
};

// One input, `features`, [-1, features] (run() takes FP64 and FP32); one output, `prediction`, FP64, [-1], or
// [-1, outputs] of several. The same features give the same bits in every batch and on every machine; a NaN
// among them gives NaN. INVALID_ARGUMENT for sizes that disagree, an unknown link, or a number that is not
// finite.
Status load_linear(LinearModel model, std::unique_ptr<Executor>* made);

}  // namespace penstock::executor
