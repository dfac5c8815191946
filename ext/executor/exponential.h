// The exponential function, the same bits on every machine. The C library's own differs in the last bit
// between machines with and without fused multiply-add.
#pragma once

#include <bit>
#include <cstdint>
#include <limits>

namespace penstock::executor {

// e**x to one unit in the last place. 0 below what a double holds, infinity above it, NaN for NaN.
// x = k ln 2 + r with |r| <= ln 2 / 2; e**r is its Taylor polynomial of degree 13 (the remainder is below
// 5e-18), scaled by 2**k.
inline double exponential(double x) noexcept {
  constexpr double kLargest = 710.0;    // e**709.79 overflows
  constexpr double kSmallest = -746.0;  // e**-745.14 is half of the smallest double
  if (x != x) return x;
  if (x > kLargest) return std::numeric_limits<double>::infinity();
  if (x < kSmallest) return 0.0;
  constexpr double kLog2E = 0x1.71547652b82fep+0;
  // ln 2 in two parts. The first has 21 zero bits at its end, so that its product with k is exact.
  constexpr double kLn2High = 0x1.62e42feep-1;
  constexpr double kLn2Low = 0x1.a39ef35793c76p-33;
  constexpr double kRound = 0x1.8p+52;  // adding and subtracting it rounds to an integer
  const double k = (x * kLog2E + kRound) - kRound;
  const double r = (x - k * kLn2High) - k * kLn2Low;

  double tail = 1.0 / 6227020800.0;  // 1/13!
  tail = tail * r + 1.0 / 479001600.0;
  tail = tail * r + 1.0 / 39916800.0;
  tail = tail * r + 1.0 / 3628800.0;
  tail = tail * r + 1.0 / 362880.0;
  tail = tail * r + 1.0 / 40320.0;
  tail = tail * r + 1.0 / 5040.0;
  tail = tail * r + 1.0 / 720.0;
  tail = tail * r + 1.0 / 120.0;
  tail = tail * r + 1.0 / 24.0;
  tail = tail * r + 1.0 / 6.0;
  tail = tail * r + 0.5;
  const double power = 1.0 + (r + (r * r) * tail);

  // In two factors, since 2**k itself may lie outside of what a double holds while the product does not.
  const auto exponent = static_cast<std::int64_t>(k);
  const std::int64_t half = exponent / 2;
  const auto two_to = [](std::int64_t n) {
    return std::bit_cast<double>(static_cast<std::uint64_t>(n + 1023) << 52);
  };
  return power * two_to(half) * two_to(exponent - half);
}

}  // namespace penstock::executor
