#include "engine/line.h"

#include <algorithm>

#include "engine/job.h"

namespace penstock::engine {

Line::Line() = default;
Line::~Line() = default;

void Line::push(Jobs& jobs) noexcept {
  Job& job = jobs.front();
  job.place = jobs.begin();
  job.state = Job::State::kWaiting;
  Jobs& level = levels_[job.level];
  level.splice(level.end(), jobs);
  rows_ += job.rows;
  waiting_.store(waiting() + 1, std::memory_order_relaxed);
}

void Line::take(Job& job, Jobs& to) noexcept {
  to.splice(to.end(), levels_[job.level], job.place);
  rows_ -= job.rows;
  waiting_.store(waiting() - 1, std::memory_order_relaxed);
}

Job& Line::first() noexcept {
  return std::ranges::find_if(levels_, [](const Jobs& level) { return !level.empty(); })->front();
}

Job& Line::oldest() noexcept {
  Job* oldest = nullptr;
  for (Jobs& level : levels_) {
    if (level.empty()) continue;
    if (oldest == nullptr || level.front().arrived_ns < oldest->arrived_ns) oldest = &level.front();
  }
  return *oldest;
}

Job* Line::yields_to(std::size_t level) noexcept {
  for (std::size_t last = kLevels - 1; last > level; --last) {
    if (!levels_[last].empty()) return &levels_[last].back();
  }
  return nullptr;
}

std::int64_t Line::ripe_ns(const Schedule& schedule) const noexcept {
  if (schedule.max_wait_ns <= 0 || !schedule.merges || rows_ >= schedule.max_batch_rows) return 0;
  std::int64_t ripe = INT64_MAX;
  for (const Jobs& level : levels_) {
    for (const Job& job : level) {
      ripe =
          std::min({ripe, job.arrived_ns + schedule.max_wait_ns, job.deadline_ns - schedule.cost_ns(rows_)});
    }
  }
  return ripe;
}

}  // namespace penstock::engine
