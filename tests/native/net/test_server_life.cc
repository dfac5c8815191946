// The server with real sockets on loopback: where connections go, how it starts, drains and stops.
#include <doctest/doctest.h>
#include <sys/resource.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "allocations.h"
#include "client.h"
#include "wire.h"

using namespace penstock;
using namespace penstock::net;
using namespace penstock::net::testing;
using namespace penstock::engine::testing;
using std::chrono::milliseconds;

TEST_CASE("connections go to the loop with the fewest open calls") {
  Options options = on_free_port(2);
  options.bridged.emplace("/test/Waits", Bridged::kUnary);
  Server server(options);
  REQUIRE(server.start().is_ok());
  const auto loop_of = [&](Client& client) {
    client.peer.call("/test/Waits", framed("x"));
    client.send();
    std::optional<BridgedCall> call;
    for (int i = 0; i < 1000 && !call; ++i) call = server.bridge()->take(milliseconds(20));
    REQUIRE(call.has_value());
    return call->loop;  // and left open
  };
  Client first(server.port());
  const std::size_t busy = loop_of(first);
  for (int i = 0; i < 9; ++i) CHECK(loop_of(first) == busy);
  std::vector<std::unique_ptr<Client>> more;
  for (int i = 0; i < 9; ++i) {  // up to as many calls as the first one's
    more.push_back(std::make_unique<Client>(server.port()));
    CHECK(loop_of(*more.back()) == 1 - busy);
  }
}

TEST_CASE("connections over the limit are closed, and room that comes free is used") {
  Options options = on_free_port(1);
  options.max_connections = 2;
  Server server(options);
  REQUIRE(server.start().is_ok());
  auto first = std::make_unique<Client>(server.port());
  Client second(server.port());
  CHECK(first->call(kLive, "").status() == "0");
  CHECK(second.call(kLive, "").status() == "0");
  Client third(server.port());
  CHECK(third.closes());
  first.reset();
  CHECK(soon([&] { return counter(server, "open_connections") == 1; }));
  Client fourth(server.port());
  CHECK(fourth.call(kLive, "").status() == "0");
}

TEST_CASE("a drain ends idle connections, lets open calls finish, takes no new connection") {
  Options options = on_free_port(2);
  options.bridged.emplace("/test/Waits", Bridged::kUnary);
  Server server(options);
  REQUIRE(server.start().is_ok());
  REQUIRE(server.publish(snapshot_of(version_of(std::make_shared<RowSums>()))).is_ok());
  Client idle(server.port());
  CHECK(idle.call(kLive, "").status() == "0");
  Client busy(server.port());
  const std::int32_t id = busy.peer.call("/test/Waits", framed("x"));
  busy.send();
  const auto call = server.bridge()->take(std::chrono::seconds(20));
  REQUIRE(call.has_value());

  CHECK_FALSE(server.drain(300'000'000));  // the call is still open
  CHECK(idle.closes());
  CHECK(idle.peer.going_away());
  CHECK(idle.peer.goaway_error() == NGHTTP2_NO_ERROR);
  CHECK_THROWS(Client(server.port()));

  server.bridge()->answer(*call, Status::ok(), "at last");
  CHECK(busy.until([&] { return busy.peer.reply(id).closed; }));
  CHECK(unframed(busy.peer.reply(id).body) == std::vector<std::string>{"at last"});
  CHECK(server.drain(20 * kSecond));
  CHECK(counter(server, "open_connections") == 0);
}

TEST_CASE("a drain under load loses no call that was taken") {
  for (int round = 0; round < 5; ++round) {
    Server server(on_free_port(2));
    REQUIRE(server.start().is_ok());
    REQUIRE(server.publish(snapshot_of(version_of(std::make_shared<RowSums>()))).is_ok());
    std::atomic<int> lost{0};
    std::atomic<int> answered{0};
    std::vector<std::thread> clients;
    for (int c = 0; c < 4; ++c) {
      clients.emplace_back([&] {
        try {
          Client client(server.port());
          while (!client.peer.going_away()) {
            const std::int32_t id = client.peer.call(kUnary, framed(request(1)));
            const bool came = client.until([&] { return client.peer.reply(id).closed; });
            if (came && client.peer.reply(id).status() == "0") {
              ++answered;
            } else if (!client.peer.going_away() || id <= client.peer.last_taken()) {
              ++lost;
            }
          }
        } catch (const std::exception&) {
          ++lost;
        }
      });
    }
    REQUIRE(soon([&] { return answered > 100; }));
    CHECK(server.drain(20 * kSecond));
    for (std::thread& client : clients) client.join();
    CHECK(lost == 0);
  }
}

TEST_CASE("a server with open connections stops") {
  auto server = std::make_unique<Server>(on_free_port(3));
  REQUIRE(server->start().is_ok());
  Client client(server->port());
  CHECK(client.call(kLive, "").status() == "0");
  const std::int32_t id = client.peer.open(kStreaming, framed(request(1)), {{"grpc-timeout", "100S"}});
  client.send();
  CHECK(soon([&] { return counter(*server, "open_streams") == 1; }));
  server.reset();
  CHECK(client.closes());
  CHECK(client.peer.reply(id).status() == "14");
  CHECK(client.peer.goaways() == 1);
}

TEST_CASE("an address in use is refused, and the server can go") {
  Server first(on_free_port(1));
  REQUIRE(first.start().is_ok());
  Options options = on_free_port(1);
  options.port = first.port();
  Server second(options);
  CHECK(second.start().code() == Code::kUnavailable);
  CHECK(second.publish(std::make_shared<engine::Snapshot>()).code() == Code::kFailedPrecondition);
}

TEST_CASE("a server can listen on a Unix socket alone") {
  const std::string path = "/tmp/penstock-server-" + std::to_string(::getpid());
  {
    Options options = on_free_port(1);
    options.host.clear();
    options.unix_socket = path;
    Server server(options);
    REQUIRE(server.start().is_ok());
    CHECK(server.port() == 0);
    CHECK(std::filesystem::exists(path));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
    const Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    REQUIRE(::connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    Peer peer;
    const std::int32_t id = peer.call(kLive, framed(""));
    const std::string bytes = peer.pull();
    REQUIRE(::send(socket.get(), bytes.data(), bytes.size(), 0) == static_cast<ssize_t>(bytes.size()));
    char buffer[4096];
    while (!peer.reply(id).closed) {
      const ssize_t got = ::recv(socket.get(), buffer, sizeof buffer, 0);
      REQUIRE(got > 0);
      peer.push({buffer, static_cast<std::size_t>(got)});
    }
    CHECK(peer.reply(id).status() == "0");
    CHECK(server.drain(20 * kSecond));
    CHECK_FALSE(std::filesystem::exists(path));
  }
}

TEST_CASE("connections that come while a drain begins are closed, and nothing worse") {
  for (int round = 0; round < 20; ++round) {
    Server server(on_free_port(2));
    REQUIRE(server.start().is_ok());
    std::atomic<bool> stop{false};
    std::vector<std::thread> callers;
    for (int i = 0; i < 3; ++i) {
      callers.emplace_back([&] {
        while (!stop) {
          try {
            Client client(server.port());
            client.call(kLive, "");
          } catch (const std::exception&) {
            return;  // refused: the drain began
          }
        }
      });
    }
    REQUIRE(soon([&] { return counter(server, "connections") > 20; }));
    CHECK(server.drain(20 * kSecond));
    stop = true;
    for (std::thread& caller : callers) caller.join();
  }
}

TEST_CASE("a server without descriptors left accepts again when there are some") {
  Server server(on_free_port(1));
  REQUIRE(server.start().is_ok());
  Client before(server.port());
  CHECK(before.call(kLive, "").status() == "0");
  rlimit limit{};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &limit) == 0);
  const int next = ::dup(0);
  REQUIRE(next >= 0);
  ::close(next);
  rlimit tight = limit;
  tight.rlim_cur = static_cast<rlim_t>(next) + 1;  // one more: the client's end
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &tight) == 0);
  Client waiting(server.port());
  const std::int32_t id = waiting.peer.call(kLive, framed(""));
  CHECK_FALSE(waiting.until([&] { return waiting.peer.reply(id).closed; }, 500));
  CHECK(before.call(kLive, "").status() == "0");
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &limit) == 0);
  CHECK(waiting.until([&] { return waiting.peer.reply(id).closed; }));
  CHECK(waiting.peer.reply(id).status() == "0");
}

TEST_CASE("wherever memory runs out, the server goes on, and every call ends") {
  Options options = on_free_port(1);
  options.bridged.emplace("/test/Echo", Bridged::kUnary);
  Server server(options);
  REQUIRE(server.start().is_ok());
  auto snapshot = snapshot_of(version_of(std::make_shared<RowSums>()));
  REQUIRE(server.publish(snapshot).is_ok());
  std::thread python([bridge = server.bridge()] {
    for (;;) {
      try {
        while (const auto call = bridge->take(std::chrono::seconds(60))) {
          bridge->answer(*call, Status::ok(), std::string(100'000, 'e'));
        }
        return;
      } catch (const std::bad_alloc&) {  // the bindings' part; the call that is lost ends with its connection
      }
    }
  });
  Request many;
  many.inputs = {matrix(20'000, std::vector<double>(60'000, 1.0))};
  const std::string rows = many.encode();
  const std::string one_row = request(1);
  int failures = 0;
  std::int64_t aborted = 0;
  for (std::int64_t nth = 0;; ++nth) {
    {
      const penstock::testing::FailingAllocation failing(nth);
      try {
        Client client(server.port());
        const std::int32_t infer = client.peer.call(kUnary, framed(one_row));
        const std::int32_t watch = client.peer.call(kWatch, framed(""));
        const std::int32_t echo = client.peer.call("/test/Echo", framed("x"), {{"grpc-timeout", "50m"}});
        const std::int32_t large = client.peer.call(kUnary, framed(rows));
        client.until([&] {
          return client.peer.reply(infer).closed && client.peer.reply(echo).closed &&
                 client.peer.reply(large).closed && !client.peer.reply(watch).body.empty();
        });
      } catch (const std::runtime_error&) {  // the connection broke
      }
      if (!failing.failed()) break;
      ++failures;
    }
    Client next(server.port());
    const Reply reply = next.call(kUnary, one_row);
    REQUIRE(reply.status() == "0");
    aborted = counter(server, "aborted");
  }
  CHECK(failures > 30);
  CHECK(aborted > 0);
  CHECK(soon([&] { return counter(server, "open_connections") == 0; }));
  server.stop();
  python.join();
}
