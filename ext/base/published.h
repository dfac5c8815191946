// Published: an immutable value that one side replaces whole and many threads read without a lock.
// A reader pays one load of an atomic that changes only when something is published.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>

namespace penstock {

template <typename T>
class Published {
 public:
  // One thread's view. Keeps the value that it last saw alive until it looks again: have idle threads call
  // get() after a publish(), so that the old value can go.
  class Reader {
   public:
    explicit Reader(const Published& source) : source_(&source) {}

    const std::shared_ptr<const T>& get() {
      const std::uint64_t now = source_->generation_.load(std::memory_order_acquire);
      if (now != seen_) {
        const std::lock_guard lock(source_->mutex_);
        value_ = source_->value_;
        seen_ = source_->generation_.load(std::memory_order_relaxed);
      }
      return value_;
    }

   private:
    const Published* source_;
    std::shared_ptr<const T> value_;
    std::uint64_t seen_ = 0;
  };

  // From any thread. The previous value is dropped by whoever lets go of it last.
  void publish(std::shared_ptr<const T> value) {
    const std::lock_guard lock(mutex_);
    value_.swap(value);
    generation_.fetch_add(1, std::memory_order_release);
  }

 private:
  mutable std::mutex mutex_;  // taken by readers only after a change
  std::shared_ptr<const T> value_;
  std::atomic<std::uint64_t> generation_{0};
};

}  // namespace penstock
