#include "loadgen/connection.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <utility>

#include "base/clock.h"

namespace penstock::loadgen {

namespace {

constexpr std::size_t kWriteBytes = 64 * 1024;

std::string system_message(int error) { return std::strerror(error == EINPROGRESS ? ETIMEDOUT : error); }

// A connected socket, or the reason why not in errno.
Fd connected(int family, const sockaddr* address, socklen_t length, std::int64_t timeout_ns) {
  Fd socket(::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const timeval limit{.tv_sec = timeout_ns / 1'000'000'000, .tv_usec = timeout_ns / 1000 % 1'000'000};
  if (!socket.valid() || ::setsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) != 0 ||
      ::connect(socket.get(), address, length) != 0)
    return {};
  return socket;
}

Fd connected_to_path(const std::string& path, std::int64_t timeout_ns) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) throw std::runtime_error(path + ": the path is too long");
  path.copy(address.sun_path, path.size());
  Fd socket = connected(AF_UNIX, reinterpret_cast<const sockaddr*>(&address), sizeof address, timeout_ns);
  if (!socket.valid()) throw std::runtime_error(path + ": " + system_message(errno));
  return socket;
}

Fd connected_to_host(const std::string& host, const std::string& port, std::int64_t timeout_ns) {
  addrinfo hints{};
  hints.ai_flags = AI_NUMERICSERV;
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (const int error = ::getaddrinfo(host.c_str(), port.c_str(), &hints, &found); error != 0)
    throw std::runtime_error(host + ":" + port + ": " + ::gai_strerror(error));
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> addresses(found, ::freeaddrinfo);
  int reason = 0;
  for (const addrinfo* address = found; address != nullptr; address = address->ai_next) {
    Fd socket = connected(address->ai_family, address->ai_addr, address->ai_addrlen, timeout_ns);
    const int yes = 1;
    if (socket.valid() && ::setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes) == 0)
      return socket;
    reason = errno;
  }
  throw std::runtime_error(host + ":" + port + ": " + system_message(reason));
}

}  // namespace

Connection::Connection(const Endpoint& endpoint, std::int64_t timeout_ns, const HeaderBlock& headers,
                       Ended& ended)
    : fd_(endpoint.unix_path.empty() ? connected_to_host(endpoint.host, endpoint.port, timeout_ns)
                                     : connected_to_path(endpoint.unix_path, timeout_ns)),
      session_(headers, ended) {
  if (::fcntl(fd_.get(), F_SETFL, O_NONBLOCK) != 0) throw std::runtime_error(system_message(errno));
}

bool Connection::flush() {
  while (open()) {
    if (written_ == out_.size()) {
      out_.clear();
      written_ = 0;
      session_.pull(out_, kWriteBytes);
      if (out_.empty()) return true;
    }
    const ssize_t sent = ::send(fd_.get(), out_.data() + written_, out_.size() - written_, MSG_NOSIGNAL);
    if (sent >= 0) {
      written_ += static_cast<std::size_t>(sent);
    } else if (errno == EAGAIN) {
      return false;
    } else if (errno != EINTR) {
      close(system_message(errno));
    }
  }
  return false;
}

void Connection::read(std::span<std::uint8_t> buffer) {
  while (open()) {
    std::memcpy(buffer.data(), rest_.data(), rest_.size());
    const std::span<std::uint8_t> room = buffer.subspan(rest_.size());
    const ssize_t got = ::recv(fd_.get(), room.data(), room.size(), 0);
    if (got == 0) return close("the peer closed it");
    if (got < 0) {
      if (errno == EINTR) continue;
      if (errno != EAGAIN) close(system_message(errno));
      return;
    }
    received_ns_ = monotonic_ns();
    const auto whole = buffer.first(rest_.size() + static_cast<std::size_t>(got));
    try {
      const std::size_t taken = session_.push(whole);
      rest_.assign(reinterpret_cast<const char*>(whole.data()) + taken, whole.size() - taken);
    } catch (const PeerError& error) {
      return close(error.what());
    }
    if (whole.size() < buffer.size()) return;
  }
}

void Connection::close(std::string reason) {
  reason_ = std::move(reason);
  fd_.reset();
  session_.abandon();
}

}  // namespace penstock::loadgen
