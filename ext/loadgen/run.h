// Run: a plan on its threads. Driven by one thread; stop(), sent() and answered() are for any.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/fd.h"
#include "base/status.h"
#include "loadgen/generator.h"
#include "loadgen/plan.h"
#include "loadgen/totals.h"

namespace penstock::loadgen {

class Run {
 public:
  explicit Run(Plan plan);
  Run(const Run&) = delete;
  Run& operator=(const Run&) = delete;
  ~Run();  // stops, and waits for the threads

  // Connects everything, and starts the threads: the first request is due 50 ms later at the earliest. Once.
  // UNAVAILABLE says what cannot be reached, INVALID_ARGUMENT what is wrong with the plan.
  Status start();

  // Waits at most `timeout_ns`; true when the run is over, its last answers waited for.
  bool wait(std::int64_t timeout_ns);
  // Ends the sending early; wait() until the last answers have come. May be called more than once.
  void stop() noexcept;

  std::uint64_t sent() const noexcept;
  std::uint64_t answered() const noexcept;

  // When the run is over. The status is INTERNAL where a thread failed.
  const Status& status() const noexcept { return status_; }
  const Outcome& outcome() const noexcept { return *outcome_; }
  const Totals& totals() const noexcept { return totals_; }

 private:
  void run_share(std::size_t share, std::int64_t start_ns);
  void collect();

  const Plan plan_;
  const HeaderBlock headers_;
  Fd stop_;
  std::vector<std::unique_ptr<Generator>> generators_;
  std::vector<std::thread> threads_;

  std::mutex mutex_;  // of the two below
  std::condition_variable over_;
  std::size_t running_ = 0;
  std::string failure_;

  Status status_;
  std::unique_ptr<Outcome> outcome_;
  Totals totals_;
};

}  // namespace penstock::loadgen
