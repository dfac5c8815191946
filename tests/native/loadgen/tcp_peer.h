// TcpPeer: Peers on a loopback port, one for each connection, on a thread.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <atomic>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/fd.h"
#include "peer.h"

namespace penstock::loadgen::testing {

// A socket that listens on a port of its own.
struct Loopback {
  Fd socket;
  std::string port;
};

inline Loopback listen_on_loopback() {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  Fd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
      ::listen(socket.get(), 64) != 0 ||
      ::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&address), &length) != 0)
    throw std::runtime_error("cannot listen");
  return {std::move(socket), std::to_string(ntohs(address.sin_port))};
}

class TcpPeer {
 public:
  explicit TcpPeer(std::function<void(Peer&, const Asked&)> on_request, Peer::Settings settings = {})
      : on_request_(std::move(on_request)), settings_(std::move(settings)) {
    stop_ = Fd(::eventfd(0, EFD_CLOEXEC));
    thread_ = std::thread([this] { serve(); });
  }
  ~TcpPeer() {
    ::eventfd_write(stop_.get(), 1);
    thread_.join();
  }
  TcpPeer(const TcpPeer&) = delete;
  TcpPeer& operator=(const TcpPeer&) = delete;

  const std::string& port() const noexcept { return listener_.port; }
  // Closes every connection as it next says something.
  void hang_up() { hangs_up_ = true; }

 private:
  struct Client {
    Fd socket;
    std::unique_ptr<Peer> peer;
  };

  void serve() {
    std::vector<Client> clients;
    for (;;) {
      std::vector<pollfd> waiting{{stop_.get(), POLLIN, 0}, {listener_.socket.get(), POLLIN, 0}};
      for (const Client& client : clients) waiting.push_back({client.socket.get(), POLLIN, 0});
      ::poll(waiting.data(), waiting.size(), -1);
      if (waiting[0].revents != 0) return;
      for (std::size_t i = clients.size(); i-- > 0;)
        if (waiting[i + 2].revents != 0 && !answer(clients[i]))
          clients.erase(clients.begin() + static_cast<std::ptrdiff_t>(i));
      if (waiting[1].revents != 0) {
        clients.push_back({Fd(::accept(listener_.socket.get(), nullptr, nullptr)),
                           std::make_unique<Peer>(on_request_, settings_)});
        send(clients.back());
      }
    }
  }
  bool answer(Client& client) {
    char buffer[65'536];
    const ssize_t got = ::recv(client.socket.get(), buffer, sizeof buffer, 0);
    if (got <= 0 || hangs_up_) return false;
    client.peer->push({buffer, static_cast<std::size_t>(got)});
    return send(client) && !client.peer->closed();
  }
  static bool send(Client& client) {
    const std::string bytes = client.peer->pull();
    for (std::size_t at = 0; at < bytes.size();) {
      const ssize_t sent = ::send(client.socket.get(), bytes.data() + at, bytes.size() - at, MSG_NOSIGNAL);
      if (sent <= 0) return false;
      at += static_cast<std::size_t>(sent);
    }
    return true;
  }

  std::function<void(Peer&, const Asked&)> on_request_;
  Peer::Settings settings_;
  std::atomic<bool> hangs_up_{false};
  const Loopback listener_ = listen_on_loopback();
  Fd stop_;
  std::thread thread_;
};

}  // namespace penstock::loadgen::testing
