// Connection: the client's side of one HTTP/2 connection, on nghttp2. Owned by one thread.
// Nothing waits: what the socket does not take now is kept, and goes out when flush() is called again.
#pragma once

#include <nghttp2/nghttp2.h>

#include <cstdint>
#include <memory>
#include <string>

#include "load/call.h"

namespace penstock::load {

// What every request is made of. Outlives the connections.
struct Request {
  std::string authority;
  std::string path;
  std::string body;  // as it stands in DATA frames: the gRPC prefix and the message
};

// Takes calls that have ended.
class Ended {
 public:
  virtual ~Ended() = default;
  // The stream closed with that HTTP/2 error code (0: in good order); the call is the receiver's again.
  virtual void on_ended(Call& call, std::uint32_t error_code) noexcept = 0;
};

class Connection {
 public:
  // Connects, and waits for that alone. `request` and `ended` outlive the connection. Throws
  // std::runtime_error with what went wrong.
  Connection(const std::string& host, const std::string& port, const Request& request, Ended& ended);
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  ~Connection();

  int fd() const noexcept { return fd_; }
  bool open() const noexcept { return fd_ >= 0; }

  // Submits the request for `call`, which stays untouched until it has ended. False when the connection takes
  // no more streams.
  bool submit(Call& call) noexcept;

  // Writes what there is to write. True when the socket took all of it; false when it is full, or has closed.
  bool flush() noexcept;

  // Reads what has come. Closes the connection at its end and on any error; the calls on it then never end.
  void read() noexcept;

 private:
  struct SessionDeleter {
    void operator()(nghttp2_session* session) const noexcept { nghttp2_session_del(session); }
  };

  void close() noexcept;

  const Request& request_;
  Ended& ended_;
  int fd_ = -1;
  std::unique_ptr<nghttp2_session, SessionDeleter> session_;
  std::string out_;  // serialized, and not yet taken by the socket
};

}  // namespace penstock::load
