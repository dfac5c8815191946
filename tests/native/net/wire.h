// Wire: a Session and a Peer with nothing but memory between them, and a handler that writes down what it is
// told.
#pragma once

#include <doctest/doctest.h>

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "codec/grpc_message.h"
#include "net/session.h"
#include "net/transport.h"
#include "peer.h"

namespace penstock::net::testing {

inline std::string text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

inline Message small_message(std::string_view payload) {
  const std::string bytes = framed(payload);
  const auto view = std::as_bytes(std::span(bytes));
  return Message(std::vector<std::byte>(view.begin(), view.end()));
}

// A large message of pieces; counts itself in *alive while its memory is there.
inline Message held_message(std::string_view payload, std::size_t piece_bytes, int* alive) {
  HeldAnswerPtr held(std::make_unique<HeldAnswer>().release());
  const std::string bytes = framed(payload);
  const std::span<std::byte> memory = held->arena.uninitialised<std::byte>(bytes.size());
  std::ranges::copy(std::as_bytes(std::span(bytes)), memory.begin());
  const std::size_t count = (bytes.size() + piece_bytes - 1) / piece_bytes;
  const std::span<codec::Piece> pieces = held->arena.array<codec::Piece>(count);
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t at = i * piece_bytes;
    pieces[i] = {memory.subspan(at, std::min(piece_bytes, bytes.size() - at)), i % 2 == 1};
  }
  held->answer.pieces = pieces;
  held->answer.bytes = bytes.size();
  ++*alive;
  held->answer.execution.results.hold(alive, [](void* count_of) { --*static_cast<int*>(count_of); });
  return Message(std::move(held));
}

// A socket's stand-in: gives what was put in, takes as much as it is told to.
class FakeTransport final : public Transport {
 public:
  int fd() const noexcept override { return -1; }
  Moved read(std::span<std::byte> into) noexcept override {
    if (incoming.empty()) return {closed ? Io::kClosed : Io::kBlocked, 0};
    const std::size_t part = std::min(into.size(), incoming.size());
    std::memcpy(into.data(), incoming.data(), part);
    incoming.erase(0, part);
    return {Io::kDone, part};
  }
  Moved write(std::span<const iovec> from) noexcept override {
    if (closed) return {Io::kClosed, 0};
    std::size_t moved = 0;
    for (const iovec& vector : from) {
      const std::size_t part = std::min({vector.iov_len, per_write - moved, total - sent.size()});
      sent.append(static_cast<const char*>(vector.iov_base), part);
      moved += part;
      if (part < vector.iov_len) break;
    }
    ++writes;
    return moved == 0 ? Moved{Io::kBlocked, 0} : Moved{Io::kDone, moved};
  }
  void end() noexcept override { ended = true; }
  // What was sent since the last time.
  std::string take() {
    total = total == SIZE_MAX ? SIZE_MAX : total - sent.size();
    return std::exchange(sent, {});
  }

  std::string incoming;
  std::string sent;
  std::size_t per_write = SIZE_MAX;
  std::size_t total = SIZE_MAX;  // takes this much until take(), then blocks
  bool closed = false;
  bool ended = false;
  int writes = 0;
};

// Answers a unary call with "re:" and its message; a streaming one likewise, message by message. Tests
// replace `act`.
struct Recorder final : Handler {
  void on_message(Stream& stream, std::span<const std::byte> message) override {
    messages.emplace_back(stream.id, text(message));
    if (act) return act(stream, message);
    stream.session->send(stream, small_message("re:" + text(message)));
    if (!stream.method->takes_stream()) stream.session->finish(stream, Status::ok());
  }
  void on_half_close(Stream& stream) override {
    half_closed.push_back(stream.id);
    if (at_half_close) return at_half_close(stream);
    stream.session->finish(stream, Status::ok());
  }
  void on_closed(Stream& stream) noexcept override { closed.push_back(stream.id); }

  std::function<void(Stream&, std::span<const std::byte>)> act;
  std::function<void(Stream&)> at_half_close;
  std::vector<std::pair<std::int32_t, std::string>> messages;
  std::vector<std::int32_t> half_closed;
  std::vector<std::int32_t> closed;
};

inline constexpr const char* kUnary = "/inference.GRPCInferenceService/ModelInfer";
inline constexpr const char* kStreaming = "/inference.GRPCInferenceService/ModelStreamInfer";

struct Wire {
  explicit Wire(PeerOptions peer_options = {}, Options given = {})
      : options(std::move(given)),
        methods(options.bridged),
        budget(options.max_total_buffered_bytes),
        session(options, methods, handler, deadlines, traffic, budget, 1),
        peer(peer_options) {}

  // Each feed() sees memory of exactly its size that is gone afterwards, so that a sanitizer sees any later
  // use.
  bool feed(std::string_view bytes, std::size_t step = SIZE_MAX) {
    while (!bytes.empty()) {
      const std::string_view part = bytes.substr(0, step);
      bytes.remove_prefix(part.size());
      const std::unique_ptr<std::byte[]> buffer(new std::byte[part.size()]);
      std::memcpy(buffer.get(), part.data(), part.size());
      if (!session.feed({buffer.get(), part.size()}, now_ns)) return false;
      std::memset(buffer.get(), 0xDD, part.size());
    }
    return true;
  }

  // What the session has to say, through a transport that takes all of it.
  std::string sent() {
    for (;;) {
      REQUIRE(session.fill());
      CHECK(session.outbox().size() <= Outbox::kHigh + 32 * 1024);
      if (session.outbox().size() == 0) {
        session.pump();
        REQUIRE(session.fill());
        if (session.outbox().size() == 0) {
          session.end_turn();
          return transport.take();
        }
      }
      REQUIRE(session.outbox().flush(transport).state == Io::kDone);
    }
  }

  // Carries bytes both ways until nobody has more.
  void run(std::size_t step = SIZE_MAX) {
    for (;;) {
      const std::string up = peer.pull();
      REQUIRE(feed(up, step));
      const std::string down = sent();
      peer.push(down);
      if (up.empty() && down.empty()) return;
    }
  }

  // What holds whenever no call is open, whatever came before.
  void check_idle() {
    CHECK(session.open().empty());
    CHECK(session.queued() == 0);
    CHECK(session.buffered() == 0);
    session.end_turn();
    CHECK(budget.used() == 0);
    CHECK(session.outbox().size() == 0);
    CHECK(session.outbox().kept() == 0);
    CHECK(deadlines.empty());
    CHECK(traffic.open_streams.load() == 0);
    CHECK(handler.closed.size() == static_cast<std::size_t>(traffic.streams.load()));
    // The connection's window is whole again but for what HTTP/2 lets a receiver hold back (half of it).
    const std::size_t window = std::clamp<std::size_t>(options.max_buffered_bytes / 4, 65'535, 16 << 20);
    CHECK(peer.room(0) > static_cast<std::int32_t>(window / 2 - 1));
  }

  Options options;
  Methods methods;
  Recorder handler;
  Deadlines deadlines;
  Traffic traffic;
  Budget budget;
  Session session;
  Peer peer;
  FakeTransport transport;
  std::int64_t now_ns = 1'000'000'000;
};

}  // namespace penstock::net::testing
