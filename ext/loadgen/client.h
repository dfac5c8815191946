// Client: one of a plan's connections. The server may end it at any time, and another takes its place, as
// with gRPC's clients: at once; or kRetryNs after the last one was opened where that came to nothing, and
// requests fail until then. A server that says GOAWAY still answers what it has taken; meanwhile new requests
// go to the new connection. Owned by one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "loadgen/address.h"
#include "loadgen/call_queue.h"
#include "loadgen/connection.h"

namespace penstock::loadgen {

class Client {
 public:
  static constexpr std::int64_t kRetryNs = 1'000'000'000;  // gRPC's first backoff

  // Connects, and waits for that at most `patience_ns`, now alone. The others outlive it. Throws
  // std::runtime_error.
  Client(const Endpoint& endpoint, std::int64_t patience_ns, int epoll, std::size_t number,
         const HeaderBlock& headers, Connection::Receiver& receiver);

  // The one that takes requests, or nullptr: there is none now.
  Connection* connection() const noexcept { return connection_.get(); }
  // Why there is none, or was none last.
  std::string_view reason() const noexcept { return reason_; }

  // The call goes out with the next flush, or waits until there is a connection. False: there is none, and
  // it is not yet time to open one.
  bool submit(Call& call) noexcept;
  // Takes a call back that is under way.
  void cancel(Call& call);
  // A call that waits in vain, since no connection could be opened; nullptr: there is none.
  Call* take_failed() noexcept;

  // To be called now and then, outside of the connections' calls, from when one of them takes no more
  // requests until it gives true: all is well again. Opens a connection where that is due, and `wanted` or
  // calls wait for it.
  bool mend(std::int64_t now, bool wanted);

  // Connections that took the place of others so far.
  std::uint64_t reconnects() const noexcept { return reconnects_; }

 private:
  void retire(std::int64_t now);
  void reopen(std::int64_t now);

  const std::int64_t patience_ns_;
  const int epoll_;
  const std::size_t number_;
  const HeaderBlock& headers_;
  Connection::Receiver& receiver_;
  Address address_;
  std::unique_ptr<Connection> connection_;
  std::vector<std::unique_ptr<Connection>> leaving_;  // that still have answers to come
  CallQueue waiting_;
  bool down_ = false;      // the last connection came to nothing
  bool unproven_ = false;  // connection_ replaces another, and its peer has not spoken yet
  std::int64_t retry_ns_ = 0;
  std::uint64_t reconnects_ = 0;
  std::string reason_;
};

}  // namespace penstock::loadgen
