// The server with real sockets on loopback: what callers get.
#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <numeric>
#include <string>
#include <thread>
#include <vector>

#include "client.h"
#include "net/connection.h"
#include "net/service.h"
#include "wire.h"

using namespace penstock;
using namespace penstock::net;
using namespace penstock::net::testing;
using namespace penstock::engine::testing;
using std::chrono::milliseconds;

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

TEST_CASE("a health watcher that comes while the server drains is told so and ended") {
  Shared shared{Options()};
  shared.snapshot.publish(snapshot_of(version_of(std::make_shared<RowSums>())));
  shared.draining = true;
  Service service(shared, 0);
  Deadlines deadlines;
  Traffic traffic;
  auto made = std::make_unique<FakeTransport>();
  FakeTransport& transport = *made;
  Connection connection(std::move(made), shared.options, shared.methods, service, deadlines, traffic,
                        shared.budget, 1);
  Peer peer;
  const std::int32_t id = peer.call(kWatch, framed(""));
  transport.incoming = peer.pull();
  std::vector<std::byte> buffer(64 * 1024);
  REQUIRE(connection.read(buffer));
  REQUIRE(connection.flush());
  peer.push(transport.take());
  CHECK(peer.reply(id).status() == "14");
  CHECK(peer.reply(id).body == framed("\x08\x02"));
}

TEST_CASE("a health watcher of a name that no model can have is refused") {
  Server server(on_free_port(1));
  REQUIRE(server.start().is_ok());
  Client client(server.port());
  const Reply reply = client.call(kWatch, field(1, std::string(100'000, 'n')));
  CHECK(reply.status() == "3");
  CHECK(reply.message().find("100000 bytes") != std::string::npos);
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
  CHECK(decode_answer(unframed(client.peer.reply(id).body).at(0)).doubles() ==
        std::vector<double>(50'000, 1.0));
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
          client.until([&] {
            return std::ranges::all_of(ids, [&](auto id) { return client.peer.reply(id).closed; });
          });
          for (int s = 0; s < kStreams; ++s) {
            const Reply& reply = client.peer.reply(ids[static_cast<std::size_t>(s)]);
            const bool good =
                reply.status() == "0" && decode_answer(unframed(reply.body).at(0)).doubles() ==
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

TEST_CASE("health watchers come and go in any order") {
  Server server(on_free_port(1));
  REQUIRE(server.start().is_ok());
  Client client(server.port());
  std::vector<std::int32_t> ids;
  for (int i = 0; i < 50; ++i) ids.push_back(client.peer.call(kWatch, framed(field(1, "rows"))));
  REQUIRE(client.until([&] { return unframed(client.peer.reply(ids.back()).body).size() == 1; }));
  for (std::size_t i = 0; i < ids.size(); i += 3) client.peer.reset(ids[i]);
  client.send();
  REQUIRE(soon([&] { return counter(server, "open_streams") == 33; }));
  REQUIRE(server.publish(snapshot_of(version_of(std::make_shared<RowSums>()))).is_ok());
  for (std::size_t i = 0; i < ids.size(); ++i) {
    if (i % 3 == 0) continue;
    REQUIRE(client.until([&] { return unframed(client.peer.reply(ids[i]).body).size() == 2; }));
    CHECK(unframed(client.peer.reply(ids[i]).body).back() == "\x08\x01");
  }
}
