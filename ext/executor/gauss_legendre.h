// Gauss-Legendre quadrature on (0, 1).
#pragma once

#include <span>

namespace penstock::executor {

// The points and weights by which n values of a polynomial, of a degree below 2 n, give its integral exactly;
// `beside` are 1 - at, without the rounding. n is even; the three are of one size. Abramowitz and Stegun,
// Handbook of Mathematical Functions, 25.4.30.
void gauss_legendre(std::span<double> at, std::span<double> beside, std::span<double> weights);

}  // namespace penstock::executor
