// Load: what the bindings of ext/loadgen copy out of a run's outcome. No exceptions come out of what is
// noexcept.
#pragma once

#include <cstdint>
#include <vector>

#include "loadgen/histogram.h"
#include "loadgen/outcome.h"

namespace penstock::bindings {

// Upper bounds (ns) and counts of the buckets that are not empty, in turns.
inline std::vector<std::int64_t> buckets(const loadgen::Histogram& histogram) {
  std::vector<std::int64_t> out;
  histogram.for_each([&](std::int64_t bound_ns, std::uint64_t count) {
    out.push_back(bound_ns);
    out.push_back(static_cast<std::int64_t>(count));
  });
  return out;
}

// Due, late and latency (ns) of each request, in turns, into room for all of them.
inline void copy_times(const loadgen::Outcome& outcome, std::int64_t* out) noexcept {
  for (const loadgen::Times& each : outcome.trace()) {
    *out++ = each.due_ns;
    *out++ = each.late_ns;
    *out++ = each.latency_ns;
  }
}

}  // namespace penstock::bindings
