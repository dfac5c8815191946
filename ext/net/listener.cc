#include "net/listener.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <iterator>
#include <memory>
#include <utility>

namespace penstock::net {
namespace {

constexpr int kBacklog = 1024;
constexpr std::size_t kMostAddresses = 8;

Status cannot_bind(const std::string& address, std::string_view why) {
  return {Code::kUnavailable, "cannot listen on " + address + ": " + std::string(why)};
}

std::string error_text(int error) {
  if (error == EADDRINUSE)
    return "the address is in use by another process; stop that one or choose another port";
  if (error == EACCES) return "permission denied; ports below 1024 need a privilege";
  return std::strerror(error);
}

std::uint16_t bound_port(int fd) noexcept {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) return 0;
  if (address.ss_family == AF_INET) return ntohs(reinterpret_cast<sockaddr_in*>(&address)->sin_port);
  return ntohs(reinterpret_cast<sockaddr_in6*>(&address)->sin6_port);
}

void set_port(sockaddr_storage* address, std::uint16_t port) noexcept {
  if (address->ss_family == AF_INET) {
    reinterpret_cast<sockaddr_in*>(address)->sin_port = htons(port);
  } else {
    reinterpret_cast<sockaddr_in6*>(address)->sin6_port = htons(port);
  }
}

}  // namespace

Listener& Listener::operator=(Listener&& other) noexcept {
  if (this != &other) {
    close();
    fd_ = std::move(other.fd_);
    port_ = std::exchange(other.port_, std::uint16_t{0});
    path_ = std::exchange(other.path_, std::string());
  }
  return *this;
}

void Listener::close() noexcept {
  if (fd_.valid() && !path_.empty()) ::unlink(path_.c_str());
  fd_.reset();
}

Status Listener::tcp(const std::string& host, std::uint16_t port, std::vector<Listener>* made) {
  const std::string name = host + ":" + std::to_string(port);
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  if (const int error = ::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &found);
      error != 0) {
    return cannot_bind(name, ::gai_strerror(error));
  }
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owner(found, &::freeaddrinfo);
  std::vector<Listener> listeners;
  std::vector<std::string> seen;  // /etc/hosts may say an address twice
  int missing = EADDRNOTAVAIL;
  for (const addrinfo* at = found; at != nullptr && listeners.size() < kMostAddresses; at = at->ai_next) {
    sockaddr_storage address{};
    std::memcpy(&address, at->ai_addr, at->ai_addrlen);
    const std::string bytes(reinterpret_cast<const char*>(&address), at->ai_addrlen);
    if (std::ranges::find(seen, bytes) != seen.end()) continue;
    seen.push_back(bytes);
    if (port == 0 && !listeners.empty()) set_port(&address, listeners.front().port());
    Listener listener;
    const int error = listener.bind(reinterpret_cast<const sockaddr*>(&address), at->ai_addrlen);
    if (error == EADDRNOTAVAIL || error == EAFNOSUPPORT) {
      missing = error;  // as ::1 of localhost where IPv6 is off
    } else if (error != 0) {
      return cannot_bind(name, error_text(error));
    } else {
      listeners.push_back(std::move(listener));
    }
  }
  if (listeners.empty()) return cannot_bind(name, error_text(missing));
  std::ranges::move(listeners, std::back_inserter(*made));
  return Status::ok();
}

// 0, or the system's error.
int Listener::bind(const sockaddr* address, socklen_t size) {
  Fd fd(::socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return errno;
  const int on = 1;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (::bind(fd.get(), address, size) != 0 || ::listen(fd.get(), kBacklog) != 0) return errno;
  port_ = bound_port(fd.get());
  fd_ = std::move(fd);
  return 0;
}

Status Listener::unix_path(const std::string& path, Listener* made) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    return cannot_bind(path, "the path is longer than the system's limit of 107 bytes");
  }
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  const auto* generic = reinterpret_cast<const sockaddr*>(&address);

  struct stat info{};
  if (::lstat(path.c_str(), &info) == 0) {
    if (!S_ISSOCK(info.st_mode)) return cannot_bind(path, "a file that is no socket has that name");
    // Not blocking: a server whose backlog is full is a server. Only a refusal says that nobody is there.
    const Fd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (::connect(probe.get(), generic, sizeof address) == 0 || errno == EAGAIN) {
      return cannot_bind(path, error_text(EADDRINUSE));
    }
    if (errno != ECONNREFUSED) return cannot_bind(path, error_text(errno));
    ::unlink(path.c_str());
  }
  Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd.valid() || ::bind(fd.get(), generic, sizeof address) != 0 || ::listen(fd.get(), kBacklog) != 0) {
    return cannot_bind(path, error_text(errno));
  }
  Listener listener;
  listener.fd_ = std::move(fd);
  listener.path_ = path;
  *made = std::move(listener);
  return Status::ok();
}

Listener::Accepted Listener::accept(Fd* connection) const noexcept {
  for (;;) {
    const int fd = ::accept4(fd_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
      *connection = Fd(fd);
      if (path_.empty()) {
        const int on = 1;
        ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      }
      return Accepted::kOne;
    }
    switch (errno) {
      case EINTR:
      case ECONNABORTED:
        continue;
      case EMFILE:
      case ENFILE:
      case ENOBUFS:
      case ENOMEM:
        return Accepted::kExhausted;
      default:
        return Accepted::kNone;
    }
  }
}

}  // namespace penstock::net
