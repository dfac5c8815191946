#include "net/transport.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <climits>

namespace penstock::net {
namespace {

class SocketTransport final : public Transport {
 public:
  explicit SocketTransport(Fd socket) noexcept : socket_(std::move(socket)) {}

  int fd() const noexcept override { return socket_.get(); }

  Moved read(std::span<std::byte> into) noexcept override {
    for (;;) {
      const ssize_t got = ::recv(socket_.get(), into.data(), into.size(), 0);
      if (got > 0) return {Io::kDone, static_cast<std::size_t>(got)};
      if (got == 0) return {Io::kClosed, 0};
      if (errno != EINTR) return failed();
    }
  }

  Moved write(std::span<const iovec> from) noexcept override {
    msghdr message{};
    message.msg_iov = const_cast<iovec*>(from.data());  // sendmsg only reads it
    message.msg_iovlen = std::min<std::size_t>(from.size(), IOV_MAX);
    for (;;) {
      const ssize_t sent = ::sendmsg(socket_.get(), &message, MSG_NOSIGNAL);
      if (sent >= 0) return {Io::kDone, static_cast<std::size_t>(sent)};
      if (errno != EINTR) return failed();
    }
  }

  void end() noexcept override { ::shutdown(socket_.get(), SHUT_WR); }

 private:
  static Moved failed() noexcept {
    return {errno == EAGAIN || errno == EWOULDBLOCK ? Io::kBlocked : Io::kClosed, 0};
  }

  Fd socket_;
};

}  // namespace

std::unique_ptr<Transport> make_socket_transport(Fd socket) {
  return std::make_unique<SocketTransport>(std::move(socket));
}

}  // namespace penstock::net
