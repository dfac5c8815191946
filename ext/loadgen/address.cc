#include "loadgen/address.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/un.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <stdexcept>

namespace penstock::loadgen {

namespace {

std::string system_message(int error) { return std::strerror(error == EINPROGRESS ? ETIMEDOUT : error); }

const sockaddr* plain(const Address& address) noexcept {
  return reinterpret_cast<const sockaddr*>(&address.bytes);
}

// Not connected yet. Not valid: errno says why.
Fd socket_for(const Address& address, int flags) noexcept {
  Fd socket(::socket(address.bytes.ss_family, SOCK_STREAM | SOCK_CLOEXEC | flags, 0));
  const int yes = 1;
  if (socket.valid() && address.bytes.ss_family != AF_UNIX &&
      ::setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes) != 0)
    return {};
  return socket;
}

// Not valid: errno says why.
Fd connected(const Address& address, std::int64_t timeout_ns) noexcept {
  Fd socket = socket_for(address, 0);
  const timeval limit{.tv_sec = timeout_ns / 1'000'000'000, .tv_usec = timeout_ns / 1000 % 1'000'000};
  if (!socket.valid() || ::setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) != 0 ||
      ::connect(socket.get(), plain(address), address.length) != 0 ||
      ::fcntl(socket.get(), F_SETFL, O_NONBLOCK) != 0)
    return {};
  return socket;
}

Reached reach_path(const std::string& path, std::int64_t timeout_ns) {
  Address address;
  auto& unix_address = reinterpret_cast<sockaddr_un&>(address.bytes);
  unix_address.sun_family = AF_UNIX;
  if (path.size() >= sizeof unix_address.sun_path) throw std::runtime_error(path + ": the path is too long");
  path.copy(unix_address.sun_path, path.size());
  address.length = sizeof unix_address;
  Fd socket = connected(address, timeout_ns);
  if (!socket.valid()) throw std::runtime_error(path + ": " + system_message(errno));
  return {std::move(socket), address};
}

Reached reach_host(const std::string& host, const std::string& port, std::int64_t timeout_ns) {
  addrinfo hints{};
  hints.ai_flags = AI_NUMERICSERV;
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (const int error = ::getaddrinfo(host.c_str(), port.c_str(), &hints, &found); error != 0)
    throw std::runtime_error(host + ":" + port + ": " + ::gai_strerror(error));
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> addresses(found, ::freeaddrinfo);
  int reason = 0;
  for (const addrinfo* each = found; each != nullptr; each = each->ai_next) {
    Address address;
    std::memcpy(&address.bytes, each->ai_addr, each->ai_addrlen);
    address.length = each->ai_addrlen;
    Fd socket = connected(address, timeout_ns);
    if (socket.valid()) return {std::move(socket), address};
    reason = errno;
  }
  throw std::runtime_error(host + ":" + port + ": " + system_message(reason));
}

}  // namespace

Reached reach(const Endpoint& endpoint, std::int64_t timeout_ns) {
  return endpoint.unix_path.empty() ? reach_host(endpoint.host, endpoint.port, timeout_ns)
                                    : reach_path(endpoint.unix_path, timeout_ns);
}

Fd begin_to_reach(const Address& address) noexcept {
  Fd socket = socket_for(address, SOCK_NONBLOCK);
  if (socket.valid() && ::connect(socket.get(), plain(address), address.length) != 0 && errno != EINPROGRESS)
    return {};
  return socket;
}

}  // namespace penstock::loadgen
