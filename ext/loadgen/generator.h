// Generator: one thread's share of a run. It sends requests in an open or a closed loop, and takes the
// answers.
//
// Open loop: request n goes to connection n modulo their number when the schedule says so. A latency counts
// from when its request was due, so that a stall shows in every request that it holds up, sent or not. Closed
// loop: whatever ends on a connection is followed there by the next one, and latencies count from then.
//
// A warm generator allocates nothing for a request, unless there are more under way than ever before or their
// times are traced. What is due at a time goes to the kernel in one piece for each connection.
#pragma once

#include <sys/epoll.h>

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

#include "base/fd.h"
#include "loadgen/connection.h"
#include "loadgen/outcome.h"
#include "loadgen/plan.h"

namespace penstock::loadgen {

class Generator final : public Ended {
 public:
  // Connects its share of the connections. The plan and the headers outlive it. Throws std::runtime_error.
  // Any thread may write to `stop` (an eventfd), which ends run() early.
  Generator(const Plan& plan, const HeaderBlock& headers, int stop, unsigned share);

  // Waits until each peer has sent its settings. Throws std::runtime_error where one does not.
  void settle();

  // Sends and receives from `start_ns` (monotonic clock) until the time is over or the stop comes, then waits
  // for the answers that are missing.
  void run(std::int64_t start_ns);

  const Outcome& outcome() const noexcept { return outcome_; }
  // Of the time that counts, in ns, and the requests that were due (open loop) or ended (closed loop) in it.
  std::int64_t measured_ns() const noexcept { return measured_ns_; }
  std::uint64_t requests() const noexcept { return requests_; }
  std::int64_t processor_ns() const noexcept { return processor_ns_; }  // of this thread, in that time

  // So far, warm-up included; for any thread.
  std::uint64_t sent() const noexcept { return sent_.load(std::memory_order_relaxed); }
  std::uint64_t answered() const noexcept { return answered_.load(std::memory_order_relaxed); }

  void on_ended(Call& call, std::uint32_t error_code) override;

 private:
  struct Client {
    std::unique_ptr<Connection> connection;
    bool blocked = false;  // EPOLLOUT is asked for
    bool touched = false;  // it is in touched_
  };

  void run_open();
  void run_closed();
  void drain();
  void send_due(std::int64_t now);
  Call& fresh_call(std::size_t connection, std::int64_t due_ns);
  // The next body goes to the call's connection, with its next flush. False when that takes no more.
  bool submit(Call& call);
  void flush_touched();
  // Serves sockets until `until` at the latest, by the monotonic clock, and at least once. Where it `spins`,
  // the last moments are spent awake.
  void serve(std::int64_t until, bool spins);
  void serve_events(std::int64_t timeout_ns);
  void flush(std::size_t index);
  void measure_from_now();

  const Plan& plan_;
  Outcome outcome_;
  Schedule schedule_;
  int stop_;
  Fd epoll_;
  std::vector<Client> clients_;
  std::vector<std::uint8_t> buffer_;
  std::vector<std::size_t> touched_;  // clients with calls of batch_
  std::vector<Call*> batch_;          // due, submitted, and not flushed yet
  std::deque<Call> calls_;            // all there are; their addresses stay
  std::vector<Call*> free_;

  std::int64_t start_ = 0;
  std::int64_t from_ = 0;  // what is due from then on counts
  std::int64_t end_ = 0;
  bool stopped_ = false;
  bool sending_ = false;
  bool measuring_ = false;
  std::size_t next_body_ = 0;
  std::size_t next_client_ = 0;
  std::size_t under_way_ = 0;
  std::size_t counted_under_way_ = 0;

  std::uint64_t requests_ = 0;
  std::int64_t measured_ns_ = 0;
  std::int64_t processor_ns_ = 0;
  std::atomic<std::uint64_t> sent_{0};
  std::atomic<std::uint64_t> answered_{0};
};

}  // namespace penstock::loadgen
