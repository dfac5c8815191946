#include "net/connection.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>

#include "base/clock.h"

namespace penstock::net {
namespace {

// Reads in one turn; a peer that sends without end then lets the others have theirs.
constexpr int kReadsPerTurn = 4;
// A read's size while a large message comes in.
constexpr std::size_t kBulkBytes = 256 * 1024;
// Between the notice of a drain and its last word: calls sent before the notice arrived are still taken.
constexpr std::int64_t kDrainNoticeNs = 50'000'000;
// A drain waits for a streaming call that has nothing to answer as long as this after its last message.
constexpr std::int64_t kStreamGraceNs = 1'000'000'000;
// For the peer to close as well, once all is said.
constexpr std::int64_t kLingerNs = 1'000'000'000;

bool passed(std::int64_t since_ns, std::int64_t timeout_ns, std::int64_t now_ns) noexcept {
  return timeout_ns > 0 && now_ns - since_ns > timeout_ns;
}

}  // namespace

Connection::Connection(std::unique_ptr<Transport> transport, const Options& options, const Methods& methods,
                       Handler& handler, Deadlines& deadlines, Traffic& traffic, Budget& budget,
                       std::uint64_t id)
    : options_(options),
      traffic_(traffic),
      transport_(std::move(transport)),
      session_(options, methods, handler, deadlines, traffic, budget, id),
      opened_ns_(monotonic_ns()),
      read_ns_(opened_ns_),
      busy_ns_(opened_ns_) {}

bool Connection::read(std::span<std::byte> buffer) {
  if (linger_ns_ != 0) return read_on(buffer);
  for (int turn = 0; turn < kReadsPerTurn; ++turn) {
    const std::span<std::byte> room = buffer.first(std::min(buffer.size(), bulk_ ? kBulkBytes : kTurnBytes));
    const Moved moved = transport_->read(room);
    if (moved.state == Io::kBlocked) break;
    if (moved.state == Io::kClosed) return false;
    Traffic::add(traffic_.bytes_in, static_cast<std::int64_t>(moved.bytes));
    read_ns_ = monotonic_ns();
    taken_ = moved.bytes;
    const std::uint64_t handled = session_.handled();
    const std::size_t first = std::min(first_bytes_.size() - first_size_, moved.bytes);
    if (first > 0) {
      std::memcpy(first_bytes_.data() + first_size_, buffer.data(), first);
      first_size_ += first;
    }
    if (!session_.feed(buffer.first(moved.bytes), read_ns_)) return refuse_preface();
    if (session_.flooded()) return calm_down();
    bulk_ = session_.handled() == handled;
    // The calls that came are answered before more is read, and other connections have their turn.
    if (!bulk_ || moved.bytes < room.size()) break;
  }
  return true;
}

// Closing a socket with unread bytes resets the connection, and the reset takes away answers that the peer
// has not read yet. So the end is said, and what still comes is read, until the peer closes too.
bool Connection::linger() {
  linger_ns_ = monotonic_ns();
  blocked_ = false;
  transport_->end();
  return true;
}

bool Connection::read_on(std::span<std::byte> buffer) {
  for (int turn = 0; turn < kReadsPerTurn; ++turn) {
    const Moved moved = transport_->read(buffer);
    if (moved.state == Io::kBlocked) break;
    if (moved.state == Io::kClosed) return false;
    Traffic::add(traffic_.bytes_in, static_cast<std::int64_t>(moved.bytes));
  }
  return true;
}

// The session cannot go on: the peer's first bytes were no HTTP/2 preface, or nghttp2 failed.
bool Connection::refuse_preface() {
  Traffic::add(traffic_.offenders, 1);
  constexpr std::string_view kHttp2 = "PRI * HTTP/2.0";
  const std::string_view first(first_bytes_.data(), first_size_);
  const bool is_text = std::ranges::all_of(first, [](char c) { return c >= ' ' || c == '\r' || c == '\n'; });
  if (!session_.settled() && is_text && !first.empty() && !first.starts_with(kHttp2)) {
    constexpr std::string_view kAnswer =
        "HTTP/1.1 505 HTTP Version Not Supported\r\ncontent-type: text/plain\r\ncontent-length: 62\r\n"
        "connection: close\r\n\r\n"
        "This port speaks gRPC, over HTTP/2 with prior knowledge (h2c).";
    const iovec vector{const_cast<char*>(kAnswer.data()), kAnswer.size()};  // written from, never to
    transport_->write({&vector, 1});
    return linger();
  }
  return false;
}

// What the peer does is told to it, as far as its socket takes it, and ends here.
bool Connection::calm_down() {
  Traffic::add(traffic_.offenders, 1);
  session_.terminate(NGHTTP2_ENHANCE_YOUR_CALM);
  flush();
  return false;
}

bool Connection::flush() {
  if (linger_ns_ != 0) return true;
  const bool alive = send();
  session_.end_turn();
  return alive;
}

bool Connection::send() {
  bool pumped = false;
  for (;;) {
    if (!session_.fill()) return false;
    Outbox& outbox = session_.outbox();
    if (outbox.size() == 0) {
      // A second time only in the loop's next turn, which a socket that takes more brings at once: a backlog
      // may be long.
      blocked_ = pumped;
      if (pumped || !session_.pump()) break;
      pumped = true;
      continue;
    }
    const Moved moved = outbox.flush(*transport_);
    Traffic::add(traffic_.bytes_out, static_cast<std::int64_t>(moved.bytes));
    if (moved.state == Io::kClosed) return false;
    if (moved.state == Io::kBlocked) {
      blocked_ = true;
      return true;
    }
  }
  if (session_.done() || (session_.draining() && session_.open().empty())) return linger();
  return true;
}

bool Connection::finish_stalled_requests(std::int64_t now_ns) {
  bool any = false;
  for (Stream* stream : session_.open()) {
    if (stream->half_closed || stream->finished || stream->method == nullptr ||
        stream->method->takes_stream()) {
      continue;
    }
    if (!passed(stream->heard_ns, options_.body_timeout, now_ns)) continue;
    session_.finish(*stream,
                    {Code::kDeadlineExceeded, "no byte of the request came for " +
                                                  std::to_string(options_.body_timeout / 1'000'000'000) +
                                                  " s (limits.body_timeout_s)"});
    any = true;
  }
  return any;
}

bool Connection::finish_idle_streams(std::int64_t now_ns) {
  bool any = false;
  for (Stream* stream : session_.open()) {
    if (stream->finished || stream->method == nullptr || !stream->method->takes_stream()) continue;
    if (stream->waiting > 0 || !stream->body.empty() || !stream->backlog.empty() || !stream->queue.empty()) {
      continue;
    }
    if (!passed(std::max(stream->heard_ns, drain_ns_), kStreamGraceNs, now_ns)) continue;
    session_.finish(*stream, {Code::kUnavailable, Session::kStopping});
    any = true;
  }
  return any;
}

bool Connection::tick(std::int64_t now_ns) {
  if (linger_ns_ != 0) return !passed(linger_ns_, kLingerNs, now_ns);
  if (!session_.open().empty()) busy_ns_ = now_ns;

  if (!session_.settled() && passed(opened_ns_, options_.header_timeout, now_ns)) {
    Traffic::add(traffic_.offenders, 1);
    return false;
  }
  if (session_.headers_since() != 0 && passed(session_.headers_since(), options_.header_timeout, now_ns)) {
    return calm_down();
  }
  // Written bytes count control frames, too: a peer whose window is shut is seen by the other.
  const bool socket_stalls =
      socket_.stalled(session_.outbox().written(), session_.outbox().size(), options_.stall_timeout, now_ns);
  const bool window_stalls =
      window_.stalled(session_.framed(), session_.queued(), options_.stall_timeout, now_ns);
  if (socket_stalls || window_stalls) {
    return calm_down();
  }
  bool say = finish_stalled_requests(now_ns);
  if (drain_ns_ != 0 && finish_idle_streams(now_ns)) say = true;

  if (session_.ping_sent() != 0 && read_ns_ < session_.ping_sent()) {
    if (passed(session_.ping_sent(), options_.keepalive_timeout, now_ns)) return false;
  } else if (passed(read_ns_, options_.keepalive_interval, now_ns)) {
    // Also when an earlier one was never answered, but something else came since.
    session_.ping(now_ns);
    say = true;
  }
  if (passed(busy_ns_, options_.idle_timeout, now_ns) && drain_ns_ == 0) {
    session_.drain();
    say = true;
  }
  if (drain_ns_ != 0 && now_ns - drain_ns_ >= kDrainNoticeNs && !session_.draining()) {
    session_.drain();
    say = true;
  }
  return !say || flush();
}

void Connection::drain(std::int64_t now_ns) {
  if (drain_ns_ != 0 || linger_ns_ != 0) return;
  drain_ns_ = now_ns;
  session_.drain_notice();
}

void Connection::cut_off() {
  if (linger_ns_ != 0) return;
  for (Stream* stream : session_.open()) {
    session_.finish(*stream, {Code::kUnavailable, "the server stopped before the call was complete"});
  }
  session_.drain();
  flush();
}

}  // namespace penstock::net
