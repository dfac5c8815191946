#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "base/fd.h"
#include "net/listener.h"

using namespace penstock;
using namespace penstock::net;

namespace {

struct Folder {
  Folder() {
    std::string pattern = "/tmp/penstock-listener-XXXXXX";
    path = ::mkdtemp(pattern.data());
  }
  ~Folder() { std::filesystem::remove_all(path); }
  std::filesystem::path path;
};

Fd connect_unix(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) fd.reset();
  return fd;
}

Fd connect_tcp(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  Fd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) fd.reset();
  return fd;
}

}  // namespace

TEST_CASE("port 0 takes a free port, says which, and accepts on it") {
  std::vector<Listener> listeners;
  REQUIRE(Listener::tcp("127.0.0.1", 0, &listeners).is_ok());
  REQUIRE(listeners.size() == 1);
  const Listener& listener = listeners.front();
  CHECK(listener.port() > 0);
  Fd accepted;
  CHECK(listener.accept(&accepted) == Listener::Accepted::kNone);
  const Fd client = connect_tcp(listener.port());
  REQUIRE(client.valid());
  CHECK(listener.accept(&accepted) == Listener::Accepted::kOne);
  CHECK(accepted.valid());
  CHECK(listener.accept(&accepted) == Listener::Accepted::kNone);
}

TEST_CASE("a name that stands for several addresses is listened to on all of them, on one port") {
  std::vector<Listener> listeners;
  REQUIRE(Listener::tcp("localhost", 0, &listeners).is_ok());
  REQUIRE_FALSE(listeners.empty());
  for (const Listener& listener : listeners) CHECK(listener.port() == listeners.front().port());
  CHECK(connect_tcp(listeners.front().port()).valid());  // 127.0.0.1, whichever is first
}

TEST_CASE("a port in use is refused by its address, with what to do") {
  std::vector<Listener> listeners;
  REQUIRE(Listener::tcp("127.0.0.1", 0, &listeners).is_ok());
  const std::uint16_t port = listeners.front().port();
  const Status status = Listener::tcp("127.0.0.1", port, &listeners);
  CHECK(status.code() == Code::kUnavailable);
  CHECK(status.message().find("127.0.0.1:" + std::to_string(port)) != std::string::npos);
  CHECK(status.message().find("in use") != std::string::npos);
  CHECK(listeners.size() == 1);
}

TEST_CASE("a host that does not exist is refused by its name") {
  std::vector<Listener> listeners;
  const Status status = Listener::tcp("not a host", 0, &listeners);
  CHECK(status.code() == Code::kUnavailable);
  CHECK(status.message().find("not a host:0") != std::string::npos);
  CHECK(listeners.empty());
}

TEST_CASE("a Unix socket is accepted on, and goes with its listener") {
  const Folder folder;
  const std::string path = folder.path / "s";
  {
    Listener listener;
    REQUIRE(Listener::unix_path(path, &listener).is_ok());
    CHECK(listener.port() == 0);
    const Fd client = connect_unix(path);
    REQUIRE(client.valid());
    Fd accepted;
    CHECK(listener.accept(&accepted) == Listener::Accepted::kOne);
    Listener moved = std::move(listener);
    CHECK(std::filesystem::exists(path));
  }
  CHECK_FALSE(std::filesystem::exists(path));
}

TEST_CASE("a Unix socket that a live server has is refused, also while its backlog is full") {
  const Folder folder;
  const std::string path = folder.path / "s";
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  const Fd server(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  REQUIRE(::bind(server.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  REQUIRE(::listen(server.get(), 0) == 0);
  std::vector<Fd> waiting;
  SUBCASE("with room") {}
  SUBCASE("full") {
    for (;;) {
      waiting.push_back(connect_unix(path));
      if (!waiting.back().valid()) break;
      REQUIRE(waiting.size() < 100);
    }
  }
  Listener listener;
  const Status status = Listener::unix_path(path, &listener);
  CHECK(status.code() == Code::kUnavailable);
  CHECK(status.message().find("in use") != std::string::npos);
  CHECK(std::filesystem::exists(path));
}

TEST_CASE("the socket of a server that is gone is replaced") {
  const Folder folder;
  const std::string path = folder.path / "s";
  {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
    const Fd gone(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    REQUIRE(::bind(gone.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  }
  REQUIRE(std::filesystem::exists(path));
  Listener listener;
  REQUIRE(Listener::unix_path(path, &listener).is_ok());
  CHECK(connect_unix(path).valid());
}

TEST_CASE("a file that is no socket stays as it is") {
  const Folder folder;
  const std::string path = folder.path / "data";
  std::ofstream(path) << "precious";
  Listener listener;
  const Status status = Listener::unix_path(path, &listener);
  CHECK(status.code() == Code::kUnavailable);
  CHECK(status.message().find("no socket") != std::string::npos);
  std::string kept;
  std::ifstream(path) >> kept;
  CHECK(kept == "precious");

  const std::string link = folder.path / "link";
  std::filesystem::create_symlink(path, link);
  CHECK_FALSE(Listener::unix_path(link, &listener).is_ok());
  CHECK(std::filesystem::is_symlink(link));
}

TEST_CASE("a path that is too long, or in no folder, is refused") {
  Listener listener;
  CHECK(Listener::unix_path(std::string(200, 'p'), &listener).message().find("107") != std::string::npos);
  CHECK(Listener::unix_path("/nonexistent-folder/s", &listener).code() == Code::kUnavailable);
}
