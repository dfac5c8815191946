// Pool: threads for requests that would hold up a loop.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "base/status.h"
#include "engine/job.h"

namespace penstock::engine {

// A worker that is free takes the version whose first request has the highest priority; of several the one
// that has had least of the workers' time. Of it, it takes all that wait, the most urgent first, up to the
// batch limit, and runs them together.
//
// Priority is strict, but for every kOldestEvery-th run, which begins with the request that has waited
// longest of all. So the urgent have all but that part of the workers, whatever waits and for how long; a
// request of theirs stands behind one run of others at most, besides those under way; and nobody starves: of
// those that may run, the n-th oldest waits for no more than n * kOldestEvery runs. In a line that is full,
// the newest of the least urgent gives its place to one that is more urgent.
class Pool {
 public:
  static constexpr std::uint64_t kOldestEvery = 8;

  // Takes back jobs of one loop that are done, with their answers; it must leave the list empty. On a
  // worker's thread, or within push().
  using Deliver = std::function<void(std::size_t loop, Jobs& done)>;

  // RESOURCE_EXHAUSTED when the system has no threads left.
  static Status start(std::size_t threads, Deliver deliver, std::unique_ptr<Pool>* made);
  ~Pool();
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  // Takes over the one job of `jobs`. To be called by the job's loop. RESOURCE_EXHAUSTED where its version
  // has as many waiting as it may, none of them less urgent, UNAVAILABLE once stopped; `jobs` keeps it then,
  // and it is counted for the lane that it came from. So is a job that gives way to it.
  Status push(Jobs& jobs);
  // The job's answer is not wanted any more. One that still waits is dropped, and counted for the lane that
  // it came from; it is gone then. To be called by the job's loop.
  void cancel(Job& job, std::int64_t now_ns) noexcept;
  // Waits for the runs that are under way, which are delivered. What waits goes on waiting, to be cancelled.
  void stop() noexcept;

  std::int64_t waiting() const noexcept { return waiting_.load(std::memory_order_relaxed); }
  std::int64_t running() const noexcept { return running_.load(std::memory_order_relaxed); }

 private:
  class Worker;

  explicit Pool(Deliver deliver) : deliver_(std::move(deliver)) {}
  // The jobs of the next run; none once stopped. Waits for them. `expired` are those that it is too late for.
  bool take(Jobs* batch, Jobs* expired);
  // With `by_age`, for the run that begins with the oldest.
  Line* pick(std::int64_t now_ns, bool by_age, std::int64_t* look_again_ns) noexcept;
  void take_from(Line& line, std::int64_t now_ns, bool by_age, Jobs* batch, Jobs* expired) noexcept;
  // Ends the waiting of a job that is not to run.
  void take_out(Job& job, Jobs* to) noexcept;
  void unlist(const Version& version) noexcept;
  void charge(const Version& version, std::int64_t ns) noexcept;
  void deliver(Jobs& done) noexcept;

  const Deliver deliver_;
  std::mutex mutex_;
  std::condition_variable pushed_;
  std::vector<const Version*> listed_;  // whose lines are not empty; what waits there keeps them
  Jobs dropped_;                        // for a worker to destroy: the last, perhaps, that share a version
  std::int64_t clock_ns_ = 0;           // see Line::served_ns
  std::uint64_t runs_ = 0;
  bool stopped_ = false;
  std::atomic<std::int64_t> waiting_{0};
  std::atomic<std::int64_t> running_{0};
  std::vector<std::thread> threads_;
};

}  // namespace penstock::engine
