// Scores: the product of a matrix of rows with the transposed coefficients, plus intercepts. The same bits on
// every machine, for one row and for many.
#pragma once

#include <cstddef>
#include <span>
#include <string_view>

namespace penstock::executor {

// `coefficients` is [outputs, features], `intercepts` [outputs].
struct Coefficients {
  const double* coefficients;
  const double* intercepts;
  std::size_t outputs;
  std::size_t features;
};

// scores[r, o] = sum over i of rows[r, i] * coefficients[o, i] + intercepts[o], in double precision.
//
// The order of a sum is fixed: element i goes to the partial sum i mod 8, from the first to the last; these
// are added as ((0+4)+(2+6))+((1+5)+(3+7)), and the intercept last. No product is fused with an addition.
template <typename Element>
using ScoreRows = void (*)(const Element* rows, std::size_t count, const Coefficients& by,
                           double* scores) noexcept;

// One way to compute them.
struct ScoreKernel {
  std::string_view name;
  ScoreRows<double> fp64;
  ScoreRows<float> fp32;
};

// Those that this machine can run, the fastest last.
std::span<const ScoreKernel> score_kernels() noexcept;

}  // namespace penstock::executor
