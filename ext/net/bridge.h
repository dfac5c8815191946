// Bridge: calls off the hot path, handed to Python and answered from any of its threads.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"

namespace penstock::net {

// One message of one call. Plain data: it outlives connection and server.
struct BridgedCall {
  std::size_t loop = 0;
  std::uint64_t connection = 0;
  std::int32_t stream = 0;
  std::string method;
  std::string message;
};

// Safe from any thread; shared by the loops and Python, outlives both.
class Bridge {
 public:
  // Posts an answer to loop `loop`, on whatever thread Python answers from.
  using Deliver = std::function<void(const BridgedCall&, Status, std::string reply)>;

  explicit Bridge(Deliver deliver) : deliver_(std::move(deliver)) {}

  // False when Python is too far behind, in calls or in their bytes: the caller is refused.
  bool push(BridgedCall call);
  // The next call; nothing after `wait` or once stopped.
  std::optional<BridgedCall> take(std::chrono::nanoseconds wait);
  // Does nothing once stopped, or when the call is gone.
  void answer(const BridgedCall& call, Status status, std::string reply);
  void stop();

 private:
  static constexpr std::size_t kLimit = 1024;
  static constexpr std::size_t kLimitBytes = 128U << 20U;  // one message may always wait alone

  std::mutex mutex_;
  std::condition_variable pushed_;
  std::deque<BridgedCall> calls_;
  std::size_t bytes_ = 0;  // of their messages
  bool stopped_ = false;

  std::mutex deliver_mutex_;  // held while delivering, so that stop() waits for it
  Deliver deliver_;
};

}  // namespace penstock::net
