// Options: the limits and addresses that the data plane is started with. Fixed from then on.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "base/text_map.h"

namespace penstock::net {

// How the data plane hands a method to Python.
enum class Bridged : std::uint8_t {
  kUnary,   // one message in, one answer
  kStream,  // each message in gets one answer, in order; the caller's half-close ends it
};

struct Options {
  std::string host = "127.0.0.1";  // a name or an address; empty: no TCP
  std::uint16_t port = 8001;       // 0: any free one
  std::string unix_socket;         // a path; empty: none
  unsigned loops = 0;              // 0: one a core
  unsigned pool_threads = 0;       // 0: one a core but for one, which is left to the loops
  std::int64_t spin_ns = 50'000;   // for how long a loop looks for requests before it sleeps; 0: not at all
  std::size_t max_message_bytes = 64U << 20U;
  std::uint32_t max_concurrent_streams = 1024;
  std::size_t max_connections = 10'000;
  std::size_t max_buffered_bytes = 256U << 20U;  // a connection's unfinished requests and unsent answers
  std::size_t max_total_buffered_bytes = 2048U << 20U;  // the same of all connections together
  // Nanoseconds; 0 switches one off.
  std::int64_t idle_timeout = 3'600'000'000'000;     // no stream open
  std::int64_t header_timeout = 10'000'000'000;      // a preface or a header block not completed
  std::int64_t body_timeout = 60'000'000'000;        // no byte of an unfinished request
  std::int64_t keepalive_interval = 60'000'000'000;  // nothing heard: PING
  std::int64_t keepalive_timeout = 20'000'000'000;   // and no answer to it
  std::int64_t stall_timeout = 60'000'000'000;       // answers waiting, and the peer reads none
  TextMap<Bridged> bridged;                          // by path, as in "/package.Service/Method"
};

}  // namespace penstock::net
