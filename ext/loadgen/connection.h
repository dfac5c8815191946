// Connection: a Session on a socket, in an epoll set. Owned by one thread. Nothing waits: what the socket
// does not take now, or not before it is connected, is kept, and goes out when flush() is called again.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/fd.h"
#include "loadgen/session.h"

namespace penstock::loadgen {

class Connection final : private Ended {
 public:
  class Receiver {
   public:
    virtual ~Receiver() = default;
    // As Ended::on_ended. A connection that is not open any more was lost with the call.
    virtual void on_ended(Connection& connection, Call& call, std::uint32_t error_code) = 0;
  };

  // On a socket that does not block, connected or on its way. Events of the epoll set (level-triggered) have
  // a pointer to this. `headers` and `receiver` outlive it. Throws std::runtime_error.
  Connection(Fd socket, int epoll, std::size_t client, const HeaderBlock& headers, Receiver& receiver);
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  std::size_t client() const noexcept { return client_; }  // whose it is
  bool open() const noexcept { return fd_.valid(); }
  bool takes() const noexcept { return open() && session_.takes(); }  // requests
  bool settled() const noexcept { return session_.settled(); }
  bool idle() const noexcept { return session_.idle(); }
  bool answered() const noexcept { return answered_; }  // a request in good order, at any time
  std::int64_t opened_ns() const noexcept { return opened_ns_; }
  // When what is being taken, or was taken last, came out of the socket, by the monotonic clock.
  std::int64_t received_ns() const noexcept { return received_ns_; }
  // Why it is not open, or takes no more requests.
  std::string_view reason() const noexcept {
    constexpr std::string_view kGoingAway = "the peer takes no more requests on it (GOAWAY)";
    return open() && !takes() ? kGoingAway : reason_;
  }

  // As Session's.
  bool submit(Call& call) noexcept;
  void cancel(Call& call);

  // Writes what there is to write, as far as the socket takes it. Closes the connection on any error.
  void flush();

  // Reads what has come, as much as `buffer` takes (twice a frame at least); the rest waits, so that a peer
  // who never stops holds up nobody else. Closes the connection at its end and on any error.
  void read(std::span<std::uint8_t> buffer);

  // The calls on it end.
  void close(std::string reason);

 private:
  void on_ended(Call& call, std::uint32_t error_code) override;
  void block(bool blocked);
  void watch(int operation);

  Fd fd_;
  int epoll_;
  std::size_t client_;
  Receiver& receiver_;
  Session session_;
  bool blocked_ = false;  // EPOLLOUT is asked for
  bool answered_ = false;
  std::string out_;  // pulled from the session, and taken by the socket up to written_
  std::size_t written_ = 0;
  std::string rest_;  // of a frame that has not come in whole
  std::string reason_;
  std::int64_t opened_ns_;
  std::int64_t received_ns_ = 0;
};

}  // namespace penstock::loadgen
