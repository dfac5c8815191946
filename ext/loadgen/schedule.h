// Schedule: when requests are due in an open loop, whatever becomes of them. Owned by one thread.
#pragma once

#include <cstdint>

namespace penstock::loadgen {

enum class Arrivals : std::uint8_t {
  kEven,     // the same gap between any two
  kPoisson,  // independent gaps, exponentially distributed: callers that know nothing of each other
};

class Schedule {
 public:
  // `rate` requests a second over all of `shares` schedules, of which this is number `share`: together, their
  // requests are spread as those of one schedule. The seed decides the gaps of kPoisson: the same seed and
  // share give the same requests on every machine.
  Schedule(Arrivals arrivals, double rate, std::uint64_t seed, unsigned share = 0,
           unsigned shares = 1) noexcept;

  // When the next request is due, in ns since the begin.
  std::int64_t due() const noexcept { return due_; }
  // On to the one after it.
  void advance() noexcept;

 private:
  double exponential() noexcept;  // with the mean 1

  Arrivals arrivals_;
  double gap_ns_;  // the mean one, of this share
  double at_ns_;
  std::uint64_t state_;
  std::uint64_t number_ = 0;
  double first_ns_ = 0;
  std::int64_t due_ = 0;
};

}  // namespace penstock::loadgen
