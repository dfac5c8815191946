// Budget: the memory that all peers together may make the server hold.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace penstock::net {

// One a server, for all its loops; each connection has a share (below).
class alignas(64) Budget {
 public:
  explicit Budget(std::size_t limit) noexcept : limit_(static_cast<std::int64_t>(limit)) {}

  std::int64_t used() const noexcept { return used_.load(std::memory_order_relaxed); }
  std::int64_t limit() const noexcept { return limit_; }

 private:
  friend class BudgetShare;
  const std::int64_t limit_;
  alignas(64) std::atomic<std::int64_t> used_{0};  // written to: not beside what every request reads
};

// What one connection holds of it. Used by its loop alone. Small changes are not told to the budget, so that
// small calls write nothing that other threads read: it may lack kGrain bytes for each connection.
class BudgetShare {
 public:
  static constexpr std::int64_t kGrain = 16 * 1024;

  explicit BudgetShare(Budget& budget) noexcept : budget_(budget) {}
  BudgetShare(const BudgetShare&) = delete;
  BudgetShare& operator=(const BudgetShare&) = delete;
  ~BudgetShare() { tell(0); }

  // The connection holds `bytes` now.
  void set(std::size_t bytes) noexcept {
    const auto now = static_cast<std::int64_t>(bytes);
    if (now - told_ >= kGrain || told_ - now >= kGrain || (now == 0 && told_ != 0)) tell(now);
  }
  // Whether all connections together hold too much, this one with `bytes`.
  bool exceeded(std::size_t bytes) const noexcept {
    return budget_.used() - told_ + static_cast<std::int64_t>(bytes) > budget_.limit();
  }

 private:
  void tell(std::int64_t now) noexcept {
    budget_.used_.fetch_add(now - told_, std::memory_order_relaxed);
    told_ = now;
  }

  Budget& budget_;
  std::int64_t told_ = 0;
};

}  // namespace penstock::net
