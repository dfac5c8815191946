// Outcomes: what became of the requests of one run: which answers came, what failed and why, how long it
// took. Owned by one thread.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "load/call.h"
#include "load/histogram.h"

namespace penstock::load {

class Outcomes {
 public:
  // `answers`: the bodies that an answer may have. Any other one is a failure. With `trace` the times of each
  // request are kept, which takes 24 bytes of memory for each.
  Outcomes(std::vector<std::string> answers, bool trace)
      : answers_(std::move(answers)), answered_(answers_.size(), 0), traced_(trace) {}

  // A request was handed to its connection `late_ns` after it was due.
  void sent(std::int64_t late_ns) noexcept { late_.add(late_ns); }

  // A request's stream has closed at `now_ns`. Its latency counts from when it was due, whatever it ended
  // with.
  void ended(const Call& call, std::uint32_t error_code, std::int64_t now_ns);

  // `count` requests have no answer, for that reason.
  void lost(const std::string& reason, std::uint64_t count = 1) {
    if (count != 0) failed_[reason] += count;
  }

  std::uint64_t answered() const noexcept { return latency_.count(); }

  // One JSON object; benchmarks/README.md says what is in it. `requests` were due in `seconds`.
  void write(std::ostream& out, std::uint64_t requests, double seconds) const;

 private:
  struct Times {
    std::int64_t due_ns;
    std::int64_t late_ns;
    std::int64_t latency_ns;
  };

  std::vector<std::string> answers_;
  std::vector<std::uint64_t> answered_;          // by answer
  std::map<std::string, std::uint64_t> failed_;  // by reason
  Histogram latency_;
  Histogram late_;
  bool traced_;
  std::deque<Times> trace_;  // of those that ended, in that order; it grows without moving what it holds
};

}  // namespace penstock::load
