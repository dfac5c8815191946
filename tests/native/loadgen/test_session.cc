// A Session against nghttp2's server side, in memory.
#include <doctest/doctest.h>

#include <deque>
#include <functional>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "allocations.h"
#include "loadgen/session.h"
#include "peer.h"

using namespace penstock::loadgen;
using namespace penstock::loadgen::testing;

namespace {

const HeaderBlock::Fields kFields{{":method", "POST"},
                                  {":scheme", "http"},
                                  {":path", "/test/Echo"},
                                  {":authority", "localhost"},
                                  {"content-type", "application/grpc"},
                                  {"te", "trailers"}};

class Endings final : public Ended {
 public:
  void on_ended(Call& call, std::uint32_t error_code) override {
    ended.emplace_back(&call, error_code);
    if (then) then(call);
  }
  std::vector<std::pair<Call*, std::uint32_t>> ended;
  std::function<void(Call&)> then;
};

// A session and its peer, and what goes between them.
struct Pair {
  explicit Pair(std::function<void(Peer&, const Asked&)> on_request, const Peer::Settings& settings = {},
                const HeaderBlock::Fields& fields = kFields)
      : headers(fields), peer(std::move(on_request), settings) {}

  // Until neither says more; what the peer says comes in pieces of `cut` bytes.
  void talk(std::size_t cut = SIZE_MAX) {
    for (;;) {
      std::string out;
      session.pull(out, 1 << 16);
      peer.push(out);
      const std::string in = peer.pull();
      if (out.empty() && in.empty()) return;
      for (std::string_view left = in; !left.empty();) {
        rest.append(left.substr(0, cut));
        left.remove_prefix(std::min(cut, left.size()));
        rest.erase(0, session.push({reinterpret_cast<const std::uint8_t*>(rest.data()), rest.size()}));
      }
    }
  }
  Call& ask(const Body& body) {
    Call& call = calls.emplace_back();
    call.body = &body;
    call.answer.reset(body);
    CHECK(session.submit(call));
    return call;
  }

  HeaderBlock headers;
  Endings endings;
  Session session{headers, endings};
  Peer peer;
  std::deque<Call> calls;
  std::string rest;
};

void echo(Peer& peer, const Asked& asked) { peer.answer(asked.stream, {.body = asked.body}); }

Body echoed(std::string_view message) { return {framed(message), {framed(message)}}; }

}  // namespace

TEST_CASE("requests arrive as they are, and answers come back to their calls, however the bytes are cut") {
  for (const std::size_t cut : {std::size_t{1}, std::size_t{10}, std::size_t{4096}, SIZE_MAX}) {
    std::vector<Headers> seen;
    Pair pair([&](Peer& peer, const Asked& asked) {
      seen.push_back(asked.headers);
      echo(peer, asked);
    });
    std::vector<Body> bodies;
    for (std::size_t i = 0; i < 50; ++i)
      bodies.push_back(echoed(std::string(i * 997 % 3000, static_cast<char>('a' + i % 26))));
    for (int round = 0; round < 3; ++round) {
      for (const Body& body : bodies) pair.ask(body);
      pair.talk(cut);
    }
    REQUIRE(pair.endings.ended.size() == 150);
    for (const auto& [call, code] : pair.endings.ended) {
      CHECK(code == 0);
      CHECK(call->answer.http_status == 200);
      CHECK(call->answer.grpc_status == 0);
      CHECK(call->answer.which() == 0);
    }
    CHECK(seen.size() == 150);
    for (const Headers& headers : seen) CHECK(headers == kFields);
  }
}

TEST_CASE("bodies larger than frames and windows go out as the peer opens them, and large answers come in") {
  Pair pair(echo, {{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 1000}});
  const Body large = echoed(std::string(300'000, 'x'));
  const Body small = echoed("small");
  pair.talk();
  pair.ask(large);
  for (int i = 0; i < 20; ++i) pair.ask(small);
  pair.ask(large);
  pair.talk();
  REQUIRE(pair.endings.ended.size() == 22);
  for (const auto& [call, code] : pair.endings.ended) CHECK((code == 0 && call->answer.which() == 0));
}

TEST_CASE("a peer's stream limit holds calls back, and settings may change on the way") {
  std::size_t open = 0;
  std::vector<std::int32_t> held;
  Pair pair(
      [&](Peer&, const Asked& asked) {
        held.push_back(asked.stream);
        open = std::max(open, held.size());
      },
      {{NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 3}, {NGHTTP2_SETTINGS_HEADER_TABLE_SIZE, 0}});
  pair.talk();
  const Body body{framed("x"), {}};
  for (int i = 0; i < 10; ++i) pair.ask(body);
  pair.talk();
  CHECK(held.size() == 3);
  pair.peer.set({{NGHTTP2_SETTINGS_HEADER_TABLE_SIZE, 4096}, {NGHTTP2_SETTINGS_MAX_FRAME_SIZE, 20'000}});
  for (std::size_t i = 0; i < 10; ++i) {
    pair.peer.answer(held[0], {.body = framed("y")});
    held.erase(held.begin());
    pair.talk();
  }
  CHECK(pair.endings.ended.size() == 10);
  CHECK(open == 3);
}

TEST_CASE("what a server says besides an answer is kept: statuses, messages, resets") {
  std::map<int, Reply> replies{{0, {.body = "", .grpc_status = "8", .grpc_message = "full%20up"}},
                               {1, {.body = "", .grpc_status = "", .http_status = "503"}},
                               {2, {.body = framed("a") + "b"}}};
  int number = 0;
  Pair pair([&](Peer& peer, const Asked& asked) {
    if (number < 3)
      peer.answer(asked.stream, replies[number]);
    else
      peer.reset(asked.stream, number == 3 ? NGHTTP2_ENHANCE_YOUR_CALM : NGHTTP2_NO_ERROR);
    ++number;
  });
  const Body body{framed("x"), {}};
  for (int i = 0; i < 5; ++i) pair.ask(body);
  pair.talk();
  REQUIRE(pair.endings.ended.size() == 5);
  CHECK(pair.calls[0].answer.grpc_status == 8);
  CHECK(pair.calls[0].answer.grpc_message == "full%20up");
  CHECK(pair.calls[1].answer.http_status == 503);
  CHECK(pair.calls[1].answer.grpc_status == Answer::kNone);
  CHECK_FALSE(pair.calls[2].answer.whole());
  const std::map<Call*, std::uint32_t> codes(pair.endings.ended.begin(), pair.endings.ended.end());
  CHECK(codes.at(&pair.calls[2]) == 0);
  CHECK(codes.at(&pair.calls[3]) == NGHTTP2_ENHANCE_YOUR_CALM);
  CHECK(codes.at(&pair.calls[4]) == NGHTTP2_CANCEL);
}

TEST_CASE("header blocks larger than a frame and than the table go both ways") {
  HeaderBlock::Fields fields = kFields;
  for (int i = 0; i < 100; ++i) fields.emplace_back("x-" + std::to_string(i), std::string(300, 'v'));
  std::vector<Headers> seen;
  Pair pair(
      [&](Peer& peer, const Asked& asked) {
        seen.push_back(asked.headers);
        peer.answer(asked.stream,
                    {.body = "", .grpc_status = "13", .grpc_message = std::string(40'000, 'm')});
      },
      {}, fields);
  const Body body{framed("x"), {}};
  for (int i = 0; i < 3; ++i) pair.ask(body);
  pair.talk(1000);
  CHECK(seen == std::vector<Headers>(3, fields));
  REQUIRE(pair.endings.ended.size() == 3);
  for (const Call& call : pair.calls) CHECK(call.answer.grpc_message == std::string(40'000, 'm'));
}

TEST_CASE("a call may be submitted again when it has ended, from within") {
  Pair pair(echo);
  const Body body = echoed("again");
  int left = 1000;
  pair.endings.then = [&](Call& call) {
    REQUIRE(call.answer.which() == 0);
    call.answer.reset(body);
    if (--left > 0) CHECK(pair.session.submit(call));
  };
  for (int i = 0; i < 4; ++i) pair.ask(body);
  pair.talk();
  CHECK(left <= 0);
}

TEST_CASE("a server that goes away ends what it will not answer, and takes no more") {
  std::vector<std::int32_t> asked_streams;
  Pair pair([&](Peer&, const Asked& asked) { asked_streams.push_back(asked.stream); },
            {{NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 4}});
  pair.talk();
  const Body body{framed("x"), {}};
  for (int i = 0; i < 6; ++i) pair.ask(body);
  pair.talk();
  REQUIRE(asked_streams.size() == 4);
  pair.peer.go_away(asked_streams[1], NGHTTP2_NO_ERROR);
  pair.talk();
  CHECK(pair.endings.ended.size() == 4);  // two that it did not take, two that were never sent
  for (const auto& [call, code] : pair.endings.ended) CHECK(code == NGHTTP2_REFUSED_STREAM);
  pair.peer.answer(asked_streams[0], {.body = framed("y")});
  pair.talk();
  CHECK(pair.endings.ended.back().second == 0);
  CHECK(pair.endings.ended.back().first == &pair.calls[0]);
  CHECK_FALSE(pair.session.submit(pair.calls[0]));
  pair.session.abandon();
  CHECK(pair.endings.ended.size() == 6);
}

TEST_CASE("a call is cancelled wherever it stands, and what comes of it later is passed over") {
  Pair pair(echo, {{NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 2}, {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 10}});
  pair.talk();
  const Body small = echoed("x");
  const Body large{framed(std::string(1000, 'y')), {}};
  Call& half_sent = pair.ask(large);
  Call& whole = pair.ask(small);
  Call& queued = pair.ask(small);
  Call& after = pair.ask(small);
  std::string out;
  pair.session.pull(out, 1 << 16);
  pair.peer.push(out);
  for (Call* call : {&queued, &half_sent, &whole}) pair.session.cancel(*call);
  pair.talk();
  REQUIRE(pair.endings.ended.size() == 1);
  CHECK(pair.endings.ended[0] == std::pair<Call*, std::uint32_t>{&after, NGHTTP2_NO_ERROR});
  CHECK(after.answer.which() == 0);
  CHECK(pair.peer.resets() == 2);
  CHECK(pair.session.idle());
}

TEST_CASE("what was not sent when the connection ends is told from what was") {
  Pair pair([](Peer&, const Asked&) {}, {{NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 1}});
  pair.talk();
  const Body body = echoed("x");
  Call& sent = pair.ask(body);
  Call& queued = pair.ask(body);
  pair.talk();
  pair.session.abandon();
  REQUIRE(pair.endings.ended.size() == 2);
  CHECK(pair.endings.ended[0] == std::pair<Call*, std::uint32_t>{&sent, NGHTTP2_INTERNAL_ERROR});
  CHECK(pair.endings.ended[1] == std::pair<Call*, std::uint32_t>{&queued, NGHTTP2_REFUSED_STREAM});
  CHECK(queued.stream == 0);
}

TEST_CASE("pings are answered, and early answers stop the request") {
  Pair pair(echo, {{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 10}});
  pair.talk();
  pair.peer.ping();
  pair.talk();
  CHECK(pair.peer.acknowledged_pings() == 1);
  const Body body{framed(std::string(1000, 'x')), {}};
  pair.ask(body);
  std::string out;
  pair.session.pull(out, 1 << 16);
  pair.peer.push(out);
  pair.peer.answer(1, {.body = "", .grpc_status = "3"});
  pair.talk();
  REQUIRE(pair.endings.ended.size() == 1);
  CHECK(pair.calls[0].answer.grpc_status == 3);
  CHECK(pair.peer.resets() == 1);
}

TEST_CASE(
    "what is no HTTP/2 is refused with a reason, and nothing that a peer says breaks more than its "
    "connection") {
  const auto push = [](Session& session, std::string_view bytes) {
    return session.push({reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()});
  };
  {
    Pair pair(echo);
    CHECK_THROWS_WITH_AS(push(pair.session, "HTTP/1.1 400 Bad Request\r\n"),
                         "the peer does not speak HTTP/2 in clear text", PeerError);
  }
  std::mt19937_64 random(11);
  for (int round = 0; round < 3000; ++round) {
    std::vector<std::string> said;
    Pair pair(echo);
    const Body body = echoed(std::string(random() % 200, 'x'));
    for (int i = 0; i < 3; ++i) pair.ask(body);
    std::string out;
    pair.session.pull(out, 1 << 16);
    pair.peer.push(out);
    std::string in = pair.peer.pull();
    for (std::uint64_t flips = 1 + random() % 4; flips > 0; --flips)
      in[random() % in.size()] ^= static_cast<char>(1U << (random() % 8));
    if (random() % 4 == 0) in.resize(random() % in.size());
    try {
      push(pair.session, in);
    } catch (const PeerError&) {
    }
    pair.session.abandon();
    CHECK(pair.endings.ended.size() == 3);  // each call once
  }
}

TEST_CASE("a peer that asks for more acknowledgements than it takes is refused before it costs memory") {
  Pair pair(echo);
  pair.talk();
  std::string flood;
  for (int i = 0; i < 10'000; ++i) {
    put_frame_header(flood, {8, NGHTTP2_PING, 0, 0});
    flood += "12345678";
  }
  const std::span bytes(reinterpret_cast<const std::uint8_t*>(flood.data()), flood.size());
  pair.session.push(bytes);
  std::string out;
  pair.session.pull(out, 1 << 16);
  CHECK(out.size() == flood.size());
  CHECK_THROWS_AS(for (int i = 0; i < 100; ++i) pair.session.push(bytes), PeerError);
}

TEST_CASE("a warm session allocates nothing for a call") {
  Pair pair(echo);
  const Body body = echoed(std::string(500, 'x'));
  std::vector<std::uint8_t> in;
  std::string out;
  std::int64_t taken = 0;
  const auto round = [&] {
    pair.endings.ended.clear();
    std::int64_t before = penstock::testing::allocations();
    for (Call& call : pair.calls) {
      call.answer.reset(body);
      pair.session.submit(call);
    }
    out.clear();
    pair.session.pull(out, 1 << 20);
    taken += penstock::testing::allocations() - before;
    pair.peer.push(out);
    const std::string answered = pair.peer.pull();
    before = penstock::testing::allocations();
    pair.session.push({reinterpret_cast<const std::uint8_t*>(answered.data()), answered.size()});
    taken += penstock::testing::allocations() - before;
    return pair.endings.ended.size();
  };
  for (int i = 0; i < 16; ++i) pair.ask(body);
  pair.talk();
  for (int i = 0; i < 20; ++i) round();
  taken = 0;
  std::size_t ended = 0;
  for (int i = 0; i < 200; ++i) ended += round();
  CHECK(ended == 3200);
  CHECK(taken == 0);
}
