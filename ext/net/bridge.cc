#include "net/bridge.h"

#include <utility>

namespace penstock::net {

bool Bridge::push(BridgedCall call) {
  {
    const std::lock_guard lock(mutex_);
    if (stopped_ || calls_.size() >= kLimit) return false;
    if (!calls_.empty() && bytes_ + call.message.size() > kLimitBytes) return false;
    bytes_ += call.message.size();
    calls_.push_back(std::move(call));
  }
  pushed_.notify_one();
  return true;
}

std::optional<BridgedCall> Bridge::take(std::chrono::nanoseconds wait) {
  std::unique_lock lock(mutex_);
  pushed_.wait_for(lock, wait, [this] { return stopped_ || !calls_.empty(); });
  if (stopped_ || calls_.empty()) return std::nullopt;
  BridgedCall call = std::move(calls_.front());
  calls_.pop_front();
  bytes_ -= call.message.size();
  return call;
}

void Bridge::answer(const BridgedCall& call, Status status, std::string reply) {
  const std::lock_guard lock(deliver_mutex_);
  if (deliver_) deliver_(call, std::move(status), std::move(reply));
}

void Bridge::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
  }
  pushed_.notify_all();
  const std::lock_guard lock(deliver_mutex_);
  deliver_ = nullptr;
}

}  // namespace penstock::net
