// Outcome: what became of the requests of one run: which answers came, what failed and why, how long it took.
// Owned by one thread; those of several threads are merged when they are done.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
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
  kTooLate,       // the deadline passed by this side's clock
  kClosed,        // the connection closed, or none could be opened
  kUnanswered,    // nothing came until the end
  kTooMany,       // not sent, since too many were under way
};

// Codes that are counted each for itself; others are counted together, as kOtherCodes of their kind.
inline constexpr std::size_t kMostCodes = 64;
inline constexpr std::uint32_t kOtherCodes = ~std::uint32_t{0};
inline constexpr std::size_t kMostExampleBytes = 1000;

struct FailureCount {
  Failure failure;
  std::uint32_t code;
  std::uint64_t count;
  // What the server said the first time, as it stood in grpc-message; why it closed. Cut off.
  std::string example;
};

struct Times {
  std::int64_t due_ns;
  std::int64_t late_ns;
  std::int64_t latency_ns;
};

class Outcome {
 public:
  // The bodies outlive it. A call that ends `deadline_ns` after it was due or later failed, whatever came (0:
  // there is no deadline). With `trace` the times of each request are kept, which takes 24 bytes of memory
  // for each.
  Outcome(const std::vector<Body>& bodies, std::int64_t deadline_ns, bool trace);

  // The connection of a request that counts had written what it could `late_ns` after that was due.
  void sent(std::int64_t late_ns) noexcept { late_.add(late_ns); }

  // A call that counts has ended at `now_ns`: its stream closed with that HTTP/2 error code. Whether its
  // answer was good.
  bool ended(const Call& call, std::uint32_t error_code, std::int64_t now_ns);
  // The same of a call that does not count: nothing is noted.
  bool good(const Call& call, std::uint32_t error_code, std::int64_t now_ns) const noexcept {
    return !fault_of(call, error_code, now_ns);
  }
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
  struct Fault {
    Failure failure;
    std::uint32_t code = 0;
    std::string_view example = {};
  };
  // Why the answer is not good; nothing: it is.
  std::optional<Fault> fault_of(const Call& call, std::uint32_t error_code,
                                std::int64_t now_ns) const noexcept;

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
