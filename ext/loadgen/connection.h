// Connection: a Session on a socket. Owned by one thread. Nothing waits but the constructor: what the socket
// does not take now is kept, and goes out when flush() is called again.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/fd.h"
#include "loadgen/session.h"

namespace penstock::loadgen {

// Where a server listens: a Unix socket where its path is not empty, or a host and port.
struct Endpoint {
  std::string host;
  std::string port;
  std::string unix_path;
};

class Connection {
 public:
  // Connects, and waits for that alone, at most `timeout_ns`. `headers` and `ended` outlive the connection.
  // Throws std::runtime_error with what went wrong.
  Connection(const Endpoint& endpoint, std::int64_t timeout_ns, const HeaderBlock& headers, Ended& ended);

  int fd() const noexcept { return fd_.get(); }
  bool open() const noexcept { return fd_.valid(); }
  bool settled() const noexcept { return session_.settled(); }
  const std::string& reason() const noexcept { return reason_; }  // why it is not open
  // When what is being taken, or was taken last, came out of the socket, by the monotonic clock.
  std::int64_t received_ns() const noexcept { return received_ns_; }

  // As Session::submit.
  bool submit(Call& call) noexcept { return open() && session_.submit(call); }

  // Writes what there is to write. True when the socket took all of it; false when it is full, or has closed.
  bool flush();

  // Reads what has come, through `buffer` (twice a frame at least). Closes the connection at its end and on
  // any error; the calls on it then end.
  void read(std::span<std::uint8_t> buffer);

 private:
  void close(std::string reason);

  Fd fd_;
  Session session_;
  std::string out_;  // pulled from the session, and taken by the socket up to written_
  std::size_t written_ = 0;
  std::string rest_;  // of a frame that has not come in whole
  std::string reason_;
  std::int64_t received_ns_ = 0;
};

}  // namespace penstock::loadgen
