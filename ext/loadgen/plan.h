// Plan: what a run of the load generator does.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "loadgen/address.h"
#include "loadgen/call.h"
#include "loadgen/header_block.h"
#include "loadgen/schedule.h"

namespace penstock::loadgen {

// Requests are sent when they are due, whatever becomes of those before.
struct OpenLoop {
  double rate = 0;  // requests a second, over all threads
  Arrivals arrivals = Arrivals::kPoisson;
  std::uint64_t seed = 0;
};

// Each connection has so many requests under way all the time.
struct ClosedLoop {
  std::size_t streams = 1;
};

struct Plan {
  Endpoint endpoint;
  HeaderBlock::Fields headers;
  std::vector<Body> bodies;  // sent in turns

  std::optional<OpenLoop> open;  // nothing: a closed loop
  ClosedLoop closed;

  std::size_t connections = 1;  // over all threads, at least one a thread
  unsigned threads = 1;
  std::vector<int>
      cores;  // thread i runs on number i modulo their count, at ordinary priority; none: anywhere

  std::int64_t warmup_ns = 0;                // load that does not count, at the begin
  std::int64_t duration_ns = 0;              // of what counts; 0: until it is stopped
  std::int64_t deadline_ns = 0;              // of each request, from when it is due: cancelled then; 0: none
  std::int64_t patience_ns = 5'000'000'000;  // how long to wait for the last answers, and for each connection
  std::size_t most_under_way = std::size_t{1}
                               << 20U;  // requests of a thread; those above are not sent, and failed
  bool trace = false;
};

}  // namespace penstock::loadgen
