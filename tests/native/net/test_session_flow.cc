// Flow control both ways: answers that wait for the peer's window, requests that wait for their consumer.
#include <doctest/doctest.h>

#include <cstddef>
#include <string>

#include "allocations.h"
#include "wire.h"

using namespace penstock;
using namespace penstock::net;
using namespace penstock::net::testing;

namespace {

// Text in which a byte out of place shows.
std::string pattern(std::size_t size) {
  std::string text(size, '\0');
  std::uint32_t state = 12345;
  for (char& c : text) {
    state = state * 1664525 + 1013904223;
    c = static_cast<char>(state >> 24);
  }
  return text;
}

}  // namespace

TEST_CASE("an answer larger than the peer's window arrives whole as the window opens, in bounded memory") {
  PeerOptions options;
  options.window = 7;
  options.opens_windows = false;
  Wire wire(options);
  const std::string answer = pattern(1000);
  wire.handler.act = [&](Stream& stream, std::span<const std::byte>) {
    stream.session->send(stream, small_message(answer));
    stream.session->finish(stream, Status::ok());
  };
  const std::int32_t id = wire.peer.call(kUnary, framed("x"));
  wire.run();
  CHECK(wire.peer.reply(id).body.size() == 7);
  CHECK(wire.session.queued() == 1005 - 7);
  CHECK(wire.session.outbox().size() == 0);
  for (int step = 1; !wire.peer.reply(id).ended; step = step % 100 + 1) {
    wire.peer.allow(id, step);
    wire.run();
    CHECK(wire.session.queued() + wire.peer.reply(id).body.size() == 1005);
  }
  CHECK(unframed(wire.peer.reply(id).body) == std::vector<std::string>{answer});
  CHECK(wire.peer.reply(id).status() == "0");
  wire.check_idle();
}

TEST_CASE("a peer that never opens its window holds its answers, and gets its status when it does") {
  PeerOptions options;
  options.window = 0;
  options.opens_windows = false;
  Wire wire(options);
  const std::int32_t id = wire.peer.call(kUnary, framed("x"));
  wire.run();
  CHECK(wire.peer.reply(id).header(":status") == "200");
  CHECK(wire.peer.reply(id).body.empty());
  CHECK(wire.session.queued() == 5 + 4);
  wire.peer.allow(id, 100);
  wire.run();
  CHECK(unframed(wire.peer.reply(id).body) == std::vector<std::string>{"re:x"});
  CHECK(wire.peer.reply(id).status() == "0");
  wire.check_idle();
}

TEST_CASE("the outbox stays bounded while answers wait for a socket that takes nothing") {
  PeerOptions options;
  options.window = 1 << 30;
  Wire wire(options);
  wire.run();
  wire.peer.allow(0, 1 << 30);
  const std::string answer = pattern(3 << 20);
  int alive = 0;
  wire.handler.act = [&](Stream& stream, std::span<const std::byte>) {
    stream.session->send(stream, held_message(answer, 300'000, &alive));
    stream.session->finish(stream, Status::ok());
  };
  std::vector<std::int32_t> ids;
  for (int i = 0; i < 4; ++i) ids.push_back(wire.peer.call(kUnary, framed("x")));
  REQUIRE(wire.feed(wire.peer.pull()));
  REQUIRE(wire.session.fill());
  CHECK(wire.session.outbox().full());
  CHECK(wire.session.outbox().size() <= Outbox::kHigh + 32 * 1024);
  CHECK(alive == 4);
  wire.transport.per_write = 10'007;  // across segments
  wire.run();
  for (const std::int32_t id : ids) {
    CHECK(unframed(wire.peer.reply(id).body) == std::vector<std::string>{answer});
    CHECK(wire.peer.reply(id).status() == "0");
  }
  CHECK(alive == 0);
  wire.check_idle();
}

TEST_CASE("large answers go out byte for byte, whatever their pieces and the peer's window") {
  for (const std::size_t piece : {std::size_t{7}, std::size_t{1500}, std::size_t{1} << 20}) {
    for (const std::uint32_t window : {1'000U, 65'535U, 10'000'000U}) {
      CAPTURE(piece);
      CAPTURE(window);
      PeerOptions options;
      options.window = window;
      Wire wire(options);
      int alive = 0;
      const std::string answer = pattern(200'000);
      wire.handler.act = [&](Stream& stream, std::span<const std::byte>) {
        stream.session->send(stream, held_message(answer, piece, &alive));
        stream.session->finish(stream, Status::ok());
      };
      const std::int32_t id = wire.peer.call(kUnary, framed("x"));
      wire.run();
      CHECK((unframed(wire.peer.reply(id).body) == std::vector<std::string>{answer}));
      CHECK(alive == 0);
      wire.check_idle();
    }
  }
}

TEST_CASE("a call that is reset while frames refer to its answer keeps the memory until they are written") {
  PeerOptions options;
  options.window = 1 << 20;
  Wire wire(options);
  int alive = 0;
  const std::string answer = pattern(200'000);
  wire.handler.act = [&](Stream& stream, std::span<const std::byte>) {
    stream.session->send(stream, held_message(answer, 50'000, &alive));
    stream.session->finish(stream, Status::ok());
  };
  const std::int32_t id = wire.peer.call(kUnary, framed("x"));
  REQUIRE(wire.feed(wire.peer.pull()));
  REQUIRE(wire.session.fill());  // up to the connection's window of 65,535
  CHECK(wire.session.outbox().size() > 60'000);
  wire.peer.reset(id);
  REQUIRE(wire.feed(wire.peer.pull()));
  CHECK(wire.session.open().empty());
  CHECK(wire.session.queued() == 0);
  CHECK(wire.session.buffered() >= 200'000);
  CHECK(alive == 1);
  const std::size_t waiting = wire.session.outbox().size();
  wire.transport.total = waiting - 1;
  REQUIRE(wire.session.outbox().flush(wire.transport).state == Io::kBlocked);
  CHECK(alive == 1);
  const std::string frames = wire.transport.take();
  CHECK(frames.find(framed(answer).substr(0, 16'384)) != std::string::npos);
  wire.transport.total = SIZE_MAX;
  REQUIRE(wire.session.outbox().flush(wire.transport).state == Io::kDone);
  CHECK(alive == 0);
  CHECK(wire.session.buffered() == 0);
}

TEST_CASE("a call that is reset before any byte of its answer was framed keeps nothing") {
  PeerOptions options;
  options.window = 0;
  options.opens_windows = false;
  Wire wire(options);
  int alive = 0;
  wire.handler.act = [&](Stream& stream, std::span<const std::byte>) {
    stream.session->send(stream, held_message(pattern(100'000), 50'000, &alive));
    stream.session->finish(stream, Status::ok());
  };
  wire.run();
  const std::int32_t id = wire.peer.call(kUnary, framed("x"));
  wire.run();
  CHECK(alive == 1);
  SUBCASE("with an empty outbox") {
    wire.peer.reset(id);
    REQUIRE(wire.feed(wire.peer.pull()));
    CHECK(alive == 0);
  }
  SUBCASE("with an outbox that does not move") {
    const std::int32_t other = wire.peer.call("/nobody/Knows", framed("y"));
    wire.peer.reset(id);
    std::string bytes = wire.peer.pull();
    wire.transport.total = 0;
    REQUIRE(wire.feed(bytes));
    REQUIRE(wire.session.fill());
    CHECK(wire.session.outbox().size() > 0);
    CHECK(alive == 0);
    wire.transport.total = SIZE_MAX;
    wire.run();
    CHECK(wire.peer.reply(other).status() == "12");
  }
  wire.run();
  wire.check_idle();
}

TEST_CASE("a session that ends with answers waiting frees them") {
  int alive = 0;
  {
    Wire wire;
    wire.handler.act = [&](Stream& stream, std::span<const std::byte>) {
      stream.session->send(stream, held_message(pattern(300'000), 50'000, &alive));
    };
    wire.peer.call(kUnary, framed("x"));
    REQUIRE(wire.feed(wire.peer.pull()));
    REQUIRE(wire.session.fill());
    CHECK(alive == 1);
  }
  CHECK(alive == 0);
}

TEST_CASE("what answers hold counts as long as they hold it, also when nearly all is sent") {
  PeerOptions options;
  options.opens_windows = false;
  options.window = 99'000;
  Options limits;
  limits.max_buffered_bytes = 350'000;
  Wire wire(options, limits);
  wire.run();
  wire.peer.allow(0, 1 << 30);
  int alive = 0;
  wire.handler.act = [&](Stream& stream, std::span<const std::byte>) {
    stream.session->send(stream, held_message(pattern(100'000), 100'005, &alive));
    stream.session->finish(stream, Status::ok());
  };
  std::vector<std::int32_t> ids;
  for (int i = 0; i < 10; ++i) {
    ids.push_back(wire.peer.call(kUnary, framed("x")));
    wire.run();
  }
  CHECK(alive <= 3);
  CHECK(alive >= 1);
  CHECK(wire.session.buffered() >= static_cast<std::size_t>(alive) * 100'000);
  int refused = 0;
  for (const std::int32_t id : ids) refused += wire.peer.reply(id).status() == "8" ? 1 : 0;
  CHECK(refused + alive == 10);
  for (const std::int32_t id : ids) wire.peer.allow(id, 10'000);
  wire.run();
  CHECK(alive == 0);
  wire.check_idle();
}

TEST_CASE(
    "calls that were open before the limit was reached are refused at their message, not answered into it") {
  PeerOptions options;
  options.opens_windows = false;
  options.window = 0;
  Options limits;
  limits.max_buffered_bytes = 100'000;
  Wire wire(options, limits);
  int alive = 0;
  wire.handler.act = [&](Stream& stream, std::span<const std::byte>) {
    stream.session->send(stream, held_message(pattern(60'000), 60'005, &alive));
    stream.session->finish(stream, Status::ok());
  };
  std::vector<std::int32_t> ids;
  for (int i = 0; i < 20; ++i) ids.push_back(wire.peer.open(kUnary));
  wire.run();
  for (const std::int32_t id : ids) {
    wire.peer.say(id, framed("x"));
    wire.peer.end(id);
  }
  wire.run();
  CHECK(alive <= 2);
  CHECK(wire.peer.reply(ids.back()).status() == "8");
  for (const std::int32_t id : ids) wire.peer.reset(id);
  wire.run();
  CHECK(alive == 0);
  wire.check_idle();
}

TEST_CASE("unfinished requests beyond the limit are refused, and those before it finish") {
  Options limits;
  limits.max_buffered_bytes = 10'000;
  Wire wire({}, limits);
  const std::int32_t first = wire.peer.open(kUnary, framed(std::string(8'000, 'a')).substr(0, 7'000));
  wire.run();
  CHECK(wire.session.buffered() == 7'000);
  const std::int32_t second = wire.peer.open(kUnary, framed(std::string(8'000, 'b')).substr(0, 7'000));
  wire.run();
  CHECK(wire.peer.reply(second).status() == "8");
  wire.peer.say(first, framed(std::string(8'000, 'a')).substr(7'000));
  wire.peer.end(first);
  wire.run();
  CHECK(wire.peer.reply(first).status() == "0");
  wire.check_idle();
}

TEST_CASE("a streaming call whose consumer is busy holds its sender back, and loses and reorders nothing") {
  Wire wire;
  std::vector<std::string> seen;
  wire.handler.act = [&](Stream& stream, std::span<const std::byte> message) {
    seen.push_back(text(message));
    ++stream.waiting;
  };
  const std::int32_t id = wire.peer.open(kStreaming);
  std::vector<std::string> expected;
  for (int i = 0; i < 300; ++i) {
    expected.push_back(std::to_string(i) + ":" + std::string(static_cast<std::size_t>(i) * 97 % 20'000, 'm'));
    wire.peer.say(id, framed(expected.back()));
  }
  wire.peer.end(id);
  wire.run();
  CHECK(seen.size() == 1);
  CHECK(wire.session.buffered() <= (1 << 20));
  CHECK(wire.peer.room(id) < (1 << 20) / 2);  // not given back
  std::size_t most = 0;
  while (seen.size() < expected.size()) {
    Stream* stream = wire.session.find(id);
    REQUIRE(stream != nullptr);
    most = std::max(most, wire.session.buffered());
    stream->waiting = 0;
    wire.session.resume(*stream);
    wire.run();
  }
  CHECK(most <= (1 << 20));
  CHECK((seen == expected));
  CHECK(wire.handler.half_closed.empty());  // the last one is not answered yet
  Stream* stream = wire.session.find(id);
  REQUIRE(stream != nullptr);
  stream->waiting = 0;
  wire.session.resume(*stream);
  CHECK(wire.handler.half_closed.size() == 1);
  wire.run();
  CHECK(wire.peer.reply(id).status() == "0");
  wire.check_idle();
}

TEST_CASE("a peer that does not read its answers is not listened to for more") {
  PeerOptions options;
  options.window = 0;
  options.opens_windows = false;
  Wire wire(options);
  const std::int32_t id = wire.peer.open(kStreaming);
  std::vector<std::string> expected;
  for (int i = 0; i < 200; ++i) {
    wire.peer.say(id, framed(std::to_string(i)));
    expected.push_back("re:" + std::to_string(i));
  }
  wire.peer.end(id);
  wire.run();
  CHECK(wire.handler.messages.size() == 32);
  CHECK(wire.handler.half_closed.empty());
  for (int i = 0; i < 2'000 && !wire.peer.reply(id).ended; ++i) {
    wire.peer.allow(id, 9);
    wire.run();
    if (Stream* stream = wire.session.find(id)) CHECK(stream->queue.size() <= 32);
  }
  CHECK(unframed(wire.peer.reply(id).body) == expected);
  CHECK(wire.peer.reply(id).status() == "0");
  wire.check_idle();
}

TEST_CASE("a queue of answers that never runs empty does not grow") {
  MessageQueue queue;
  for (int i = 0; i < 3; ++i) queue.push(small_message("m"));
  const std::int64_t before = penstock::testing::live_bytes();
  for (int i = 0; i < 100'000; ++i) {
    queue.push(small_message(std::to_string(i)));
    std::string bytes;
    queue.consume(queue.front().remaining(),
                  [&](std::span<const std::byte> part, bool) { bytes += text(part); });
    if (i >= 3) REQUIRE(unframed(bytes) == std::vector<std::string>{std::to_string(i - 3)});
    queue.pop();
  }
  CHECK(queue.size() == 3);
  CHECK(penstock::testing::live_bytes() - before < 64 * 1024);
}

TEST_CASE("calls cancelled with a backlog give the connection's window back") {
  Wire wire;
  wire.handler.act = [](Stream& stream, std::span<const std::byte>) { ++stream.waiting; };
  const std::string much = framed(std::string(900'000, 'b'));
  for (int i = 0; i < 40; ++i) {
    const std::int32_t id = wire.peer.open(kStreaming, framed("first") + much);
    wire.run();
    CHECK(wire.session.buffered() > 890'000);
    wire.peer.reset(id);
    wire.run();
    CHECK(wire.session.buffered() == 0);
  }
  wire.check_idle();
}

TEST_CASE("calls finished with a backlog give the connection's window back") {
  Wire wire;
  wire.handler.act = [](Stream& stream, std::span<const std::byte>) { ++stream.waiting; };
  for (int i = 0; i < 40; ++i) {
    const std::int32_t id = wire.peer.open(kStreaming, framed("first") + framed(std::string(900'000, 'b')));
    wire.run();
    Stream* stream = wire.session.find(id);
    REQUIRE(stream != nullptr);
    wire.session.finish(*stream, {Code::kDeadlineExceeded, "too late"});
    wire.run();
    CHECK(wire.peer.reply(id).status() == "4");
  }
  wire.check_idle();
}

TEST_CASE("many small messages in a backlog are handled in time that does not grow with their square") {
  Wire wire;
  std::size_t seen = 0;
  wire.handler.act = [&](Stream& stream, std::span<const std::byte>) {
    ++seen;
    ++stream.waiting;
  };
  std::string many;
  constexpr std::size_t kMessages = 100'000;
  for (std::size_t i = 0; i < kMessages; ++i) many += framed("1");
  const std::int32_t id = wire.peer.open(kStreaming, many);
  wire.run();
  const std::int64_t start = monotonic_ns();
  while (seen < kMessages) {
    Stream* stream = wire.session.find(id);
    REQUIRE(stream != nullptr);
    stream->waiting = 0;
    wire.session.resume(*stream);
  }
  CHECK(monotonic_ns() - start < 2'000'000'000);
  wire.peer.reset(id);
  wire.run();
  wire.check_idle();
}

TEST_CASE("all connections together hold no more than their budget") {
  Options options;
  options.max_total_buffered_bytes = 1 << 20;
  Wire one({}, options);
  {
    BudgetShare held(one.budget);  // what the others hold
    held.set(1'000'000);
    const std::int32_t large = one.peer.open(kUnary, framed(std::string(100'000, 'x')).substr(0, 90'000));
    one.run();
    CHECK(one.peer.reply(large).status() == "8");
    CHECK(one.peer.reply(large).message().find("max_total_buffered_bytes") != std::string::npos);
    const std::int32_t small = one.peer.call(kUnary, framed("small"));
    one.run();
    CHECK(one.peer.reply(small).status() == "0");
  }
  const std::int32_t later = one.peer.open(kUnary, framed(std::string(100'000, 'x')).substr(0, 90'000));
  one.run();
  CHECK(one.budget.used() > 80'000);
  one.peer.say(later, framed(std::string(100'000, 'x')).substr(90'000));
  one.peer.end(later);
  one.run();
  CHECK(one.peer.reply(later).status() == "0");
  one.check_idle();
}

TEST_CASE("what streams hold back counts against the budget of all connections") {
  Options options;
  options.max_total_buffered_bytes = 1 << 20;
  Wire wire({0, false}, options);  // takes no answer
  BudgetShare held(wire.budget);
  held.set(1'000'000);
  std::string messages;
  for (int i = 0; i < 200; ++i) messages += framed(std::string(1000, 'x'));
  const std::int32_t id = wire.peer.open(kStreaming, messages);
  wire.run();
  CHECK(wire.session.buffered() < 100'000);
  wire.peer.allow(id, 1 << 20);
  wire.run();
  CHECK(wire.peer.reply(id).status() == "8");
}

TEST_CASE("a connection's limit bounds the requests that it holds back, too") {
  Options options;
  options.max_message_bytes = 64 * 1024;
  options.max_buffered_bytes = 1 << 20;
  Wire wire({0, false}, options);
  for (int stream = 0; stream < 16; ++stream) {
    std::string messages;
    for (int i = 0; i < 300; ++i) messages += framed(std::string(1000, 'x'));
    wire.peer.open(kStreaming, messages);
  }
  wire.run();
  CHECK(wire.session.buffered() < options.max_buffered_bytes * 5 / 4 + 64 * 1024);
}
