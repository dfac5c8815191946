// Loop: one thread, one epoll instance, and the connections that it serves from their first byte to their
// last.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <vector>

#include "base/fd.h"
#include "engine/job.h"
#include "net/connection.h"
#include "net/listener.h"
#include "net/poller.h"
#include "net/service.h"
#include "net/shared.h"

namespace penstock::net {

// Made and destroyed by the server. Everything but post(), traffic() and join() happens on the loop's own
// thread.
class Loop {
 public:
  using Task = std::function<void(Loop&)>;
  // Where to give a connection that was accepted here: the loop with the fewest open streams.
  using Place = std::function<void(Fd)>;

  // RESOURCE_EXHAUSTED when the system has no descriptors or threads left.
  static Status start(std::size_t index, Shared& shared, std::unique_ptr<Loop>* made);
  ~Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  // Runs `task` on the loop, soon, in the order of posting. From any thread. False once the loop stopped.
  bool post(Task task);
  const Traffic& traffic() const noexcept { return traffic_; }
  // Connections given to this loop and not closed yet.
  std::int64_t assigned() const noexcept { return assigned_.load(std::memory_order_relaxed); }
  // Gives back jobs of this loop that the pool is done with. From any thread; never fails. Once the loop
  // stopped nobody waits for them any more.
  void give_back(engine::Jobs& done) noexcept;
  // Hands over a connected socket. From any thread.
  void give(Fd socket);
  // Ends the loop and waits for its thread; open connections are closed as they are.
  void stop();

  // For tasks.
  void listen(std::vector<Listener> listeners, Place place);
  void adopt();
  // Closes a connection that there is no room for.
  void turn_away(Fd) noexcept { Traffic::add(traffic_.turned_away, 1); }
  void answer(const BridgedCall& call, Status status, const std::string& reply);
  void drain();

 private:
  Loop(std::size_t index, Shared& shared)
      : shared_(shared), service_(shared, index), index_(index), poller_(shared.options.spin_ns) {}

  void run();
  void wake() noexcept;
  void add(Fd socket);
  void run_tasks();
  void accept(const Listener& listener);
  void watch_listeners(bool on);
  void handle(std::uint64_t id, std::uint32_t events);
  void complete(engine::Jobs& done) noexcept;
  // Ends what the turn has gathered so far: answers it, and sends.
  void settle() noexcept;
  void expire(std::int64_t now_ns);
  void tick(std::int64_t now_ns);
  std::int64_t next_wake() const noexcept;
  bool may_spin() const noexcept;

  struct Entry {
    std::unique_ptr<Connection> connection;
    bool waits_to_write = false;
    bool is_due = false;  // among due_
  };
  using Connections = std::unordered_map<std::uint64_t, Entry>;

  // It has something to send when the turn settles.
  void make_due(Connections::value_type& entry);
  // Does work(connection) and, where it gives false or throws, closes the connection; else waits for what
  // that waits for. The entry after it.
  template <typename Work>
  Connections::iterator attend(Connections::iterator at, Work&& work) noexcept;
  template <typename Work>
  void attend_all(Work&& work) noexcept;

  Shared& shared_;
  Traffic traffic_;
  std::atomic<std::int64_t> assigned_{0};
  Service service_;  // outlives the connections: their streams tell it when they close
  Deadlines deadlines_;
  const std::size_t index_;
  Poller poller_;
  Fd wake_;
  std::vector<std::byte> buffer_;
  std::size_t buffer_used_ = 0;     // by requests that were gathered in this turn
  std::vector<std::uint64_t> due_;  // connections
  Connections connections_;
  std::uint64_t next_id_ = 1;
  std::vector<Listener> listeners_;
  Place place_;
  std::int64_t listen_again_ns_ = 0;
  std::int64_t next_tick_ns_ = 0;
  std::int64_t now_ns_ = 0;  // when the turn's events had been handled
  bool draining_ = false;
  bool stopping_ = false;

  std::mutex mutex_;
  std::vector<Task> tasks_;
  engine::Jobs done_;
  bool closed_ = false;
  std::thread thread_;
};

}  // namespace penstock::net
