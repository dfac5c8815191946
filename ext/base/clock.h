// Time for deadlines and durations: nanoseconds of the monotonic clock.
#pragma once

#include <chrono>
#include <cstdint>

namespace penstock {

inline std::int64_t monotonic_ns() noexcept {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

inline constexpr std::int64_t kNoDeadline = INT64_MAX;

}  // namespace penstock
