// Counters: what one thread did with one version. Written by that thread alone, read by any.
#pragma once

#include <atomic>
#include <cstdint>

namespace penstock::engine {

// A sum with one writer: readers may be a moment behind, never torn.
class Tally {
 public:
  void add(std::int64_t amount) noexcept {
    value_.store(value_.load(std::memory_order_relaxed) + amount, std::memory_order_relaxed);
  }
  void set(std::int64_t value) noexcept { value_.store(value, std::memory_order_relaxed); }
  std::int64_t get() const noexcept { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::int64_t> value_{0};
};

// Durations are nanoseconds; the stages are those of answered requests and add up to at most `request_ns`.
struct Counters {
  Tally requests;    // answered with OK
  Tally failures;    // answered with an error
  Tally rows;        // of answered requests
  Tally executions;  // runs of the model
  Tally request_ns;  // from the whole message's arrival to the encoded reply
  Tally queue_ns;    // from its arrival to the start of decoding: what the loop did for others first
  Tally decode_ns;
  Tally transform_ns;  // binding the inputs, and the program
  Tally execute_ns;    // the model
  Tally encode_ns;
  Tally failure_ns;
  Tally last_ns;  // no sum: when the latest request was answered, on the monotonic clock

  // The sums.
  template <typename Visit>
  void each(Visit&& visit) const {
    visit("requests", requests);
    visit("failures", failures);
    visit("rows", rows);
    visit("executions", executions);
    visit("request_ns", request_ns);
    visit("queue_ns", queue_ns);
    visit("decode_ns", decode_ns);
    visit("transform_ns", transform_ns);
    visit("execute_ns", execute_ns);
    visit("encode_ns", encode_ns);
    visit("failure_ns", failure_ns);
  }
};

}  // namespace penstock::engine
