// Client: a Peer on a socket, and what the tests of Server share.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <chrono>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>

#include "base/clock.h"
#include "base/fd.h"
#include "engine/requests.h"
#include "engine/row_sums.h"
#include "net/server.h"
#include "peer.h"

namespace penstock::net::testing {

inline constexpr std::int64_t kSecond = 1'000'000'000;

// A peer on a socket; blocks, at most `seconds` at a time. Throws when the connection is gone before it has
// what it waits for.
class Client {
 public:
  explicit Client(std::uint16_t port, PeerOptions options = {}) : peer(options) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socket_ = Fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (::connect(socket_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
      throw std::runtime_error("cannot connect");
    }
  }

  void send() { send_raw(peer.pull()); }
  void send_raw(std::string_view bytes) {
    std::size_t at = 0;
    while (at < bytes.size()) {
      const ssize_t sent = ::send(socket_.get(), bytes.data() + at, bytes.size() - at, MSG_NOSIGNAL);
      if (sent <= 0) throw std::runtime_error("the connection broke");
      at += static_cast<std::size_t>(sent);
    }
  }
  // False when nothing came within `ms`, or the server closed.
  bool receive(int ms) {
    pollfd waiting{socket_.get(), POLLIN, 0};
    if (::poll(&waiting, 1, ms) <= 0) return false;
    char buffer[16'384];
    const ssize_t got = ::recv(socket_.get(), buffer, sizeof buffer, 0);
    if (got <= 0) {
      closed_ = true;
      return false;
    }
    peer.push({buffer, static_cast<std::size_t>(got)});
    return true;
  }
  template <typename Done>
  bool until(Done&& done, int ms = 20'000) {
    const std::int64_t end = monotonic_ns() + ms * std::int64_t{1'000'000};
    for (;;) {
      send();
      if (done()) return true;
      if (monotonic_ns() > end) return false;
      if (!receive(50) && closed_) return done();
    }
  }
  Reply call(std::string_view path, std::string message, const Headers& headers = {}) {
    const std::int32_t id = peer.call(path, framed(message), headers);
    until([&] { return peer.reply(id).closed; });
    return peer.reply(id);
  }
  bool closes(int ms = 20'000) {
    const std::int64_t end = monotonic_ns() + ms * std::int64_t{1'000'000};
    while (!closed_ && monotonic_ns() < end) {
      const std::string bytes = peer.pull();
      ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
      receive(50);
    }
    return closed_;
  }
  // Breaks the connection off: the server is told that all of it is lost (RST).
  void reset() {
    const linger at_once{.l_onoff = 1, .l_linger = 0};
    ::setsockopt(socket_.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    socket_ = Fd();
  }

  Peer peer;

 private:
  Fd socket_;
  bool closed_ = false;
};

inline Options on_free_port(unsigned loops) {
  Options options;
  options.port = 0;
  options.loops = loops;
  return options;
}

inline std::string request(double value) {
  engine::testing::Request made;
  made.inputs = {engine::testing::matrix(1, {value, 1, 1})};
  return made.encode();
}

template <typename Done>
bool soon(Done&& done) {
  for (int i = 0; i < 4000; ++i) {
    if (done()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return false;
}

inline std::int64_t counter(const Server& server, std::string_view name) {
  for (const auto& [key, value] : server.counters()) {
    if (key == name) return value;
  }
  return -1;
}

inline constexpr const char* kLive = "/inference.GRPCInferenceService/ServerLive";
inline constexpr const char* kReady = "/inference.GRPCInferenceService/ServerReady";
inline constexpr const char* kModelReady = "/inference.GRPCInferenceService/ModelReady";
inline constexpr const char* kCheck = "/grpc.health.v1.Health/Check";
inline constexpr const char* kWatch = "/grpc.health.v1.Health/Watch";

}  // namespace penstock::net::testing
