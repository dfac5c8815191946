#include "loadgen/schedule.h"

#include <cmath>

namespace penstock::loadgen {

namespace {

// SplitMix64: G. Steele, D. Lea, C. Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014.
std::uint64_t mixed(std::uint64_t& state) noexcept {
  state += 0x9e3779b97f4a7c15U;
  std::uint64_t z = state;
  z = (z ^ (z >> 30U)) * 0xbf58476d1ce4e5b9U;
  z = (z ^ (z >> 27U)) * 0x94d049bb133111ebU;
  return z ^ (z >> 31U);
}

}  // namespace

Schedule::Schedule(Arrivals arrivals, double rate, std::uint64_t seed, unsigned share,
                   unsigned shares) noexcept
    : arrivals_(arrivals), gap_ns_(1e9 / rate * shares), at_ns_(0), state_(seed) {
  // Each share goes on from a state of its own, far from the others'.
  for (unsigned i = 0; i <= share; ++i) state_ = mixed(state_);
  if (arrivals_ == Arrivals::kEven)
    first_ns_ = 1e9 / rate * share;
  else
    at_ns_ = exponential() * gap_ns_;
  due_ = std::llround(arrivals_ == Arrivals::kEven ? first_ns_ : at_ns_);
}

void Schedule::advance() noexcept {
  if (arrivals_ == Arrivals::kEven) {
    due_ = std::llround(first_ns_ + static_cast<double>(++number_) * gap_ns_);  // errors do not add up
  } else {
    at_ns_ += exponential() * gap_ns_;
    due_ = std::llround(at_ns_);
  }
}

double Schedule::exponential() noexcept {
  const double uniform = static_cast<double>((mixed(state_) >> 11U) + 1) * 0x1p-53;  // (0, 1]
  return -std::log(uniform);
}

}  // namespace penstock::loadgen
