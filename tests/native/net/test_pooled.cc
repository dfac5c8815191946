// Dear requests, from the loop that reads them through the pool and back.
#include <doctest/doctest.h>

#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include "client.h"
#include "engine/gate.h"
#include "engine/line.h"
#include "wire.h"

using namespace penstock;
using namespace penstock::net;
using namespace penstock::net::testing;
using namespace penstock::engine::testing;
using std::chrono::milliseconds;

namespace {

engine::Schedule pooled() {
  engine::Schedule schedule;
  schedule.inline_rows = 0;
  schedule.merges = true;
  schedule.max_batch_rows = 8;
  return schedule;
}

// A server of one loop and one worker, with the gated model "rows".
struct Pooled {
  explicit Pooled(const engine::Schedule& schedule = pooled()) : version(gated(gate, schedule)) {
    REQUIRE(server.start().is_ok());
    REQUIRE(server.publish(snapshot_of(version)).is_ok());
  }
  ~Pooled() { gate.set(true); }

  static Options options() {
    Options made = on_free_port(1);
    made.pool_threads = 1;
    return made;
  }
  bool waits(std::int64_t count) {
    return soon([&] { return counter(server, "pool_waiting") == count; });
  }
  std::int64_t count(std::string_view name) const {
    for (const auto& [key, value] : version->counters()) {
      if (key == name) return value;
    }
    return -1;
  }

  Gate gate;
  std::shared_ptr<engine::Version> version;
  Server server{options()};
};

double sum(const Reply& reply) { return decode_answer(unframed(reply.body).at(0)).doubles().at(0); }

}  // namespace

TEST_CASE("while a dear model runs, its loop answers others") {
  Pooled pooled;
  Client caller(pooled.server.port());
  const std::int32_t id = caller.peer.call(kUnary, framed(request(5)));
  caller.send();
  REQUIRE(pooled.gate.wait_for_runs(1));
  CHECK(counter(pooled.server, "pool_running") == 1);
  Client other(pooled.server.port());
  CHECK(other.call(kLive, "").body == framed("\x08\x01"));
  CHECK(caller.call(kLive, "").body == framed("\x08\x01"));  // on the same connection, too
  CHECK_FALSE(caller.peer.reply(id).closed);
  pooled.gate.set(true);
  REQUIRE(caller.until([&] { return caller.peer.reply(id).closed; }));
  CHECK(caller.peer.reply(id).status() == "0");
  CHECK(sum(caller.peer.reply(id)) == 7);
  CHECK(soon([&] { return counter(pooled.server, "pool_running") == 0; }));
}

TEST_CASE("what waits for the pool runs together, whichever connection it came on") {
  Pooled pooled;
  Client first(pooled.server.port());
  Client second(pooled.server.port());
  std::vector<std::int32_t> ids{first.peer.call(kUnary, framed(request(0)))};
  first.send();
  REQUIRE(pooled.gate.wait_for_runs(1));
  for (int i = 1; i <= 3; ++i) ids.push_back(first.peer.call(kUnary, framed(request(i))));
  first.send();
  const std::int32_t other = second.peer.call(kUnary, framed(request(40)));
  second.send();
  REQUIRE(pooled.waits(4));
  pooled.gate.set(true);
  for (std::size_t i = 0; i < ids.size(); ++i) {
    REQUIRE(first.until([&] { return first.peer.reply(ids[i]).closed; }));
    CHECK(sum(first.peer.reply(ids[i])) == static_cast<double>(i) + 2);
  }
  REQUIRE(second.until([&] { return second.peer.reply(other).closed; }));
  CHECK(sum(second.peer.reply(other)) == 42);
  CHECK(pooled.gate.seen() == std::vector<std::int64_t>{1, 4});
}

TEST_CASE("a call that is reset, or whose connection is gone, leaves the queue before it costs") {
  Pooled pooled;
  Client caller(pooled.server.port());
  caller.peer.call(kUnary, framed(request(1)));
  caller.send();
  REQUIRE(pooled.gate.wait_for_runs(1));
  const std::int32_t id = caller.peer.call(kUnary, framed(request(2)));
  caller.send();
  {
    Client leaves(pooled.server.port());
    leaves.peer.call(kUnary, framed(request(3)));
    leaves.send();
    REQUIRE(pooled.waits(2));
    caller.peer.reset(id);
    caller.send();
    REQUIRE(pooled.waits(1));
  }
  REQUIRE(pooled.waits(0));
  CHECK(pooled.count("cancelled") == 2);
  pooled.gate.set(true);
  CHECK(soon([&] { return pooled.count("requests") == 1; }));
  CHECK(pooled.gate.seen() == std::vector<std::int64_t>{1});
}

TEST_CASE("a call that is reset while it runs does no harm when its answer comes") {
  Pooled pooled;
  Client caller(pooled.server.port());
  const std::int32_t id = caller.peer.call(kUnary, framed(request(1)));
  caller.send();
  REQUIRE(pooled.gate.wait_for_runs(1));
  caller.peer.reset(id);
  const std::int32_t next = caller.peer.call(kUnary, framed(request(2)));
  caller.send();
  REQUIRE(pooled.waits(1));
  pooled.gate.set(true);
  REQUIRE(caller.until([&] { return caller.peer.reply(next).closed; }));
  CHECK(sum(caller.peer.reply(next)) == 4);
}

TEST_CASE("a deadline that passes in the queue is answered when it passes, and costs no run") {
  Pooled pooled;
  Client caller(pooled.server.port());
  caller.peer.call(kUnary, framed(request(1)));
  caller.send();
  REQUIRE(pooled.gate.wait_for_runs(1));
  SUBCASE("the call's") { CHECK(caller.call(kUnary, request(2), {{"grpc-timeout", "20m"}}).status() == "4"); }
  SUBCASE("the request's own") {
    engine::testing::Request hurried;
    hurried.inputs = {matrix(1, {1, 1, 1})};
    hurried.timeout_us = 20'000;
    CHECK(caller.call(kUnary, hurried.encode()).status() == "4");
  }
  CHECK(pooled.waits(0));
  CHECK(pooled.count("expired") == 1);
  pooled.gate.set(true);
  CHECK(soon([&] { return pooled.count("requests") == 1; }));
  CHECK(pooled.gate.seen() == std::vector<std::int64_t>{1});
}

TEST_CASE("a full queue refuses, with what to do; memory of what was refused is not held") {
  engine::Schedule schedule = pooled();
  schedule.queue_limit = 1;
  Pooled pooled(schedule);
  Client caller(pooled.server.port());
  caller.peer.call(kUnary, framed(request(1)));
  caller.send();
  REQUIRE(pooled.gate.wait_for_runs(1));
  caller.peer.call(kUnary, framed(request(2)));
  const Reply refused = caller.call(kUnary, request(3));
  CHECK(refused.status() == "8");
  CHECK(refused.message().find("pool.queue_limit") != std::string::npos);
  CHECK(pooled.count("refused") == 1);
}

TEST_CASE("a stream keeps its order, and a failure in it its place") {
  Pooled pooled;
  pooled.gate.set(true);
  Client caller(pooled.server.port());
  engine::testing::Request wrong;
  wrong.id = "wrong";
  wrong.inputs = {matrix(1, {1, 1, 1})};
  wrong.inputs[0].datatype = "INT64";
  std::string body;
  for (int i = 0; i < 5; ++i) body += framed(i == 2 ? wrong.encode() : request(i));
  const std::int32_t id = caller.peer.call(kStreaming, body);
  REQUIRE(caller.until([&] { return caller.peer.reply(id).closed; }));
  CHECK(caller.peer.reply(id).status() == "0");
  const std::vector<std::string> answers = unframed(caller.peer.reply(id).body);
  REQUIRE(answers.size() == 5);
  for (std::size_t i = 0; i < 5; ++i) {
    codec::WireReader reader(std::as_bytes(std::span(answers[i])));
    codec::WireField part;
    std::string error;
    std::string response;
    while (reader.next(&part)) {
      if (part.tag >> 3 == 1) error = codec::as_text(part.bytes);
      if (part.tag >> 3 == 2) response = codec::as_text(part.bytes);
    }
    CHECK(error.empty() == (i != 2));
    if (i == 2) CHECK(decode_answer(response).id == "wrong");
    if (i != 2) CHECK(decode_answer(response).doubles().at(0) == static_cast<double>(i) + 2);
  }
}

TEST_CASE("a drain waits for what is queued") {
  Pooled pooled;
  Client caller(pooled.server.port());
  const std::int32_t first = caller.peer.call(kUnary, framed(request(1)));
  caller.send();
  REQUIRE(pooled.gate.wait_for_runs(1));
  const std::int32_t second = caller.peer.call(kUnary, framed(request(2)));
  caller.send();
  REQUIRE(pooled.waits(1));
  std::thread opening([&] {
    std::this_thread::sleep_for(milliseconds(150));
    pooled.gate.set(true);
  });
  bool drained = false;
  std::thread draining([&] { drained = pooled.server.drain(10 * kSecond); });
  CHECK(caller.until([&] { return caller.peer.reply(first).closed && caller.peer.reply(second).closed; }));
  CHECK(caller.closes());
  opening.join();
  draining.join();
  CHECK(drained);
  CHECK(caller.peer.reply(first).status() == "0");
  CHECK(sum(caller.peer.reply(second)) == 4);
}

TEST_CASE("a server that stops tells those who wait for the pool") {
  auto pooled = std::make_unique<Pooled>();
  Client caller(pooled->server.port());
  const std::int32_t first = caller.peer.call(kUnary, framed(request(1)));
  caller.send();
  REQUIRE(pooled->gate.wait_for_runs(1));
  const std::int32_t second = caller.peer.call(kUnary, framed(request(2)));
  caller.send();
  REQUIRE(pooled->waits(1));
  std::thread opening([&] {
    std::this_thread::sleep_for(milliseconds(30));
    pooled->gate.set(true);
  });
  pooled->server.stop();
  opening.join();
  caller.until([&] { return caller.peer.reply(second).closed; }, 2000);
  CHECK(caller.peer.reply(first).closed);
  CHECK((caller.peer.reply(second).status() == "14" || caller.peer.reply(second).status() == "0"));
}

TEST_CASE("a request that waits is answered by the version that it came for, which then goes") {
  Pooled pooled;
  std::weak_ptr<const engine::Version> old = pooled.version;
  Client caller(pooled.server.port());
  const std::int32_t first = caller.peer.call(kUnary, framed(request(1)));
  caller.send();
  REQUIRE(pooled.gate.wait_for_runs(1));
  const std::int32_t second = caller.peer.call(kUnary, framed(request(2)));
  caller.send();
  REQUIRE(pooled.waits(1));
  REQUIRE(pooled.server.publish(snapshot_of(version_of(std::make_shared<RowSums>(), "2"))).is_ok());
  pooled.version.reset();
  CHECK(decode_answer(unframed(caller.call(kUnary, request(3)).body).at(0)).version == "2");
  CHECK_FALSE(old.expired());
  pooled.gate.set(true);
  for (const std::int32_t id : {first, second}) {
    REQUIRE(caller.until([&] { return caller.peer.reply(id).closed; }));
    CHECK(decode_answer(unframed(caller.peer.reply(id).body).at(0)).version == "1");
  }
  CHECK(soon([&] { return old.expired(); }));
  pooled.version = version_of(std::make_shared<RowSums>());  // for the end of the test
}

TEST_CASE("a cheap model's large request goes to the pool, small ones stay on the loop") {
  engine::Schedule schedule = pooled();
  schedule.inline_rows = 100;
  Pooled pooled(schedule);
  Client large(pooled.server.port());
  Client small(pooled.server.port());
  engine::testing::Request many;
  SUBCASE("by its rows") { many.inputs = {matrix(101, std::vector<double>(303, 1.0))}; }
  SUBCASE("by its bytes, before it is decoded") {
    many.inputs = {matrix(100'000, std::vector<double>(300'000, 1.0))};
  }
  const auto rows = many.inputs[0].shape[0];
  const std::int32_t id = large.peer.call(kUnary, framed(many.encode()));
  large.until([&] { return !pooled.gate.seen().empty(); });
  REQUIRE(pooled.gate.seen() == std::vector<std::int64_t>{rows});
  CHECK(counter(pooled.server, "pool_running") == 1);
  CHECK(small.call(kLive, "").status() == "0");  // the loop is free
  pooled.gate.set(true);
  CHECK(sum(small.call(kUnary, request(1))) == 3);
  REQUIRE(large.until([&] { return large.peer.reply(id).closed; }));
  CHECK(large.peer.reply(id).status() == "0");
  const Answer answer = decode_answer(unframed(large.peer.reply(id).body).at(0));
  CHECK((answer.doubles() == std::vector<double>(static_cast<std::size_t>(rows), 3.0)));
}

TEST_CASE("what is no request is refused by whoever decodes it") {
  engine::Schedule schedule = pooled();
  Pooled pooled(schedule);
  pooled.gate.set(true);
  Client caller(pooled.server.port());
  CHECK(caller.call(kUnary, "\xFF").status() == "3");
  // Large and well-formed at the top alone: the worker finds what is wrong inside.
  const std::string broken = field(1, "rows") + field(5, std::string(300'000, '\xFF'));
  CHECK(caller.call(kUnary, broken).status() == "3");
  CHECK(caller.call(kUnary, field(1, "nobody") + field(5, std::string(300'000, 'x'))).status() == "5");
  CHECK(sum(caller.call(kUnary, request(1))) == 3);
}
