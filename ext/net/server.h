// Server: the data plane as a whole: listeners, loops, what is published, the bridge.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "engine/snapshot.h"
#include "net/bridge.h"
#include "net/loop.h"
#include "net/options.h"
#include "net/shared.h"

namespace penstock::net {

// Driven by one control thread at a time (start, publish, drain, stop); bridge() and counters() are for any.
class Server {
 public:
  explicit Server(Options options);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // Binds and starts the loops. UNAVAILABLE names the address that cannot be bound; nothing is running then.
  Status start();
  std::uint16_t port() const noexcept { return port_; }  // 0: no TCP

  // Adds a lane for each loop to each ready version, and replaces what is served. Returns when every loop has
  // let the snapshot of before go, so that its versions are freed here and not on a loop.
  Status publish(std::shared_ptr<engine::Snapshot> snapshot);

  // No new connections, GOAWAY to those there are; waits until the last call is answered, at most
  // `timeout_ns`. False when calls were left.
  bool drain(std::int64_t timeout_ns);
  void stop();

  const std::shared_ptr<Bridge>& bridge() const noexcept { return shared_.bridge; }
  // What all loops count (net/traffic.h), and the requests that wait for the pool or run in it, by name.
  std::vector<std::pair<std::string, std::int64_t>> counters() const;

 private:
  Status add_lanes(engine::Snapshot& snapshot);
  // Runs `task` on every loop and waits for all.
  void on_all(const Loop::Task& task);
  void place(Fd socket);

  Shared shared_;
  std::uint16_t port_ = 0;
  mutable std::mutex counting_;  // held while what counters() reads comes or goes
  std::vector<std::unique_ptr<Loop>> loops_;
  std::shared_ptr<const engine::Snapshot> current_;
};

}  // namespace penstock::net
