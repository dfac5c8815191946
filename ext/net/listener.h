// Listener: a bound socket that connections are accepted from.
#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/status.h"

namespace penstock::net {

class Listener {
 public:
  // One for each address that `host` stands for and this machine has, all on one port. UNAVAILABLE names the
  // address and says why it cannot be bound.
  static Status tcp(const std::string& host, std::uint16_t port, std::vector<Listener>* made);
  // Replaces the socket of a server that is gone; refuses one that answers, and any other kind of file.
  // Removed on destruction.
  static Status unix_path(const std::string& path, Listener* made);

  Listener() noexcept = default;
  Listener(Listener&& other) noexcept = default;
  Listener& operator=(Listener&& other) noexcept;
  ~Listener() { close(); }

  int fd() const noexcept { return fd_.get(); }
  bool valid() const noexcept { return fd_.valid(); }
  std::uint16_t port() const noexcept { return port_; }  // 0 for a Unix socket

  enum class Accepted : unsigned char {
    kOne,
    kNone,
    kExhausted
  };  // kExhausted: no descriptors or memory left
  Accepted accept(Fd* connection) const noexcept;
  void close() noexcept;

 private:
  int bind(const sockaddr* address, socklen_t size);

  Fd fd_;
  std::uint16_t port_ = 0;
  std::string path_;
};

}  // namespace penstock::net
