// Outcome: what became of the requests of one run: which answers came, what failed and why, how long it took.
// Owned by one thread; those of several threads are merged when they are done.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "loadgen/call.h"
#include "loadgen/histogram.h"

namespace penstock::loadgen {

// Why a request has no good answer. The code tells more of some.
enum class Failure : std::uint8_t {
  kGrpcStatus,    // another one than OK: its number
  kHttpStatus,    // another one than 200: its number, 0 for none
  kStreamError,   // HTTP/2's error code
  kNoGrpcStatus,  //
  kNoMessage,     // OK, and no whole message
  kOtherAnswer,   // another message than expected
  kTooLate,       // in good order, after the deadline
  kClosed,        // the connection closed
  kUnanswered,    // nothing came until the end
  kTooMany,       // not sent, since too many were under way
};

struct FailureCount {
  Failure failure;
  std::uint32_t code;
  std::uint64_t count;
  std::string example;  // what the server said the first time, as it stood in grpc-message; why it closed
};

struct Times {
  std::int64_t due_ns;
  std::int64_t late_ns;
  std::int64_t latency_ns;
};

class Outcome {
 public:
  // The bodies outlive it. An answer that comes `deadline_ns` after its request was due or later failed (0:
  // there is no deadline). With `trace` the times of each request are kept, which takes 24 bytes of memory
  // for each.
  Outcome(const std::vector<Body>& bodies, std::int64_t deadline_ns, bool trace);

  // A request that counts was handed to the kernel `late_ns` after it was due.
  void sent(std::int64_t late_ns) noexcept { late_.add(late_ns); }

  // A call's stream has closed at `now_ns` with that HTTP/2 error code.
  void ended(const Call& call, std::uint32_t error_code, std::int64_t now_ns);
  // `count` requests have no answer.
  void failed(Failure failure, std::uint32_t code = 0, std::string_view example = {},
              std::uint64_t count = 1);

  void merge(const Outcome& other);

  // Of good answers, from when the request was due.
  const Histogram& latency() const noexcept { return latency_; }
  const Histogram& late() const noexcept { return late_; }
  const std::vector<FailureCount>& failures() const noexcept { return failures_; }
  // How often each answer came, by body and by its place there. One without expected answers has one place.
  const std::vector<std::vector<std::uint64_t>>& answers() const noexcept { return answers_; }
  const std::deque<Times>& trace() const noexcept {
    return trace_;
  }  // of all that were answered, as they ended

 private:
  const Body* first_;
  std::int64_t deadline_ns_;
  bool traced_;
  std::vector<std::vector<std::uint64_t>> answers_;
  std::vector<FailureCount> failures_;
  Histogram latency_;
  Histogram late_;
  std::deque<Times> trace_;  // it grows without moving what it holds
};

}  // namespace penstock::loadgen
