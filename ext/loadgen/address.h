// Address: where a server listens, and sockets that lead there.
#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <string>

#include "base/fd.h"

namespace penstock::loadgen {

// Where a server listens: a Unix socket where its path is not empty, or a host and port.
struct Endpoint {
  std::string host;
  std::string port;
  std::string unix_path;
};

// The same for the kernel.
struct Address {
  sockaddr_storage bytes{};
  socklen_t length = 0;
};

struct Reached {
  Fd socket;  // which does not block
  Address address;
};

// Connects to the first of the endpoint's addresses that can be reached, and waits for that at most
// `timeout_ns`. Throws std::runtime_error with what went wrong.
Reached reach(const Endpoint& endpoint, std::int64_t timeout_ns);

// A socket that does not block, on its way there. Not valid: errno says why.
Fd begin_to_reach(const Address& address) noexcept;

}  // namespace penstock::loadgen
