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

std::size_t Line::level(const Job& job, std::int64_t now_ns) noexcept {
  const std::int64_t promotions = std::max<std::int64_t>(now_ns - job.arrived_ns, 0) / kPromoteNs;
  return promotions >= static_cast<std::int64_t>(job.level)
             ? 0
             : job.level - static_cast<std::size_t>(promotions);
}

Job& Line::first(std::int64_t now_ns) noexcept {
  Job* best = nullptr;
  for (Jobs& level : levels_) {
    if (level.empty()) continue;
    Job& head = level.front();
    if (best == nullptr || Line::level(head, now_ns) < Line::level(*best, now_ns) ||
        (Line::level(head, now_ns) == Line::level(*best, now_ns) && head.arrived_ns < best->arrived_ns)) {
      best = &head;
    }
  }
  return *best;
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
