// Spin: whether a loop that has nothing to do looks for events for a while before it sleeps.
#pragma once

#include <algorithm>
#include <cstdint>

namespace penstock::net {

// Sleeping and being woken costs tens of microseconds, and finds caches and branch predictors that have
// forgotten the request path. Where the next request is mostly nearer than that, looking for it is cheaper;
// where it is not, looking is a waste. What happened decides: as long as three of four looks find something,
// they go on, and else one wait of 64 tries again. ADR 15.
//
// Owned by one thread.
class Spin {
 public:
  // For how long a look lasts; 0: never look.
  explicit Spin(std::int64_t window_ns) noexcept : window_ns_(window_ns) {}

  std::int64_t window_ns() const noexcept { return window_ns_; }

  // Whether to look before this sleep. To be followed by one of those below where it is true.
  bool pays() noexcept {
    if (window_ns_ <= 0) return false;
    if (credit_ > 0) return true;
    passed_over_ = (passed_over_ + 1) % kTryEvery;
    return passed_over_ == 0;
  }
  void found() noexcept { credit_ = std::min(credit_ + 1, kMost); }
  void missed() noexcept { credit_ = std::max(credit_ - kMiss, 0); }

 private:
  static constexpr int kMiss = 3;  // found by this many others: three of four
  static constexpr int kMost = 30;
  static constexpr int kTryEvery = 64;

  const std::int64_t window_ns_;
  int credit_ = 0;
  int passed_over_ = 0;
};

}  // namespace penstock::net
