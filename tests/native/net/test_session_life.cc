// The life of calls: deadlines, cancels, reuse of streams, drain.
#include <doctest/doctest.h>

#include <string>

#include "allocations.h"
#include "wire.h"

using namespace penstock;
using namespace penstock::net;
using namespace penstock::net::testing;

TEST_CASE("grpc-timeout becomes a deadline of the monotonic clock; without one there is none") {
  const auto deadline = [](const Headers& headers) {
    Wire wire;
    wire.now_ns = 1'000;
    std::int64_t seen = 0;
    wire.handler.act = [&](Stream& stream, std::span<const std::byte>) {
      seen = stream.deadline_ns;
      stream.session->finish(stream, Status::ok());
    };
    wire.peer.call(kUnary, framed("x"), headers);
    wire.run();
    wire.check_idle();
    return seen;
  };
  CHECK(deadline({}) == kNoDeadline);
  CHECK(deadline({{"grpc-timeout", "5n"}}) == 1'005);
  CHECK(deadline({{"grpc-timeout", "2m"}}) == 1'000 + 2'000'000);
  CHECK(deadline({{"grpc-timeout", "0S"}}) == 1'000);
  CHECK(deadline({{"grpc-timeout", "99999999H"}}) == kNoDeadline);  // beyond what the clock counts
}

TEST_CASE("a malformed grpc-timeout is refused") {
  for (const char* value : {"", "5", "S", "-5S", "123456789S", "5s", "5 S", "1.5S"}) {
    CAPTURE(value);
    Wire wire;
    const std::int32_t id = wire.peer.call(kUnary, framed("x"), {{"grpc-timeout", value}});
    wire.run();
    CHECK(wire.peer.reply(id).status() == "3");
    CHECK(wire.peer.reply(id).message().find("grpc-timeout") != std::string::npos);
    CHECK(wire.handler.messages.empty());
    wire.check_idle();
  }
}

TEST_CASE("a call that outlives its first read stands in the deadlines until it closes") {
  Wire wire;
  const Headers timeout{{"grpc-timeout", "1S"}};
  const std::int32_t id = wire.peer.open(kUnary, framed("x"), timeout);
  wire.run();
  REQUIRE(wire.deadlines.size() == 1);
  CHECK(wire.deadlines.begin()->first == wire.now_ns + 1'000'000'000);
  CHECK(wire.deadlines.begin()->second == wire.session.find(id));
  SUBCASE("answered") {
    wire.peer.end(id);
    wire.run();
    CHECK(wire.peer.reply(id).status() == "0");
  }
  SUBCASE("cancelled") {
    wire.peer.reset(id);
    wire.run();
  }
  SUBCASE("expired, as the loop does it") {
    Stream& stream = *wire.deadlines.begin()->second;
    wire.deadlines.erase(wire.deadlines.begin());
    stream.timer.reset();
    wire.session.finish(stream, {Code::kDeadlineExceeded, "late"});
    wire.run();
    CHECK(wire.peer.reply(id).status() == "4");
  }
  wire.check_idle();
}

TEST_CASE("a call answered in the read that brought it never enters the deadlines") {
  Wire wire;
  std::size_t entered = 0;
  wire.handler.act = [&](Stream& stream, std::span<const std::byte>) {
    stream.session->send(stream, small_message("x"));
    stream.session->finish(stream, Status::ok());
  };
  wire.peer.call(kUnary, framed("x"), {{"grpc-timeout", "1S"}});
  REQUIRE(wire.feed(wire.peer.pull()));
  entered = wire.deadlines.size();
  CHECK(entered == 0);
  wire.run();
  wire.check_idle();
}

TEST_CASE("the deadlines of a session that ends go with it") {
  Options options;
  const Methods methods(options.bridged);
  Deadlines deadlines;
  Traffic traffic;
  Budget budget(1 << 30);
  Recorder handler;
  {
    Session session(options, methods, handler, deadlines, traffic, budget, 1);
    Peer peer;
    peer.open(kUnary, framed("x"), {{"grpc-timeout", "1S"}});
    const std::string bytes = peer.pull();
    REQUIRE(session.feed(std::as_bytes(std::span(bytes)), 1));
    session.end_turn();
    CHECK(deadlines.size() == 1);
  }
  CHECK(deadlines.empty());
  CHECK(traffic.open_streams.load() == 0);
  CHECK(handler.closed.size() == 1);
}

TEST_CASE("RST_STREAM cancels at every stage") {
  PeerOptions options;
  options.window = 10;
  options.opens_windows = false;
  Wire wire(options);
  const std::string request = framed("0123456789");
  std::int32_t id = 0;
  SUBCASE("behind the headers") { id = wire.peer.open(kUnary); }
  SUBCASE("within the prefix") { id = wire.peer.open(kUnary, request.substr(0, 3)); }
  SUBCASE("within the message") { id = wire.peer.open(kUnary, request.substr(0, 9)); }
  SUBCASE("with the whole message said") { id = wire.peer.open(kUnary, request); }
  SUBCASE("with the answer waiting for the window") { id = wire.peer.call(kUnary, request); }
  SUBCASE("between the messages of a stream") { id = wire.peer.open(kStreaming, request + request); }
  wire.run();
  CHECK(wire.session.open().size() == 1);
  wire.peer.reset(id);
  wire.run();
  CHECK(wire.handler.closed == std::vector<std::int32_t>{id});
  wire.check_idle();
}

TEST_CASE("HEADERS, DATA and RST_STREAM in one read end where they began") {
  Wire wire;
  wire.run();
  for (int i = 0; i < 200; ++i) {
    const std::int32_t id = wire.peer.open(kUnary, framed("x").substr(0, 4));
    std::string bytes = wire.peer.pull();
    wire.peer.reset(id);
    bytes += wire.peer.pull();
    REQUIRE(wire.feed(bytes));
  }
  wire.run();
  CHECK(wire.handler.messages.empty());
  wire.check_idle();
}

TEST_CASE("a whole message and its cancel in one read leave no view behind") {
  Wire wire;
  wire.run();
  const std::int32_t id = wire.peer.open(kUnary, framed("whole"));
  std::string bytes = wire.peer.pull();
  wire.peer.reset(id);
  bytes += wire.peer.pull();
  REQUIRE(wire.feed(bytes));
  wire.run();
  wire.check_idle();
}

TEST_CASE("a stream that is used again is as new") {
  Wire wire;
  wire.handler.act = [](Stream& stream, std::span<const std::byte>) {
    stream.watched = codec::ServingStatus::kServing;
    stream.session->finish(stream, {Code::kInternal, "first"});
  };
  const Headers odd{{"grpc-encoding", "gzip"}, {"grpc-timeout", "bad"}};
  std::int32_t id = wire.peer.call(kUnary, framed("x"), odd);
  wire.run();
  id = wire.peer.call(kUnary, framed("x"), {{"grpc-timeout", "1H"}});
  wire.run();
  CHECK(wire.peer.reply(id).status() == "13");

  const Stream fresh;
  bool checked = false;
  wire.handler.act = [&](Stream& stream, std::span<const std::byte>) {
    checked = true;
    CHECK(stream.deadline_ns == kNoDeadline);
    CHECK_FALSE(stream.names_encoding);
    CHECK_FALSE(stream.bad_timeout);
    CHECK_FALSE(stream.timer.has_value());
    CHECK_FALSE(stream.watched.has_value());
    CHECK_FALSE(stream.headers_sent);
    CHECK_FALSE(stream.finished);
    CHECK_FALSE(stream.deferred);
    CHECK(stream.status.is_ok());
    CHECK(stream.messages == 1);
    CHECK(stream.waiting == 0);
    CHECK(stream.buffered == 0);
    CHECK(stream.body.empty());
    CHECK(stream.backlog.empty());
    CHECK(stream.queue.empty());
    stream.session->finish(stream, Status::ok());
  };
  id = wire.peer.call(kUnary, framed("y"));
  wire.run();
  CHECK(checked);
  CHECK(wire.peer.reply(id).status() == "0");
  wire.check_idle();
}

TEST_CASE("what streams keep for the next call is bounded, however many were open at once") {
  Wire wire;
  wire.run();
  const std::int64_t before = penstock::testing::live_bytes();
  std::vector<std::int32_t> ids;
  for (int i = 0; i < 300; ++i) {
    ids.push_back(wire.peer.open(kUnary, framed(std::string(60'000, 'k')).substr(0, 50'000)));
    wire.run();
  }
  CHECK(wire.session.buffered() == 300 * 50'000);
  for (const std::int32_t id : ids) wire.peer.reset(id);
  wire.run();
  wire.check_idle();
  wire.peer.forget();
  CHECK(penstock::testing::live_bytes() - before < 4 << 20);
}

TEST_CASE("a large answer's buffer is not kept for small ones") {
  Wire wire;
  wire.handler.act = [&](Stream& stream, std::span<const std::byte>) {
    stream.session->send(stream, small_message(std::string(1 << 20, 'r')));
    stream.session->finish(stream, Status::ok());
  };
  wire.peer.call(kUnary, framed("x"));
  wire.run();
  CHECK(wire.session.buffer().capacity() < 64 * 1024);
  wire.check_idle();
}

TEST_CASE("more calls than the limit at once are refused, and the connection goes on") {
  Options options;
  options.max_concurrent_streams = 4;
  Wire wire({}, options);
  wire.run();
  std::vector<std::int32_t> ids;
  for (int i = 0; i < 4; ++i) ids.push_back(wire.peer.open(kUnary, framed("x")));
  const std::int32_t fifth = wire.peer.open(kUnary, framed("x"));  // the peer itself holds it back
  wire.run();
  CHECK(wire.session.open().size() == 4);
  for (const std::int32_t id : ids) wire.peer.end(id);
  wire.run();
  wire.peer.end(fifth);
  wire.run();
  CHECK(wire.peer.reply(fifth).status() == "0");
  wire.check_idle();
}

TEST_CASE("a drain first gives notice, takes calls that crossed it, and then names the last one taken") {
  Wire wire;
  const std::int32_t early = wire.peer.open(kUnary, framed("x"));
  wire.run();
  const std::int32_t crossing = wire.peer.call(kUnary, framed("y"));
  const std::string crossing_bytes = wire.peer.pull();
  wire.session.drain_notice();
  wire.peer.push(wire.sent());
  CHECK(wire.peer.goaways() == 1);
  CHECK(wire.peer.last_taken() == INT32_MAX);
  REQUIRE(wire.feed(crossing_bytes));
  wire.run();
  CHECK(wire.peer.reply(crossing).status() == "0");

  wire.session.drain();
  wire.session.drain();  // once is enough
  wire.run();
  CHECK(wire.peer.goaways() == 2);
  CHECK(wire.peer.last_taken() == crossing);
  CHECK_FALSE(wire.session.done());
  wire.peer.end(early);
  wire.run();
  CHECK(wire.peer.reply(early).status() == "0");
  CHECK(wire.session.open().empty());
  CHECK(wire.session.done());
}

TEST_CASE("a call sent behind the last word of a drain is not begun") {
  Wire wire;
  const std::int32_t early = wire.peer.open(kUnary, framed("x"));
  wire.run();
  wire.peer.call(kUnary, framed("y"));
  const std::string late = wire.peer.pull();
  wire.session.drain();
  wire.peer.push(wire.sent());
  REQUIRE(wire.feed(late));
  CHECK(wire.session.open().size() == 1);
  CHECK(wire.handler.messages.empty());
  CHECK(wire.session.headers_since() == 0);
  wire.peer.end(early);
  wire.run();
  CHECK(wire.peer.reply(early).status() == "0");
  CHECK(wire.session.done());
}

TEST_CASE("a peer that says GOAWAY is served to its last call") {
  Wire wire;
  const std::int32_t id = wire.peer.open(kUnary, framed("x"));
  wire.run();
  nghttp2_submit_goaway(wire.peer.raw(), NGHTTP2_FLAG_NONE, 0, NGHTTP2_NO_ERROR, nullptr, 0);
  wire.run();
  CHECK_FALSE(wire.session.done());
  wire.peer.end(id);
  wire.run();
  CHECK(wire.peer.reply(id).status() == "0");
  CHECK(wire.session.done());
}

TEST_CASE("what is no HTTP/2 ends the session") {
  Wire wire;
  CHECK_FALSE(wire.feed("GET / HTTP/1.1\r\nhost: localhost\r\n\r\n"));
  CHECK_FALSE(wire.session.settled());
}

TEST_CASE("frames that break HTTP/2 end the session with a reason") {
  Wire wire;
  wire.run();
  REQUIRE(wire.feed(std::string("\0\0\4\0\0\0\0\0\0abcd", 13)));  // DATA on stream 0
  wire.peer.push(wire.sent());
  CHECK(wire.peer.going_away());
  CHECK(wire.peer.goaway_error() == NGHTTP2_PROTOCOL_ERROR);
  CHECK(wire.session.done());
}

TEST_CASE("a handler that throws ends the connection, not the process") {
  Wire wire;
  wire.handler.act = [](Stream&, std::span<const std::byte>) { throw std::runtime_error("a defect"); };
  wire.peer.call(kUnary, framed("x"));
  CHECK_FALSE(wire.feed(wire.peer.pull()));
}
