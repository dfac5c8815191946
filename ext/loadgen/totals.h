// Totals: the sums of a run, over all of its requests. Of the time that counts, which has no warm-up in it.
#pragma once

#include <algorithm>
#include <cstdint>

namespace penstock::loadgen {

struct Totals {
  std::uint64_t requests = 0;  // that were due (open loop) or ended (closed loop)
  // Good answers that came, whenever their requests were due: what a server that falls behind answers after
  // the end is no throughput.
  std::uint64_t answered_in_time = 0;
  std::uint64_t reconnects = 0;   // connections opened again
  std::uint64_t resent = 0;       // requests sent again
  std::int64_t measured_ns = 0;   // how long it was; of several threads, for the shortest
  std::int64_t processor_ns = 0;  // of the threads that made the load

  // Adds another thread's.
  void merge(const Totals& other) noexcept {
    requests += other.requests;
    answered_in_time += other.answered_in_time;
    reconnects += other.reconnects;
    resent += other.resent;
    measured_ns = measured_ns == 0 ? other.measured_ns : std::min(measured_ns, other.measured_ns);
    processor_ns += other.processor_ns;
  }
};

}  // namespace penstock::loadgen
