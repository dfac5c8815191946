// Line: the requests that wait for one version, by priority.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <list>

#include "engine/schedule.h"

namespace penstock::engine {

struct Job;

// Owned by its version, used under the pool's lock; waiting() from any thread.
class Line {
 public:
  static constexpr std::size_t kLevels = 3;  // of priority, 0 the most urgent
  static constexpr std::size_t kDefaultLevel = 1;

  Line();
  ~Line();
  Line(const Line&) = delete;
  Line& operator=(const Line&) = delete;

  std::int64_t waiting() const noexcept { return waiting_.load(std::memory_order_relaxed); }
  bool empty() const noexcept { return waiting() == 0; }

  std::int64_t rows() const noexcept { return rows_; }  // about

  // Takes over the one job of `jobs`.
  void push(std::list<Job>& jobs) noexcept;
  // Moves a waiting job to the end of `to`.
  void take(Job& job, std::list<Job>& to) noexcept;
  // The most urgent one, of several the first that came. Not of an empty line.
  Job& first() noexcept;
  // The one that has waited longest. Not of an empty line.
  Job& oldest() noexcept;
  // The one that gives way when there is no room for one of `level`: of those that are less urgent the least
  // urgent, of several the last that came. Null: there is none.
  Job* yields_to(std::size_t level) noexcept;
  // When the line is worth a run: at once where it may not wait, or holds a whole batch; else when the first
  // of its requests has waited for as long as `schedule` lets it, or would not be answered in time after
  // that.
  std::int64_t ripe_ns(const Schedule& schedule) const noexcept;

  // How much of the workers' time this version had, on a clock that all lines share: the pool runs the line
  // that had least. One that begins to wait begins where the clock stands.
  std::int64_t served_ns = 0;
  bool listed = false;   // among those that the pool looks through
  bool dropped = false;  // the pool holds a share of the version for a worker to let go of

 private:
  std::array<std::list<Job>, kLevels> levels_;  // each in the order of arrival
  std::atomic<std::int64_t> waiting_{0};
  std::int64_t rows_ = 0;
};

}  // namespace penstock::engine
