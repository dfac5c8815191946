// A connection's timeouts and its end, with invented times and a transport of memory.
#include <doctest/doctest.h>

#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "net/connection.h"
#include "wire.h"

using namespace penstock;
using namespace penstock::net;
using namespace penstock::net::testing;

namespace {

constexpr std::int64_t kSecond = 1'000'000'000;

Options seconds() {
  Options options;
  options.idle_timeout = 100 * kSecond;
  options.header_timeout = 10 * kSecond;
  options.body_timeout = 20 * kSecond;
  options.keepalive_interval = 30 * kSecond;
  options.keepalive_timeout = 5 * kSecond;
  options.stall_timeout = 40 * kSecond;
  return options;
}

// A connection and its peer. Times are seconds after it was opened; what it reads itself it dates by the
// clock, at 0.
struct Line {
  explicit Line(Options given = seconds(), PeerOptions peer_options = {})
      : options(std::move(given)), methods(options.bridged), peer(peer_options) {
    auto made = std::make_unique<FakeTransport>();
    transport = made.get();
    connection = std::make_unique<Connection>(std::move(made), options, methods, handler, deadlines, traffic,
                                              budget, 1);
    start_ns = monotonic_ns();
  }

  // One turn of a loop.
  bool turn() { return connection->read(buffer) && connection->flush(); }
  // As a loop does, which is told again of what it left.
  bool receive(std::string_view bytes) {
    transport->incoming += bytes;
    do {
      if (!turn()) return false;
    } while (!transport->incoming.empty());
    return true;
  }
  // False when the connection is over.
  bool exchange() {
    for (;;) {
      const std::string up = peer.pull();
      if (!up.empty() && !receive(up)) return false;
      const std::string down = transport->take();
      peer.push(down);
      if (up.empty() && down.empty()) return true;
    }
  }
  bool tick(std::int64_t seconds_later) { return connection->tick(start_ns + seconds_later * kSecond); }

  Options options;
  Methods methods;
  Recorder handler;
  Deadlines deadlines;
  Traffic traffic;
  Budget budget{1 << 30};
  Peer peer;
  FakeTransport* transport = nullptr;
  std::vector<std::byte> buffer = std::vector<std::byte>(64 * 1024);
  std::unique_ptr<Connection> connection;
  std::int64_t start_ns = 0;
};

}  // namespace

TEST_CASE("a call goes through a connection") {
  Line line;
  const std::int32_t id = line.peer.call(kUnary, framed("x"));
  REQUIRE(line.exchange());
  CHECK(unframed(line.peer.reply(id).body) == std::vector<std::string>{"re:x"});
  CHECK(line.traffic.bytes_in.load() > 0);
  CHECK(line.traffic.bytes_out.load() > 0);
  CHECK(line.traffic.offenders.load() == 0);
}

TEST_CASE("HTTP/1.1 gets one answer that says what this port speaks") {
  for (const char* request :
       {"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n", "POST /v2/models HTTP/1.0\r\n\r\n", "PUT"}) {
    Line line;
    CHECK(line.receive(request));
    CHECK(line.transport->ended);
    const std::string answer = line.transport->take();
    CHECK(answer.starts_with("HTTP/1.1 505 HTTP Version Not Supported\r\n"));
    const std::size_t end = answer.find("\r\n\r\n");
    REQUIRE(end != std::string::npos);
    const std::string length = "content-length: " + std::to_string(answer.size() - end - 4) + "\r\n";
    CHECK(answer.find(length) != std::string::npos);
    CHECK(answer.find("gRPC") != std::string::npos);
    CHECK(line.traffic.offenders.load() == 1);
  }
}

TEST_CASE("noise gets no answer") {
  Line line;
  CHECK_FALSE(line.receive(std::string("\x16\x03\x01\x02\x00\x01\x00", 7)));  // TLS
  CHECK(line.transport->take().find("HTTP/1.1") == std::string::npos);
}

TEST_CASE("a peer that never says its preface is closed after header_timeout") {
  Line line;
  CHECK(line.tick(9));
  CHECK_FALSE(line.tick(11));
  CHECK(line.traffic.offenders.load() == 1);
}

TEST_CASE("half a preface does not buy more time") {
  Line line;
  CHECK(line.receive("PRI * HTTP/2.0\r\n"));
  CHECK(line.tick(9));
  CHECK_FALSE(line.tick(11));
}

TEST_CASE("a header block that does not end is closed after header_timeout, one that did is not") {
  Line line;
  line.peer.open(kUnary, {}, {{"x-fill", std::string(100, 'f')}});
  const std::string bytes = line.peer.pull();
  REQUIRE(line.receive(std::string_view(bytes).substr(0, bytes.size() - 3)));
  CHECK(line.tick(9));
  SUBCASE("unfinished") {
    line.peer.push(line.transport->take());
    CHECK_FALSE(line.tick(11));
    line.peer.push(line.transport->take());
    CHECK(line.peer.goaway_error() == NGHTTP2_ENHANCE_YOUR_CALM);
  }
  SUBCASE("finished") {
    REQUIRE(line.receive(std::string_view(bytes).substr(bytes.size() - 3)));
    CHECK(line.tick(11));
  }
}

TEST_CASE("CONTINUATION frames one byte at a time do not buy more time") {
  Line line;
  REQUIRE(line.exchange());
  // HEADERS on stream 1 without END_HEADERS, then CONTINUATION frames of one byte: the indexed :method POST.
  REQUIRE(line.receive(std::string("\0\0\1\1\0\0\0\0\1\x83", 10)));
  REQUIRE(line.receive(std::string("\0\0\1\x9\0\0\0\0\1\x86", 10)));
  CHECK(line.connection->session().headers_since() != 0);
  CHECK(line.tick(9));
  CHECK_FALSE(line.tick(11));
}

TEST_CASE("a request whose rest does not come is answered after body_timeout, and the connection goes on") {
  Line line;
  const std::int32_t slow = line.peer.open(kUnary, framed("slow").substr(0, 6));
  const std::int32_t streaming = line.peer.open(kStreaming, framed("s"));
  REQUIRE(line.exchange());
  CHECK(line.tick(19));
  CHECK(line.tick(21));
  line.peer.push(line.transport->take());
  CHECK(line.peer.reply(slow).status() == "4");
  CHECK(line.peer.reply(slow).message().find("20 s") != std::string::npos);
  CHECK(line.peer.reply(slow).closed);
  CHECK_FALSE(line.peer.reply(streaming).closed);  // it may think as long as it likes
  const std::int32_t next = line.peer.call(kUnary, framed("x"));
  REQUIRE(line.exchange());
  CHECK(line.peer.reply(next).status() == "0");
}

TEST_CASE("a silent peer is asked with PING, and closed when it does not answer") {
  Line line;
  line.peer.open(kStreaming);
  REQUIRE(line.exchange());
  CHECK(line.tick(29));
  CHECK(line.connection->session().ping_sent() == 0);
  CHECK(line.tick(31));
  line.peer.push(line.transport->take());
  CHECK(line.peer.pings() == 1);
  CHECK(line.tick(35));  // not asked twice
  line.peer.push(line.transport->take());
  CHECK(line.peer.pings() == 1);
  SUBCASE("no answer") { CHECK_FALSE(line.tick(37)); }
  SUBCASE("answered") {
    REQUIRE(line.exchange());
    CHECK(line.connection->session().ping_sent() == 0);
    CHECK(line.tick(31));
  }
}

TEST_CASE("a peer that says something else instead of answering a PING is asked again when it falls silent") {
  Line line;
  line.peer.open(kStreaming);
  REQUIRE(line.exchange());
  const std::int64_t past = monotonic_ns() - 1;
  line.connection->session().ping(past);  // as if an earlier tick had
  REQUIRE(line.connection->flush());
  line.transport->take();  // never reaches the peer
  line.peer.open(kStreaming);
  REQUIRE(line.exchange());
  CHECK(line.connection->session().ping_sent() == past);
  CHECK(line.tick(29));
  CHECK(line.tick(31));
  line.peer.push(line.transport->take());
  CHECK(line.peer.pings() == 1);
  CHECK_FALSE(line.tick(37));
}

TEST_CASE("a peer that takes none of its answers is closed after stall_timeout") {
  Options options = seconds();
  options.keepalive_interval = 0;
  options.idle_timeout = 0;
  SUBCASE("because the socket is full") {
    Line line(options);
    REQUIRE(line.exchange());
    line.transport->total = 0;
    line.peer.call(kUnary, framed("x"));
    REQUIRE(line.receive(line.peer.pull()));
    CHECK(line.connection->blocked());
    CHECK(line.tick(1));
    CHECK(line.tick(40));
    CHECK_FALSE(line.tick(42));
    CHECK(line.traffic.offenders.load() == 1);
  }
  SUBCASE("because its window is closed") {
    Line line(options, {0, false});
    line.peer.call(kUnary, framed("x"));
    REQUIRE(line.exchange());
    CHECK(line.connection->session().queued() > 0);
    CHECK_FALSE(line.connection->blocked());
    CHECK(line.tick(1));
    CHECK(line.tick(39));
    CHECK_FALSE(line.tick(42));
    line.peer.push(line.transport->take());
    CHECK(line.peer.goaway_error() == NGHTTP2_ENHANCE_YOUR_CALM);
  }
  SUBCASE("because its window is closed, and it sends pings to look alive") {
    Line line(options, {0, false});
    line.peer.call(kUnary, framed("x"));
    REQUIRE(line.exchange());
    bool alive = true;
    for (int second = 1; second < 50 && alive; ++second) {
      nghttp2_submit_ping(line.peer.raw(), NGHTTP2_FLAG_NONE, nullptr);
      REQUIRE(line.exchange());
      alive = line.tick(second);
      if (second < 40) CHECK(alive);
    }
    CHECK_FALSE(alive);
  }
}

TEST_CASE("a peer that reads slowly is not stalled, one that reads next to nothing is") {
  Options options = seconds();
  options.keepalive_interval = 0;
  options.idle_timeout = 0;
  const auto survives = [&](std::size_t step, bool by_window) {
    Line line(options, by_window ? PeerOptions{0, false} : PeerOptions{1 << 30, false});
    line.handler.act = [](Stream& stream, std::span<const std::byte>) {
      stream.session->send(stream, small_message(std::string(4 << 20, 'x')));
      stream.session->finish(stream, Status::ok());
    };
    REQUIRE(line.exchange());
    line.peer.allow(0, 1 << 30);
    REQUIRE(line.exchange());
    line.transport->total = by_window ? SIZE_MAX : 0;
    const std::int32_t id = line.peer.call(kUnary, framed("x"));
    REQUIRE(line.receive(line.peer.pull()));
    bool alive = true;
    for (int second = 10; second < 300 && alive; second += 30) {
      if (by_window) {
        line.peer.allow(id, static_cast<std::int32_t>(step));
        REQUIRE(line.exchange());
      } else {
        line.transport->total = step;
        line.transport->sent.clear();
        REQUIRE(line.connection->flush());
      }
      alive = line.tick(second);
    }
    return alive;
  };
  CHECK(survives(300 * 1024, true));
  CHECK(survives(300 * 1024, false));
  CHECK_FALSE(survives(1, true));
  CHECK_FALSE(survives(1, false));
}

TEST_CASE("what one turn works on is bounded, and what is left brings the next") {
  Line line;
  REQUIRE(line.exchange());
  for (int i = 0; i < 1000; ++i) line.peer.call(kUnary, framed(std::string(100, 'x')));
  const std::string burst = line.peer.pull();
  REQUIRE(burst.size() > 100'000);
  line.transport->incoming = burst;
  REQUIRE(line.turn());
  CHECK(line.handler.messages.size() > 10);
  CHECK(line.handler.messages.size() < 200);
  CHECK(line.transport->incoming.size() > 50'000);  // level-triggered: the loop comes again
  std::size_t turns = 1;
  for (; !line.transport->incoming.empty(); ++turns) REQUIRE(line.turn());
  CHECK(turns > 5);
  CHECK(line.handler.messages.size() == 1000);
}

TEST_CASE("a deadline ends a call whose answer the peer does not take") {
  Line line(seconds(), {0, false});
  const std::int32_t id = line.peer.call(kUnary, framed("x"), {{"grpc-timeout", "1S"}});
  REQUIRE(line.exchange());
  REQUIRE(line.deadlines.size() == 1);
  Stream& stream = *line.deadlines.begin()->second;
  line.deadlines.clear();
  stream.timer.reset();
  line.connection->session().expire(stream);
  CHECK(line.connection->flush());
  REQUIRE(line.exchange());
  CHECK(line.peer.reply(id).closed);
  CHECK(line.peer.reply(id).error == NGHTTP2_CANCEL);
  CHECK(line.connection->session().queued() == 0);
  CHECK(line.connection->session().buffered() == 0);
}

TEST_CASE("an answered call leaves no deadline behind") {
  Line line;
  const std::int32_t id = line.peer.call(kUnary, framed("x"), {{"grpc-timeout", "1S"}});
  REQUIRE(line.exchange());
  CHECK(line.peer.reply(id).status() == "0");
  CHECK(line.deadlines.empty());
}

TEST_CASE("a peer that makes answers and reads none of them is not let fill memory with refusals") {
  Options options = seconds();
  options.max_concurrent_streams = 10;
  Line line(options);
  line.transport->total = 64 * 1024;  // what a socket's buffers take
  bool alive = line.receive(std::string(NGHTTP2_CLIENT_MAGIC) + std::string("\0\0\0\4\0\0\0\0\0", 9));
  int sent = 0;
  for (std::uint32_t id = 1; alive && sent < 100'000; id += 2, ++sent) {
    // HEADERS, END_STREAM and END_HEADERS; POST, http, /, an authority (RFC 7541, appendix A).
    std::string frame("\0\0\6\1\5", 5);
    for (int shift = 24; shift >= 0; shift -= 8) frame += static_cast<char>(id >> shift);
    alive = line.receive(frame + std::string("\x83\x86\x84\x41\x01"
                                             "a",
                                             6));
  }
  CHECK_FALSE(alive);
  CHECK(sent < 40'000);
}

TEST_CASE("an answer that comes long after the last read does not find the connection stalled") {
  Options options = seconds();
  options.keepalive_interval = 0;
  options.body_timeout = 0;
  Line line(options, {10, false});
  line.handler.act = [](Stream& stream, std::span<const std::byte>) { ++stream.waiting; };
  const std::int32_t id = line.peer.call(kUnary, framed("x"));
  REQUIRE(line.exchange());
  for (int second = 1; second < 90; second += 10) REQUIRE(line.tick(second));
  Stream* stream = line.connection->session().find(id);
  REQUIRE(stream != nullptr);
  line.connection->session().send(*stream, small_message(std::string(100, 'a')));  // more than the window
  line.connection->session().finish(*stream, Status::ok());
  REQUIRE(line.connection->flush());
  CHECK(line.tick(91));
  CHECK(line.tick(120));
  CHECK_FALSE(line.tick(140));
}

TEST_CASE("a connection without calls is told to go after idle_timeout") {
  Options options = seconds();
  options.keepalive_interval = 0;
  Line line(options);
  line.peer.call(kUnary, framed("x"));
  REQUIRE(line.exchange());
  CHECK(line.tick(99));
  CHECK_FALSE(line.transport->ended);
  CHECK(line.tick(101));
  CHECK(line.transport->ended);
  line.peer.push(line.transport->take());
  CHECK(line.peer.goaways() == 1);
  CHECK(line.peer.goaway_error() == NGHTTP2_NO_ERROR);
  CHECK(line.traffic.offenders.load() == 0);
}

TEST_CASE("an open call is not idle") {
  Options options = seconds();
  options.keepalive_interval = 0;
  Line line(options);
  line.peer.open(kStreaming);
  REQUIRE(line.exchange());
  for (int second = 10; second < 1000; second += 50) REQUIRE(line.tick(second));
}

TEST_CASE("timeouts that are switched off do not fire") {
  Options options;
  options.idle_timeout = options.header_timeout = options.body_timeout = 0;
  options.keepalive_interval = options.keepalive_timeout = options.stall_timeout = 0;
  Line line(options, {0, false});
  line.peer.open(kUnary, framed("x").substr(0, 3));
  line.peer.call(kUnary, framed("x"));
  REQUIRE(line.exchange());
  CHECK(line.tick(1'000'000));
  Line silent(options);
  CHECK(silent.tick(1'000'000));
}

TEST_CASE("a drain gives notice, waits for the open call, and then closes") {
  Line line;
  const std::int32_t id = line.peer.open(kUnary, framed("x"));
  REQUIRE(line.exchange());
  line.connection->drain(line.start_ns);
  REQUIRE(line.connection->flush());
  REQUIRE(line.exchange());
  CHECK(line.peer.goaways() == 1);
  CHECK(line.peer.last_taken() == INT32_MAX);
  CHECK(line.tick(1));
  REQUIRE(line.exchange());
  CHECK(line.peer.goaways() == 2);
  CHECK(line.peer.last_taken() == id);
  CHECK_FALSE(line.transport->ended);
  line.peer.end(id);
  REQUIRE(line.exchange());
  CHECK(line.peer.reply(id).status() == "0");
  CHECK(line.transport->ended);
}

TEST_CASE("a connection that has said all reads on until the peer closes") {
  Line line;
  REQUIRE(line.exchange());
  line.connection->drain(line.start_ns);
  CHECK(line.tick(1));
  REQUIRE(line.transport->ended);
  CHECK(line.receive("what was under way"));
  CHECK(line.connection->flush());
  CHECK_FALSE(line.connection->blocked());
  line.transport->closed = true;
  CHECK_FALSE(line.receive("and the rest of it"));
}

TEST_CASE("a peer that never closes is not waited for") {
  Line line;
  REQUIRE(line.exchange());
  line.connection->drain(line.start_ns);
  CHECK(line.tick(1));
  REQUIRE(line.transport->ended);
  CHECK_FALSE(line.tick(3));
}

TEST_CASE("a drain ends streaming calls that have nothing to answer, and lets the others finish") {
  Line line;
  const std::int32_t idle = line.peer.open(kStreaming, framed("x"));
  const std::int32_t unary = line.peer.open(kUnary, framed("x"));
  const std::int32_t begun = line.peer.open(kStreaming, framed("xyz").substr(0, 6));
  REQUIRE(line.exchange());
  CHECK(line.peer.reply(idle).body == framed("re:x"));
  line.connection->drain(line.start_ns);
  CHECK(line.tick(1));
  REQUIRE(line.exchange());
  CHECK_FALSE(line.peer.reply(idle).closed);  // the next message may be under way
  CHECK(line.tick(3));
  REQUIRE(line.exchange());
  CHECK(line.peer.reply(idle).status() == "14");
  CHECK(line.peer.reply(idle).message() == "the server is stopping");
  CHECK_FALSE(line.peer.reply(unary).closed);
  CHECK_FALSE(line.peer.reply(begun).closed);
}

TEST_CASE("a drain of a connection without calls ends at once after the notice") {
  Line line;
  REQUIRE(line.exchange());
  line.connection->drain(line.start_ns);
  REQUIRE(line.connection->flush());
  CHECK(line.tick(1));
  line.peer.push(line.transport->take());
  CHECK(line.peer.goaways() == 2);
  CHECK(line.transport->ended);
}

TEST_CASE("a long backlog is handled in turns, and none of it is forgotten") {
  Line line;
  const std::int32_t id = line.peer.open(kStreaming);
  REQUIRE(line.exchange());
  std::string many;
  for (int i = 0; i < 500; ++i) many += framed(std::to_string(i));
  line.peer.say(id, many);
  line.peer.end(id);
  REQUIRE(line.receive(line.peer.pull()));
  CHECK(line.handler.messages.size() <= 64);
  CHECK(line.connection->blocked());  // comes back through the socket's readiness
  int turns = 0;
  while (line.connection->blocked()) {
    const std::size_t before = line.handler.messages.size();
    REQUIRE(line.connection->flush());
    CHECK(line.handler.messages.size() - before <= 32);
    REQUIRE(++turns < 100);
  }
  REQUIRE(line.exchange());
  CHECK(line.handler.messages.size() == 500);
  CHECK(line.peer.reply(id).status() == "0");
}

TEST_CASE("a peer that closes ends the connection") {
  Line line;
  line.peer.open(kStreaming);
  REQUIRE(line.exchange());
  line.transport->closed = true;
  CHECK_FALSE(line.connection->read(line.buffer));
}
