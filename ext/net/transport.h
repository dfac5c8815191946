// Transport: a byte stream to one peer. Plain sockets today; TLS is another implementation of the same
// functions.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <memory>
#include <span>

#include "base/fd.h"

namespace penstock::net {

enum class Io : unsigned char {
  kDone,     // `bytes` were moved, at least one
  kBlocked,  // nothing can be moved now: wait for the descriptor
  kClosed,   // the peer is gone, or the connection broke
};

struct Moved {
  Io state = Io::kClosed;
  std::size_t bytes = 0;
};

// Never blocks. Used by the loop that owns the connection alone.
class Transport {
 public:
  virtual ~Transport() = default;
  virtual int fd() const noexcept = 0;  // to wait on
  virtual Moved read(std::span<std::byte> into) noexcept = 0;
  virtual Moved write(std::span<const iovec> from) noexcept = 0;
  // Nothing more will be written; reading goes on.
  virtual void end() noexcept = 0;
};

// A connected, non-blocking TCP or Unix socket.
std::unique_ptr<Transport> make_socket_transport(Fd socket);

}  // namespace penstock::net
