// Counters: what one thread did with one version. Written by that thread alone, read by any.
#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>

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

// Runs of the model by how many rows they had. Durations are nanoseconds.
struct RunTally {
  Tally runs;
  Tally transform_ns;
  Tally execute_ns;
  Tally encode_ns;  // of all the answers
};

// Durations are nanoseconds; the stages are those of answered requests and add up to at most `request_ns`.
// Of requests that share a run, each has the whole of its stages.
struct Counters {
  // Runs of 1, 2, 3 to 4, 5 to 8 rows, and so on; the last has all that are larger.
  static constexpr std::size_t kRunSizes = 18;
  static std::size_t run_size(std::int64_t rows) noexcept {
    const auto bits =
        static_cast<std::size_t>(std::bit_width(static_cast<std::uint64_t>(rows < 1 ? 0 : rows - 1)));
    return bits < kRunSizes ? bits : kRunSizes - 1;
  }

  Tally requests;    // answered with OK
  Tally failures;    // answered with an error
  Tally cancelled;   // taken back by their callers while they waited for the pool: dropped before they cost
  Tally expired;     // of the failures, those whose deadline passed
  Tally refused;     // of the failures, those for which the pool had no room
  Tally rows;        // of answered requests
  Tally executions;  // runs of the model
  Tally request_ns;  // from the whole message's arrival to the encoded reply
  Tally queue_ns;    // from its arrival to its turn: to decoding, and from there to the run that it shares
  Tally decode_ns;
  Tally transform_ns;  // binding the inputs, joining those of several requests, and the program
  Tally execute_ns;    // the model
  Tally encode_ns;
  Tally failure_ns;
  Tally last_ns;  // no sum: when the latest request was answered, on the monotonic clock
  std::array<RunTally, kRunSizes> runs;

  // An error is answered, `ns` after the request came.
  void fail(std::int64_t ns) noexcept {
    failures.add(1);
    failure_ns.add(ns);
  }

  // The sums.
  template <typename Visit>
  void each(Visit&& visit) const {
    visit("requests", requests);
    visit("failures", failures);
    visit("cancelled", cancelled);
    visit("expired", expired);
    visit("refused", refused);
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
