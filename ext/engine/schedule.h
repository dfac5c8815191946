// Schedule: where the requests of a version run, and whether they share runs.
#pragma once

#include <algorithm>
#include <cstdint>

namespace penstock::engine {

// Fixed from a version's publication on. The default is to run each request by itself on the loop that read
// it.
struct Schedule {
  // As measured: a run of n rows takes about fixed_ns + n * row_ns.
  std::int64_t fixed_ns = 0;
  std::int64_t row_ns = 0;

  // Requests of more rows than this run in the pool, the others on the loop that read them. INT64_MAX: none
  // runs in the pool.
  std::int64_t inline_rows = INT64_MAX;

  // Whether requests may share a run, of at least and at most so many rows. Only where a row's answer does
  // not depend on the rows beside it.
  bool merges = false;
  std::int64_t min_batch_rows = 2;
  std::int64_t max_batch_rows = 256;

  // In the pool: how long a request may wait for others to share its run, and how many may wait.
  std::int64_t max_wait_ns = 0;
  std::int64_t queue_limit = 256;

  bool uses_pool() const noexcept { return inline_rows != INT64_MAX; }
  // Of a run that requests share on a loop, the most rows.
  std::int64_t shared_inline_rows() const noexcept { return std::min(inline_rows, max_batch_rows); }
  // Whether there is such a run for a request of `rows` rows and another one.
  bool shares_inline(std::int64_t rows) const noexcept {
    const std::int64_t most = shared_inline_rows();
    return merges && rows < most && min_batch_rows <= most;
  }
  std::int64_t cost_ns(std::int64_t rows) const noexcept {
    std::int64_t cost = 0;
    if (__builtin_mul_overflow(rows, row_ns, &cost) || __builtin_add_overflow(cost, fixed_ns, &cost)) {
      return INT64_MAX / 4;  // sums of several still fit
    }
    return cost < INT64_MAX / 4 ? cost : INT64_MAX / 4;
  }
};

}  // namespace penstock::engine
