#include "executor/gauss_legendre.h"

#include <cmath>
#include <cstddef>
#include <numbers>
#include <utility>

namespace penstock::executor {

// The points are the roots of the Legendre polynomial of degree n, by Newton's method from a first guess that
// is near enough.
void gauss_legendre(std::span<double> at, std::span<double> beside, std::span<double> weights) {
  const std::size_t points = at.size();
  const auto n = static_cast<double>(points);
  for (std::size_t i = 0; i < points / 2; ++i) {
    double x = std::cos(std::numbers::pi * (static_cast<double>(i) + 0.75) / (n + 0.5));
    double slope = 1;
    for (int round = 0; round < 100; ++round) {
      double value = x;
      double before = 1;
      for (std::size_t degree = 2; degree <= points; ++degree) {
        const auto k = static_cast<double>(degree);
        before = std::exchange(value, ((2 * k - 1) * x * value - (k - 1) * before) / k);
      }
      slope = n * (x * value - before) / (x * x - 1);
      const double step = value / slope;
      x -= step;
      if (std::fabs(step) < 1e-15) break;
    }
    const std::size_t mirrored = points - 1 - i;
    at[i] = beside[mirrored] = (1 - x) / 2;
    beside[i] = at[mirrored] = (1 + x) / 2;
    weights[i] = weights[mirrored] = 1 / ((1 - x * x) * slope * slope);
  }
}

}  // namespace penstock::executor
