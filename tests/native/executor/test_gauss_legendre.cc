#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include "executor/gauss_legendre.h"

using penstock::executor::gauss_legendre;

TEST_CASE("n points integrate every power below 2n exactly") {
  for (const std::size_t n : {2U, 4U, 8U, 12U, 64U, 512U}) {
    std::vector<double> at(n);
    std::vector<double> beside(n);
    std::vector<double> weights(n);
    gauss_legendre(at, beside, weights);
    for (std::size_t power = 0; power < 2 * n; power += 1 + power / 3) {
      double integral = 0;
      double mirrored = 0;
      for (std::size_t i = 0; i < n; ++i) {
        integral += weights[i] * std::pow(at[i], power);
        mirrored += weights[i] * std::pow(beside[i], power);
      }
      const double exact = 1 / static_cast<double>(power + 1);
      CHECK(std::fabs(integral - exact) < 1e-12 * exact);
      CHECK(std::fabs(mirrored - exact) < 1e-12 * exact);
    }
  }
}
