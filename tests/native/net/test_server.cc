// The server with real sockets on loopback.
#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "engine/requests.h"
#include "engine/row_sums.h"
#include "net/server.h"
#include "peer.h"
#include "wire.h"

using namespace penstock;
using namespace penstock::net;
using namespace penstock::net::testing;
using namespace penstock::engine::testing;
using std::chrono::milliseconds;

namespace {

constexpr std::int64_t kSecond = 1'000'000'000;

// A peer on a socket; blocks, at most `seconds` at a time. Throws when the connection is gone before it has what it
// waits for.
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

  Peer peer;

 private:
  Fd socket_;
  bool closed_ = false;
};

Options on_free_port(unsigned loops) {
  Options options;
  options.port = 0;
  options.loops = loops;
  return options;
}

std::string request(double value) {
  Request made;
  made.inputs = {matrix(1, {value, 1, 1})};
  return made.encode();
}

template <typename Done>
bool soon(Done&& done) {
  for (int i = 0; i < 4000; ++i) {
    if (done()) return true;
    std::this_thread::sleep_for(milliseconds(5));
  }
  return false;
}

std::int64_t counter(const Server& server, std::string_view name) {
  for (const auto& [key, value] : server.counters()) {
    if (key == name) return value;
  }
  return -1;
}

constexpr const char* kLive = "/inference.GRPCInferenceService/ServerLive";
constexpr const char* kReady = "/inference.GRPCInferenceService/ServerReady";
constexpr const char* kModelReady = "/inference.GRPCInferenceService/ModelReady";
constexpr const char* kCheck = "/grpc.health.v1.Health/Check";
constexpr const char* kWatch = "/grpc.health.v1.Health/Watch";

}  // namespace

TEST_CASE("a server answers as soon as it has started, and inference once something is published") {
  Server server(on_free_port(2));
  REQUIRE(server.start().is_ok());
  REQUIRE(server.port() > 0);
  Client client(server.port());
  CHECK(client.call(kLive, "").body == framed("\x08\x01"));
  CHECK(client.call(kReady, "").body == framed(""));
  CHECK(client.call(kUnary, request(1)).status() == "5");

  REQUIRE(server.publish(snapshot_of(version_of(std::make_shared<RowSums>()))).is_ok());
  CHECK(client.call(kReady, "").body == framed("\x08\x01"));
  const Reply reply = client.call(kUnary, request(40));
  REQUIRE(reply.status() == "0");
  const Answer answer = decode_answer(unframed(reply.body).at(0));
  CHECK(answer.doubles() == std::vector<double>{42});
  CHECK(answer.parameters.at("penstock_arm") == "stable");
  CHECK(answer.parameters.at("penstock_digest") == "sha256:d1");
}

TEST_CASE("the small calls say what is ready") {
  Server server(on_free_port(1));
  REQUIRE(server.start().is_ok());
  auto snapshot = snapshot_of(version_of(std::make_shared<RowSums>()));
  engine::Model loading;
  loading.hosted.push_back({"7", nullptr, "it is loading", {}});
  REQUIRE(route::Route::make({"7"}, "", {}, &loading.route).is_ok());
  snapshot->models.emplace("loading", std::move(loading));
  REQUIRE(server.publish(snapshot).is_ok());
  Client client(server.port());
  CHECK(client.call(kModelReady, field(1, "rows")).body == framed("\x08\x01"));
  CHECK(client.call(kModelReady, field(1, "rows") + field(2, "1")).body == framed("\x08\x01"));
  CHECK(client.call(kModelReady, field(1, "rows") + field(2, "9")).status() == "5");
  CHECK(client.call(kModelReady, field(1, "loading")).body == framed(""));
  CHECK(client.call(kModelReady, field(1, "nobody")).status() == "5");
  CHECK(client.call(kModelReady, "\xFF").status() == "3");
  CHECK(client.call(kCheck, "").body == framed("\x08\x01"));
  CHECK(client.call(kCheck, field(1, "rows")).body == framed("\x08\x01"));
  CHECK(client.call(kCheck, field(1, "loading")).body == framed("\x08\x02"));
  CHECK(client.call(kCheck, field(1, "nobody")).status() == "5");
}

TEST_CASE("a health watcher hears of each change, and of the end") {
  Server server(on_free_port(2));
  REQUIRE(server.start().is_ok());
  Client client(server.port());
  const std::int32_t id = client.peer.call(kWatch, framed(field(1, "rows")));
  const auto told = [&] { return unframed(client.peer.reply(id).body); };
  REQUIRE(client.until([&] { return told().size() == 1; }));
  CHECK(told().back() == "\x08\x03");  // SERVICE_UNKNOWN
  REQUIRE(server.publish(snapshot_of(version_of(std::make_shared<RowSums>()))).is_ok());
  REQUIRE(client.until([&] { return told().size() == 2; }));
  CHECK(told().back() == "\x08\x01");
  REQUIRE(server.publish(snapshot_of(version_of(std::make_shared<RowSums>()))).is_ok());  // no change
  std::thread drains([&] { CHECK(server.drain(20 * kSecond)); });
  REQUIRE(client.until([&] { return client.peer.reply(id).closed; }));
  drains.join();
  CHECK(told().size() == 3);
  CHECK(told().back() == "\x08\x02");
  CHECK(client.peer.reply(id).status() == "14");
}

TEST_CASE("a stream of inferences answers each, and errors do not end it") {
  Server server(on_free_port(1));
  REQUIRE(server.start().is_ok());
  REQUIRE(server.publish(snapshot_of(version_of(std::make_shared<RowSums>()))).is_ok());
  Client client(server.port());
  std::string body;
  for (int i = 0; i < 100; ++i) {
    Request made;
    made.id = std::to_string(i);
    made.inputs = {matrix(1, {static_cast<double>(i), 0, 0})};
    if (i % 10 == 3) made.model = "nobody";
    body += framed(made.encode());
  }
  const std::int32_t id = client.peer.call(kStreaming, body);
  REQUIRE(client.until([&] { return client.peer.reply(id).closed; }));
  CHECK(client.peer.reply(id).status() == "0");
  const std::vector<std::string> answers = unframed(client.peer.reply(id).body);
  REQUIRE(answers.size() == 100);
  for (int i = 0; i < 100; ++i) {
    // ModelStreamInferResponse: error_message 1, infer_response 2.
    codec::WireReader reader(std::as_bytes(std::span(answers[static_cast<std::size_t>(i)])));
    codec::WireField part;
    std::string error;
    Answer answer;
    while (reader.next(&part)) {
      if (part.tag >> 3 == 1) error = codec::as_text(part.bytes);
      if (part.tag >> 3 == 2) answer = decode_answer(codec::as_text(part.bytes));
    }
    CHECK(answer.id == std::to_string(i));
    if (i % 10 == 3) {
      CHECK(error.find("nobody") != std::string::npos);
    } else {
      CHECK(error.empty());
      CHECK(answer.doubles().at(0) == i);
    }
  }
}

TEST_CASE("large answers arrive whole and their memory goes") {
  auto model = std::make_shared<RowSums>(1);
  SUBCASE("from the arena") {}
  SUBCASE("from the model") { model->holds = true; }
  Server server(on_free_port(1));
  REQUIRE(server.start().is_ok());
  REQUIRE(server.publish(snapshot_of(version_of(model))).is_ok());
  std::vector<double> values(200'000);
  std::iota(values.begin(), values.end(), 0.0);
  Request made;
  made.inputs = {matrix(200'000, values)};
  PeerOptions small;
  Client client(server.port(), small);
  for (int i = 0; i < 3; ++i) {
    const Reply reply = client.call(kUnary, made.encode());
    REQUIRE(reply.status() == "0");
    const Answer answer = decode_answer(unframed(reply.body).at(0));
    CHECK((answer.doubles(0) == values));
    CHECK((answer.doubles(1) == values));
  }
}

TEST_CASE("a version that was replaced goes when its last large answer is read, and not before") {
  std::atomic<int> ended{0};
  auto model = std::make_shared<RowSums>(1);
  model->holds = true;
  model->at_end = [&] { ++ended; };
  Server server(on_free_port(1));
  REQUIRE(server.start().is_ok());
  REQUIRE(server.publish(snapshot_of(version_of(std::move(model)))).is_ok());
  Request made;
  made.inputs = {matrix(50'000, std::vector<double>(50'000, 1.0))};
  Client client(server.port(), {1000, false});
  const std::int32_t id = client.peer.call(kUnary, framed(made.encode()));
  REQUIRE(client.until([&] { return client.peer.reply(id).body.size() == 1000; }));
  REQUIRE(server.publish(snapshot_of(version_of(std::make_shared<RowSums>()))).is_ok());
  CHECK(ended == 0);
  client.peer.allow(id, 10'000'000);
  client.peer.allow(0, 10'000'000);
  REQUIRE(client.until([&] { return client.peer.reply(id).closed; }));
  CHECK(decode_answer(unframed(client.peer.reply(id).body).at(0)).doubles() == std::vector<double>(50'000, 1.0));
  CHECK(soon([&] { return ended == 1; }));
}

TEST_CASE("many clients at once get their own answers, while versions are published") {
  Server server(on_free_port(3));
  REQUIRE(server.start().is_ok());
  std::atomic<int> ended{0};
  const auto fresh = [&] {
    auto model = std::make_shared<RowSums>();
    model->at_end = [&] { ++ended; };
    return snapshot_of(version_of(std::move(model)));
  };
  REQUIRE(server.publish(fresh()).is_ok());
  constexpr int kClients = 8;
  constexpr int kRounds = 30;
  constexpr int kStreams = 8;
  std::atomic<int> wrong{0};
  std::atomic<int> right{0};
  std::atomic<int> running{kClients};
  std::vector<std::thread> clients;
  for (int c = 0; c < kClients; ++c) {
    clients.emplace_back([&, c] {
      try {
        Client client(server.port());
        for (int round = 0; round < kRounds; ++round) {
          std::vector<std::int32_t> ids;
          for (int s = 0; s < kStreams; ++s) {
            ids.push_back(client.peer.call(kUnary, framed(request(c * 1000 + round * 10 + s)),
                                           {{"grpc-timeout", "20S"}}));
          }
          client.until([&] { return std::ranges::all_of(ids, [&](auto id) { return client.peer.reply(id).closed; }); });
          for (int s = 0; s < kStreams; ++s) {
            const Reply& reply = client.peer.reply(ids[static_cast<std::size_t>(s)]);
            const bool good = reply.status() == "0" && decode_answer(unframed(reply.body).at(0)).doubles() ==
                                                           std::vector<double>{c * 1000.0 + round * 10 + s + 2};
            ++(good ? right : wrong);
          }
        }
      } catch (const std::exception&) {
        ++wrong;
      }
      --running;
    });
  }
  int published = 1;
  while (running > 0) {
    REQUIRE(server.publish(fresh()).is_ok());
    ++published;
    std::this_thread::sleep_for(milliseconds(2));
  }
  for (std::thread& client : clients) client.join();
  CHECK(wrong == 0);
  CHECK(right == kClients * kRounds * kStreams);
  CHECK(ended == published - 1);  // publish() returned when the one before was let go
  CHECK(counter(server, "streams") == kClients * kRounds * kStreams);
  CHECK(counter(server, "connections") == kClients);
  CHECK(soon([&] { return counter(server, "open_connections") == 0; }));
  CHECK(counter(server, "open_streams") == 0);
}

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

TEST_CASE("bridged calls are answered from any thread, unary and streaming") {
  Options options = on_free_port(2);
  options.bridged.emplace("/test/Echo", Bridged::kUnary);
  options.bridged.emplace("/test/Stream", Bridged::kStream);
  Server server(options);
  REQUIRE(server.start().is_ok());
  std::vector<std::thread> python;
  for (int i = 0; i < 2; ++i) {
    python.emplace_back([bridge = server.bridge()] {
      while (const auto call = bridge->take(std::chrono::seconds(60))) {
        if (call->message == "fail") {
          bridge->answer(*call, {Code::kAborted, "as asked"}, "");
        } else {
          bridge->answer(*call, Status::ok(), call->method + ":" + call->message);
        }
      }
    });
  }
  Client client(server.port());
  CHECK(unframed(client.call("/test/Echo", "a").body) == std::vector<std::string>{"/test/Echo:a"});
  const Reply failed = client.call("/test/Echo", "fail");
  CHECK(failed.status() == "10");
  CHECK(failed.message() == "as asked");
  std::string many;
  std::vector<std::string> expected;
  for (int i = 0; i < 200; ++i) {
    many += framed(std::to_string(i));
    expected.push_back("/test/Stream:" + std::to_string(i));
  }
  const std::int32_t id = client.peer.call("/test/Stream", many);
  REQUIRE(client.until([&] { return client.peer.reply(id).closed; }));
  CHECK(client.peer.reply(id).status() == "0");
  CHECK(unframed(client.peer.reply(id).body) == expected);
  server.stop();
  for (std::thread& thread : python) thread.join();
}

TEST_CASE("answers to calls that are gone, and after the server, go nowhere") {
  Options options = on_free_port(1);
  options.bridged.emplace("/test/Echo", Bridged::kUnary);
  std::shared_ptr<Bridge> bridge;
  BridgedCall late;
  {
    Server server(options);
    REQUIRE(server.start().is_ok());
    bridge = server.bridge();
    {
      Client client(server.port());
      client.peer.call("/test/Echo", framed("x"));
      client.send();
      auto call = bridge->take(std::chrono::seconds(20));
      REQUIRE(call.has_value());
      late = *call;
    }
    CHECK(soon([&] { return counter(server, "open_connections") == 0; }));
    bridge->answer(late, Status::ok(), "for nobody");
    BridgedCall other = late;
    other.stream = 999;
    bridge->answer(other, Status::ok(), "for nobody");
    Client client(server.port());
    CHECK(client.call(kLive, "").status() == "0");
  }
  bridge->answer(late, Status::ok(), "after the server");
}

TEST_CASE("a deadline expires while a call waits for the control plane") {
  Options options = on_free_port(1);
  options.bridged.emplace("/test/Waits", Bridged::kUnary);
  Server server(options);
  REQUIRE(server.start().is_ok());
  Client client(server.port());
  const std::int64_t start = monotonic_ns();
  const Reply reply = client.call("/test/Waits", "x", {{"grpc-timeout", "30m"}});
  CHECK(reply.status() == "4");
  CHECK(monotonic_ns() - start >= 30'000'000);
  const auto call = server.bridge()->take(std::chrono::seconds(1));
  REQUIRE(call.has_value());
  server.bridge()->answer(*call, Status::ok(), "late");
  CHECK(client.call(kLive, "").status() == "0");
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
  CHECK_FALSE(client.peer.reply(id).ended);
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

TEST_CASE("a peer that writes noise, or goes in the middle, leaves the server up") {
  Server server(on_free_port(1));
  REQUIRE(server.start().is_ok());
  REQUIRE(server.publish(snapshot_of(version_of(std::make_shared<RowSums>()))).is_ok());
  std::uint32_t state = 7;
  for (int i = 0; i < 60; ++i) {
    Client client(server.port());
    const std::int32_t id = client.peer.call(kUnary, framed(request(1)));
    std::string bytes = client.peer.pull();
    for (int flips = 0; flips < i % 7; ++flips) {
      state = state * 1664525 + 1013904223;
      bytes[24 + state % (bytes.size() - 24)] ^= static_cast<char>(1 << (state >> 29));
    }
    client.send_raw(bytes.substr(0, i % 3 == 0 ? bytes.size() / 2 : bytes.size()));
    static_cast<void>(id);
  }
  Client client(server.port());
  CHECK(client.call(kUnary, request(1)).status() == "0");
  CHECK(soon([&] { return counter(server, "open_connections") == 1; }));
  CHECK(counter(server, "open_streams") == 0);
}
