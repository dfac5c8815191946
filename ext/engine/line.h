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
  // Priorities. A request that waits is moved up one level each kPromoteNs, so that none waits for ever
  // behind more urgent ones.
  static constexpr std::size_t kLevels = 3;
  static constexpr std::size_t kDefaultLevel = 1;
  static constexpr std::int64_t kPromoteNs = 2'000'000'000;

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
  // The one that goes first now. Not of an empty line.
  Job& first(std::int64_t now_ns) noexcept;
  // The level that it has by now.
  static std::size_t level(const Job& job, std::int64_t now_ns) noexcept;
  // When the line is worth a run: at once where it may not wait, or holds a whole batch; else when the first
  // of its requests has waited for as long as `schedule` lets it, or would not be answered in time after
  // that.
  std::int64_t ripe_ns(const Schedule& schedule) const noexcept;

  // How much of the workers' time this version had, on a clock that all lines share: the pool runs the line
  // that had least. One that begins to wait begins where the clock stands.
  std::int64_t served_ns = 0;
  bool listed = false;  // among those that the pool looks through

 private:
  std::array<std::list<Job>, kLevels> levels_;  // each in the order of arrival
  std::atomic<std::int64_t> waiting_{0};
  std::int64_t rows_ = 0;
};

}  // namespace penstock::engine
