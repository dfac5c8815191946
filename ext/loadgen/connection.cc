#include "loadgen/connection.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <utility>

#include "base/clock.h"

namespace penstock::loadgen {

namespace {

constexpr std::size_t kWriteBytes = 64 * 1024;

}  // namespace

Connection::Connection(Fd socket, int epoll, std::size_t client, const HeaderBlock& headers,
                       Receiver& receiver)
    : fd_(std::move(socket)),
      epoll_(epoll),
      client_(client),
      receiver_(receiver),
      session_(headers, *this),
      opened_ns_(monotonic_ns()) {
  watch(EPOLL_CTL_ADD);
}

bool Connection::submit(Call& call) noexcept {
  if (!takes() || !session_.submit(call)) return false;
  call.connection = this;
  return true;
}

void Connection::cancel(Call& call) {
  call.connection = nullptr;
  session_.cancel(call);
}

void Connection::flush() {
  while (open()) {
    if (written_ == out_.size()) {
      out_.clear();
      written_ = 0;
      session_.pull(out_, kWriteBytes);
      if (out_.empty()) return block(false);
    }
    const ssize_t sent = ::send(fd_.get(), out_.data() + written_, out_.size() - written_, MSG_NOSIGNAL);
    if (sent >= 0) {
      written_ += static_cast<std::size_t>(sent);
    } else if (errno == EAGAIN) {
      return block(true);
    } else if (errno != EINTR) {
      close(std::strerror(errno));
    }
  }
}

void Connection::read(std::span<std::uint8_t> buffer) {
  if (!open()) return;
  std::memcpy(buffer.data(), rest_.data(), rest_.size());
  const std::span<std::uint8_t> room = buffer.subspan(rest_.size());
  const ssize_t got = ::recv(fd_.get(), room.data(), room.size(), 0);
  if (got == 0) return close("the peer closed it");
  if (got < 0) {
    if (errno != EAGAIN && errno != EINTR) close(std::strerror(errno));
    return;
  }
  received_ns_ = monotonic_ns();
  const auto whole = buffer.first(rest_.size() + static_cast<std::size_t>(got));
  try {
    const std::size_t taken = session_.push(whole);
    rest_.assign(reinterpret_cast<const char*>(whole.data()) + taken, whole.size() - taken);
  } catch (const PeerError& error) {
    close(error.what());
  }
}

void Connection::close(std::string reason) {
  reason_ = std::move(reason);
  fd_.reset();
  session_.abandon();
}

void Connection::on_ended(Call& call, std::uint32_t error_code) {
  call.connection = nullptr;
  answered_ = answered_ || error_code == NGHTTP2_NO_ERROR;
  receiver_.on_ended(*this, call, error_code);
}

void Connection::block(bool blocked) {
  if (blocked == blocked_) return;
  blocked_ = blocked;
  watch(EPOLL_CTL_MOD);
}

void Connection::watch(int operation) {
  epoll_event event{.events = EPOLLIN | (blocked_ ? EPOLLOUT : 0U), .data = {.ptr = this}};
  if (::epoll_ctl(epoll_, operation, fd_.get(), &event) != 0)
    throw std::runtime_error(std::string("epoll_ctl: ") + std::strerror(errno));
}

}  // namespace penstock::loadgen
