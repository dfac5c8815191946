// Generator: one thread's share of a run. It sends requests in an open or a closed loop, and takes the
// answers.
//
// Open loop: request n goes to connection n modulo their number when the schedule says so. A latency counts
// from when its request was due, so that a stall shows in every request that it holds up, sent or not. Closed
// loop: whatever ends on a connection is followed there by the next one, and latencies count from then.
//
// Connections that the server ends are opened again (client.h). A request that it gives back unprocessed
// (GOAWAY, REFUSED_STREAM) is sent once more, and one that had not left yet as often as need be, as gRPC's
// clients do (gRFC A6, transparent retries). One whose deadline passes is cancelled.
//
// A warm generator allocates nothing for a request, unless there are more under way than ever before or their
// times are traced. What is due at a time is written in one piece for each connection.
#pragma once

#include <sys/epoll.h>

#include <atomic>
#include <cstdint>
#include <deque>
#include <optional>
#include <string_view>
#include <vector>

#include "base/fd.h"
#include "loadgen/client.h"
#include "loadgen/due_order.h"
#include "loadgen/outcome.h"
#include "loadgen/plan.h"
#include "loadgen/totals.h"

namespace penstock::loadgen {

class Generator final : private Connection::Receiver {
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
  const Totals& totals() const noexcept { return totals_; }  // once run() is over

  // So far, warm-up included; for any thread.
  std::uint64_t sent() const noexcept { return sent_.load(std::memory_order_relaxed); }
  std::uint64_t answered() const noexcept { return answered_.load(std::memory_order_relaxed); }

 private:
  struct Place : Client {
    using Client::Client;
    bool touched = false;    // it is in touched_
    bool ailing = false;     // it is in ailing_
    std::size_t parked = 0;  // streams of a closed loop that have no connection to go on with
  };

  void on_ended(Connection& connection, Call& call, std::uint32_t error_code) override;

  void run_open();
  void run_closed();
  void drain();
  void send_due(std::int64_t now);
  Call& fresh_call(std::size_t client, std::int64_t due_ns);
  // The next body goes out with the next flush, or waits for a connection. False when there is none to wait
  // for.
  bool submit(Call& call);
  // The call is over: for the reason that its connection was `lost`, or by the error code. In a closed loop
  // the next one follows.
  void conclude(Call& call, std::int64_t now, std::uint32_t error_code,
                std::optional<std::string_view> lost = {});
  void follow(Call& call, std::int64_t now);
  void touch(std::size_t client);
  void ail(std::size_t client);
  // Connections that are lost are opened again, and calls go on there.
  void mend(std::int64_t now);
  // Calls whose deadline has passed are cancelled.
  void expire(std::int64_t now);
  std::uint64_t all_reconnects() const noexcept;
  void flush_touched();
  // Serves sockets until `until` at the latest, by the monotonic clock, and at least once. Where it `spins`,
  // the last moments are spent awake.
  void serve(std::int64_t until, bool spins);
  void serve_events(std::int64_t timeout_ns);
  void flush(Connection& connection);
  void measure_from_now();

  const Plan& plan_;
  Outcome outcome_;
  Schedule schedule_;
  int stop_;
  Fd epoll_;
  std::deque<Place> clients_;
  std::vector<std::uint8_t> buffer_;
  std::vector<std::size_t> touched_;  // clients with calls of batch_
  std::vector<Call*> batch_;          // due, submitted, and not flushed yet
  std::deque<Call> calls_;            // all there are; their addresses stay
  std::vector<Call*> free_;
  std::vector<std::size_t> ailing_;  // clients with a connection that takes no more requests
  DueOrder timed_;                   // what is under way and has a deadline

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

  Totals totals_;
  std::int64_t processor_ns_before_ = 0;  // before the time that counts, as is the next
  std::uint64_t reconnects_before_ = 0;
  std::atomic<std::uint64_t> sent_{0};
  std::atomic<std::uint64_t> answered_{0};
};

}  // namespace penstock::loadgen
