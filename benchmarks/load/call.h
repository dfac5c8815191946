// Call: one request under way, and what has come of its answer. Owned by the generator, which uses it again.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace penstock::load {

struct Call {
  std::int64_t due_ns = 0;   // when it was to be sent, by the monotonic clock
  std::int64_t late_ns = 0;  // how long after that it was handed to the kernel
  std::size_t sent = 0;      // bytes of the request's body
  int http_status = 0;       // 0: none came
  std::string grpc_status;   // as it stood in the trailers; empty: none came
  std::string body;          // of all DATA frames

  void reset(std::int64_t due) {
    due_ns = due;
    late_ns = 0;
    sent = 0;
    http_status = 0;
    grpc_status.clear();
    body.clear();
  }
};

}  // namespace penstock::load
