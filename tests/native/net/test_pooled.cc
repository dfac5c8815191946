// Dear requests, from the loop that reads them through the pool and back.
#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "allocations.h"
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
  explicit Pooled(const engine::Schedule& schedule = pooled(), const Options& options = on_one_loop())
      : version(gated(gate, schedule)), server(options) {
    REQUIRE(server.start().is_ok());
    REQUIRE(server.publish(snapshot_of(version)).is_ok());
  }
  ~Pooled() { gate.set(true); }

  static Options on_one_loop() {
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
  Server server;
};

constexpr std::uint32_t kInt64 = 2;
constexpr std::uint32_t kUint64 = 5;

// A parameter of a request, of that field of InferParameter.
std::string parameter(std::string_view name, std::uint32_t number, std::uint64_t value) {
  return field(4, field(1, name) + field(2, varint(number << 3) + varint(value)));
}

// One answer of a ModelStreamInfer.
struct Streamed {
  explicit Streamed(std::string_view bytes) {
    codec::WireReader reader(std::as_bytes(std::span(bytes)));
    codec::WireField part;
    while (reader.next(&part)) {
      if (part.tag >> 3 == 1) error = codec::as_text(part.bytes);
      if (part.tag >> 3 == 2) answer = decode_answer(codec::as_text(part.bytes));
    }
  }
  std::string error;
  Answer answer;
};

// Those that came in full.
std::vector<std::string> whole_answers(std::string_view body) {
  std::size_t end = 0;
  while (body.size() - end >= codec::kPrefixBytes) {
    const auto prefix = std::as_bytes(std::span(body)).subspan(end).first<codec::kPrefixBytes>();
    const std::size_t next = end + codec::kPrefixBytes + codec::read_prefix(prefix).length;
    if (next > body.size()) break;
    end = next;
  }
  return unframed(body.substr(0, end));
}

std::string rows_of_ones(std::size_t rows, std::string id) {
  engine::testing::Request made;
  made.id = std::move(id);
  made.inputs = {matrix(static_cast<std::int64_t>(rows), std::vector<double>(3 * rows, 1.0))};
  return made.encode();
}

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
  Reply late;
  SUBCASE("the call's") { late = caller.call(kUnary, request(2), {{"grpc-timeout", "20m"}}); }
  SUBCASE("the request's own") {
    engine::testing::Request hurried;
    hurried.inputs = {matrix(1, {1, 1, 1})};
    hurried.timeout_us = 20'000;
    late = caller.call(kUnary, hurried.encode());
  }
  CHECK(late.status() == "4");
  CHECK(late.message().find("while it waited for the pool") != std::string::npos);
  CHECK(pooled.waits(0));
  CHECK(pooled.count("expired") == 1);
  pooled.gate.set(true);
  CHECK(soon([&] { return pooled.count("requests") == 1; }));
  CHECK(pooled.gate.seen() == std::vector<std::int64_t>{1});
}

TEST_CASE("a full queue refuses, with what to do and when to try again") {
  engine::Schedule schedule = pooled();
  schedule.queue_limit = 1;
  schedule.fixed_ns = 20'000'000;  // as measured
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
  CHECK(pooled.count("failures") == 1);
  CHECK(pooled.count("failure_ns") > 0);
  CHECK(refused.header("grpc-retry-pushback-ms") == "21");
  CHECK(caller.call(kUnary, "\xFF").header("grpc-retry-pushback-ms").empty());
}

TEST_CASE("who gives way to a more urgent one is told so at once") {
  engine::Schedule schedule = pooled();
  schedule.queue_limit = 1;
  schedule.fixed_ns = 20'000'000;  // as measured
  Pooled pooled(schedule);
  Client caller(pooled.server.port());
  Client other(pooled.server.port());
  caller.peer.call(kUnary, framed(request(1)));
  caller.send();
  REQUIRE(pooled.gate.wait_for_runs(1));
  engine::testing::Request made;
  made.id = "patient";
  made.inputs = {matrix(1, {1, 1, 1})};
  bool streamed = false;
  SUBCASE("as the status of its call") {}
  SUBCASE("as an answer in its stream") { streamed = true; }
  const std::int32_t patient = caller.peer.call(streamed ? kStreaming : kUnary, framed(made.encode()));
  caller.send();
  REQUIRE(pooled.waits(1));
  made.parameters = parameter("priority", kUint64, 1);
  const std::int32_t urgent = other.peer.call(kUnary, framed(made.encode()));
  other.send();
  REQUIRE(caller.until([&] { return caller.peer.reply(patient).closed; }));
  const Reply& told = caller.peer.reply(patient);
  if (streamed) {
    const Streamed refused(unframed(told.body).at(0));
    CHECK(refused.error.find("a more urgent one came") != std::string::npos);
    CHECK(refused.answer.id == "patient");
    CHECK(told.status() == "0");
    CHECK(told.header("grpc-retry-pushback-ms").empty());
  } else {
    CHECK(told.status() == "8");
    CHECK(told.message().find("a more urgent one came") != std::string::npos);
    CHECK(told.header("grpc-retry-pushback-ms") == "21");
  }
  pooled.gate.set(true);
  REQUIRE(other.until([&] { return other.peer.reply(urgent).closed; }));
  CHECK(other.peer.reply(urgent).status() == "0");
  CHECK(pooled.count("refused") == 1);
  CHECK(pooled.count("failures") == 1);
}

TEST_CASE("priorities are levels from 1, none or 0 the default, what is beyond the last the last") {
  engine::Schedule schedule = pooled();
  schedule.merges = false;
  Pooled pooled(schedule);
  Client caller(pooled.server.port());
  std::vector<std::string> parameters{
      "",  // runs at once
      parameter("priority", kUint64, 3),
      parameter("priority", kUint64, 0),
      parameter("priority", kInt64, 1),
      parameter("priority", kUint64, std::uint64_t{1} << 40),
      parameter("priority", kInt64, static_cast<std::uint64_t>(-1)),
      parameter("timeout", kInt64, 60'000'000) + parameter("priority", kUint64, 1),
  };
  std::vector<std::int32_t> ids;
  for (std::size_t i = 0; i < parameters.size(); ++i) {  // told apart by their rows
    engine::testing::Request made;
    made.inputs = {matrix(static_cast<std::int64_t>(i) + 1, std::vector<double>(3 * (i + 1), 1.0))};
    made.parameters = parameters[i];
    ids.push_back(caller.peer.call(kUnary, framed(made.encode())));
    caller.send();
    if (i == 0) REQUIRE(pooled.gate.wait_for_runs(1));
  }
  REQUIRE(pooled.waits(6));
  pooled.gate.set(true);
  for (const std::int32_t id : ids) REQUIRE(caller.until([&] { return caller.peer.reply(id).closed; }));
  CHECK(pooled.gate.seen() == std::vector<std::int64_t>{1, 4, 7, 3, 6, 2, 5});
}

TEST_CASE("tensors of no elements and more rows than can be counted are refused, and harm no sum") {
  Pooled pooled;
  Client caller(pooled.server.port());
  caller.peer.call(kUnary, framed(request(1)));
  caller.send();
  REQUIRE(pooled.gate.wait_for_runs(1));
  engine::testing::Request empty;
  empty.inputs = {{"x", "FP64", {std::int64_t{1} << 62, 0}, ""}};
  std::vector<std::int32_t> ids;
  for (int i = 0; i < 5; ++i) ids.push_back(caller.peer.call(kUnary, framed(empty.encode())));
  caller.send();
  REQUIRE(pooled.waits(5));
  pooled.gate.set(true);
  for (const std::int32_t id : ids) {
    REQUIRE(caller.until([&] { return caller.peer.reply(id).closed; }));
    CHECK(caller.peer.reply(id).status() == "3");
  }
}

TEST_CASE("memory of what was refused, cancelled or answered is neither held nor charged") {
  engine::Schedule schedule = pooled();
  schedule.queue_limit = 1;
  Options options = Pooled::on_one_loop();
  options.max_buffered_bytes = 4 << 20;
  Pooled pooled(schedule, options);
  Client caller(pooled.server.port());
  caller.peer.call(kUnary, framed(request(1)));
  caller.send();
  REQUIRE(pooled.gate.wait_for_runs(1));
  const std::string large = framed(rows_of_ones(40'000, ""));  // 0.96 MB
  const std::int64_t before = penstock::testing::live_bytes();
  const auto held = [&] { return penstock::testing::live_bytes() - before; };
  SUBCASE("refused, in a stream that stays") {
    caller.peer.call(kUnary, framed(request(2)));
    const std::int32_t id = caller.peer.open(kStreaming);
    for (std::size_t i = 1; i <= 10; ++i) {
      caller.peer.say(id, large);
      REQUIRE(caller.until([&] { return whole_answers(caller.peer.reply(id).body).size() == i; }));
      const Streamed refused(unframed(caller.peer.reply(id).body).back());
      REQUIRE(refused.error.find("pool.queue_limit") != std::string::npos);
    }
    CHECK(caller.peer.reply(id).status().empty());
  }
  SUBCASE("cancelled, while no worker is free") {
    for (int i = 0; i < 20; ++i) {
      const std::int32_t id = caller.peer.call(kUnary, large);
      REQUIRE(caller.until([&] { return counter(pooled.server, "pool_waiting") == 1; }));
      caller.peer.reset(id);
      caller.send();
      REQUIRE(pooled.waits(0));
      caller.peer.forget();
    }
    CHECK(caller.until([&] { return held() < (4 << 20); }, 2000));
    CHECK(pooled.count("cancelled") == 20);
  }
  SUBCASE("answered, in a stream that stays") {
    pooled.gate.set(true);
    const std::int32_t id = caller.peer.open(kStreaming);
    for (std::size_t i = 1; i <= 10; ++i) {
      caller.peer.say(id, large);
      REQUIRE(caller.until([&] { return whole_answers(caller.peer.reply(id).body).size() == i; }));
      const Streamed answered(unframed(caller.peer.reply(id).body).back());
      REQUIRE(answered.error.empty());
    }
    CHECK(caller.peer.reply(id).status().empty());
  }
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
    const Streamed answer(answers[i]);
    CHECK(answer.error.empty() == (i != 2));
    if (i == 2) CHECK(answer.answer.id == "wrong");
    if (i != 2) CHECK(answer.answer.doubles().at(0) == static_cast<double>(i) + 2);
  }
}

TEST_CASE("a streamed request that the full queue refuses is told so by its id, in memory that is there") {
  engine::Schedule schedule = pooled();
  schedule.queue_limit = 1;
  Pooled pooled(schedule);
  Client caller(pooled.server.port());
  caller.peer.call(kUnary, framed(request(1)));
  caller.send();
  REQUIRE(pooled.gate.wait_for_runs(1));
  caller.peer.call(kUnary, framed(request(2)));
  std::size_t rows = 0;
  SUBCASE("in one frame") { rows = 1; }
  SUBCASE("put together from several") { rows = 1000; }  // 24 KB
  SUBCASE("too large to be decoded on the loop") { rows = 20'000; }
  const std::string name(200, 'n');
  const std::int32_t id = caller.peer.call(kStreaming, framed(rows_of_ones(rows, name)));
  REQUIRE(caller.until([&] { return caller.peer.reply(id).closed; }));
  const Streamed refused(unframed(caller.peer.reply(id).body).at(0));
  CHECK(refused.error.find("pool.queue_limit") != std::string::npos);
  CHECK(refused.answer.id == name);
  CHECK(caller.peer.reply(id).status() == "0");
}

TEST_CASE("a stream's request whose time passes in the queue is told so before anything else runs") {
  Pooled pooled;
  Client caller(pooled.server.port());
  caller.peer.call(kUnary, framed(request(1)));
  caller.send();
  REQUIRE(pooled.gate.wait_for_runs(1));
  engine::testing::Request hurried;
  hurried.id = "hurried";
  hurried.timeout_us = 10'000;
  hurried.inputs = {matrix(1, {1, 1, 1})};
  SUBCASE("a small one") {}
  SUBCASE("one too large to be decoded on the loop") {
    hurried.inputs = {matrix(20'000, std::vector<double>(60'000, 1.0))};
  }
  const std::int32_t id = caller.peer.open(kStreaming, framed(hurried.encode()));
  caller.until([&] { return counter(pooled.server, "pool_waiting") == 1; });
  caller.peer.call(kUnary, framed(request(2)));
  caller.send();
  REQUIRE(pooled.waits(2));
  std::this_thread::sleep_for(milliseconds(12));
  pooled.gate.admit_one();
  REQUIRE(pooled.gate.wait_for_runs(2));
  REQUIRE(caller.until([&] { return !caller.peer.reply(id).body.empty(); }, 5000));
  const Streamed late(unframed(caller.peer.reply(id).body).at(0));
  CHECK(late.error.find("deadline") != std::string::npos);
  CHECK(late.answer.id == "hurried");
  CHECK(pooled.gate.seen() == std::vector<std::int64_t>{1, 1});
  CHECK(counter(pooled.server, "pool_running") == 1);
  // The stream goes on.
  pooled.gate.set(true);
  caller.peer.say(id, framed(request(5)));
  caller.peer.end(id);
  REQUIRE(caller.until([&] { return caller.peer.reply(id).closed; }));
  CHECK(Streamed(unframed(caller.peer.reply(id).body).at(1)).answer.doubles().at(0) == 7);
  CHECK(pooled.count("expired") == 1);
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
  // It counts for the version that it names, whoever refuses it.
  CHECK(pooled.count("failures") == 1);
  CHECK(caller.call(kUnary, field(1, "rows") + field(5, std::string(30, '\xFF'))).status() == "3");
  CHECK(pooled.count("failures") == 2);
  CHECK(pooled.count("failure_ns") > 0);
  CHECK(sum(caller.call(kUnary, request(1))) == 3);
}

TEST_CASE("wherever memory runs out on the way through the pool, every call ends, and the next is answered") {
  engine::Schedule schedule = pooled();
  schedule.queue_limit = 2;
  Pooled pooled(schedule);
  pooled.gate.set(true);
  engine::testing::Request wrong;
  wrong.inputs = {matrix(1, {1, 1, 1})};
  wrong.inputs[0].datatype = "INT64";
  wrong.id = std::string(100, 'w');
  engine::testing::Request urgent;
  urgent.inputs = {matrix(1, {1, 1, 1})};
  urgent.parameters = parameter("priority", kUint64, 1);
  const std::string streamed =
      framed(rows_of_ones(1000, "many")) + framed(wrong.encode()) + framed(request(1));
  int failures = 0;
  for (std::int64_t nth = 0;; ++nth) {
    {
      const penstock::testing::FailingAllocation failing(nth);
      bool ended = false;
      try {
        Client client(pooled.server.port());
        std::vector<std::int32_t> ids{client.peer.call(kStreaming, streamed)};
        for (int i = 0; i < 4; ++i) ids.push_back(client.peer.call(kUnary, framed(request(i))));
        ids.push_back(client.peer.call(kUnary, framed(urgent.encode())));
        ended = client.until([&] {
          return std::ranges::all_of(ids, [&](std::int32_t id) { return client.peer.reply(id).closed; });
        });
        ended = ended || client.closes(0);
      } catch (const std::runtime_error&) {  // the connection broke
        ended = true;
      }
      REQUIRE(ended);
      if (!failing.failed()) break;
      ++failures;
    }
    Client next(pooled.server.port());
    REQUIRE(sum(next.call(kUnary, request(1))) == 3);
  }
  CHECK(failures > 30);
  CHECK(pooled.waits(0));
  CHECK(soon([&] { return counter(pooled.server, "pool_running") == 0; }));
}
