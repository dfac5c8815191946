// The way in: request headers, and messages out of DATA frames.
#include <algorithm>
#include <functional>
#include <string>
#include <utility>

#include "codec/grpc_message.h"
#include "net/session.h"

namespace penstock::net {
namespace {

// Answers that a streaming call may have waiting before its next message is looked at.
constexpr std::size_t kQueueLimit = 32;
// Kept of a path: streams that are used again keep its room.
constexpr std::size_t kMaxPathBytes = 256;

bool is_grpc_content(std::string_view type) noexcept {
  constexpr std::string_view kGrpc = "application/grpc";
  if (!type.starts_with(kGrpc)) return false;
  type.remove_prefix(kGrpc.size());
  return type.empty() || type.starts_with(';') || type == "+proto" || type.starts_with("+proto;");
}

}  // namespace

void Session::take_header(Stream& stream, std::string_view name, std::string_view value) {
  if (name == ":path") {
    stream.path.assign(value.substr(0, kMaxPathBytes));  // no method's path is as long
  } else if (name == ":method") {
    stream.is_post = value == "POST";
  } else if (name == "content-type") {
    stream.is_grpc = is_grpc_content(value);
  } else if (name == "grpc-timeout") {
    const std::optional<std::int64_t> timeout = codec::parse_timeout(value);
    stream.bad_timeout = !timeout;
    if (timeout && *timeout < kNoDeadline - now_ns_) stream.deadline_ns = now_ns_ + *timeout;
  } else if (name == "grpc-encoding") {
    stream.names_encoding = value != "identity";
  }
}

void Session::end_headers(Stream& stream) {
  if (stream.header_bytes > kMaxHeaderBytes) {
    return finish(stream, {Code::kResourceExhausted, "the request's headers are " +
                                                         std::to_string(stream.header_bytes) +
                                                         " bytes, counted as in RFC 9113, 6.5.2; at most " +
                                                         std::to_string(kMaxHeaderBytes) + " are taken"});
  }
  if (!stream.is_post) return reject(stream, "405", {Code::kInternal, "gRPC calls are POST"});
  if (!stream.is_grpc) {
    return reject(
        stream, "415",
        invalid_argument("gRPC calls have content-type application/grpc, or application/grpc+proto"));
  }
  stream.method = methods_.find(stream.path);
  if (stream.method == nullptr) {
    return finish(stream, {Code::kUnimplemented, "this server has no method " + stream.path.substr(0, 200)});
  }
  if (stream.bad_timeout) {
    return finish(stream, invalid_argument("grpc-timeout is malformed; up to 8 digits and one of H M S m u n "
                                           "are expected"));
  }
  if (over_limit()) return refuse_over_limit(stream);
  if (stream.deadline_ns != kNoDeadline) dated_.push_back(stream.id);
}

bool Session::account(Stream& stream, std::ptrdiff_t change) noexcept {
  const auto amount = static_cast<std::size_t>(change);  // wraps as intended where negative
  stream.buffered += amount;
  buffered_ += amount;
  return change <= 0 || !over_limit();
}

void Session::refuse_over_limit(Stream& stream) {
  const bool alone = buffered() > options_.max_buffered_bytes;
  finish(
      stream,
      {Code::kResourceExhausted,
       std::string(alone ? "this connection's" : "all connections'") +
           " unfinished requests and unread answers hold " +
           std::to_string(alone ? buffered() : static_cast<std::size_t>(budget_.used())) +
           " bytes; at most " + std::to_string(alone ? options_.max_buffered_bytes : budget_.limit()) +
           (alone ? " are held (limits.max_buffered_bytes). Read the answers, or send less at once"
                  : " are held (limits.max_total_buffered_bytes). Try again later, or send less at once")});
}

bool Session::paused(const Stream& stream) const noexcept {
  if (!stream.method->takes_stream()) return false;
  // A stream that has answers waiting goes on once the peer read them.
  return stream.waiting > 0 || stream.queue.size() >= kQueueLimit || (over_limit() && !stream.queue.empty());
}

void Session::take_data(Stream& stream, std::span<const std::byte> data) {
  stream.heard_ns = now_ns_;
  stream.arrived_ns = now_ns_;
  std::size_t taken = data.size();
  if (!stream.finished && stream.method != nullptr) {
    taken = stream.backlog.empty() ? take_messages(stream, data) : 0;
    if (taken < data.size()) {
      // Not given back to the peer's window until it is handled: the window bounds the backlog.
      if (stream.backlog.empty()) paused_.push_back(stream.id);
      const std::span<const std::byte> rest = data.subspan(taken);
      stream.backlog.insert(stream.backlog.end(), rest.begin(), rest.end());
      account(stream, static_cast<std::ptrdiff_t>(rest.size()));
      // A peer that is slow to read is held back by its window, which is a part of its own limit; what all
      // peers together may hold has no such bound.
      if (share_.exceeded(buffered())) refuse_over_limit(stream);
    }
  }
  submitted(nghttp2_session_consume(session_.get(), stream.id, taken));
}

// Handles messages until the data ends or the stream pauses; the bytes taken. All of them when the call is
// over.
std::size_t Session::take_messages(Stream& stream, std::span<const std::byte> data) {
  std::size_t taken = 0;
  while (taken < data.size()) {
    if (stream.finished) return data.size();
    if (paused(stream)) return taken;
    if (!stream.method->takes_stream() && stream.messages > 0) {
      deliver(stream, {}, false);  // refused as a second message
      return data.size();
    }
    const std::span<const std::byte> rest = data.subspan(taken);
    std::vector<std::byte>& body = stream.body;
    std::size_t length = 0;
    if (body.empty() && rest.size() >= codec::kPrefixBytes) {
      if (!check_prefix(stream, rest.first<codec::kPrefixBytes>(), &length)) return data.size();
      if (rest.size() - codec::kPrefixBytes >= length) {
        taken += codec::kPrefixBytes + length;
        deliver(stream, rest.subspan(codec::kPrefixBytes, length), true);
        continue;
      }
    }
    // Spread over several frames: put together in `body`.
    std::size_t want = codec::kPrefixBytes;
    if (body.size() >= codec::kPrefixBytes) {
      if (!check_prefix(stream, std::span(body).first<codec::kPrefixBytes>(), &length)) return data.size();
      want += length;
    } else if (body.empty() && rest.size() >= codec::kPrefixBytes) {
      want += length;
    }
    const std::size_t part = std::min(want - body.size(), rest.size());
    // Grows with what came, not with what was announced, and not beyond that.
    if (body.capacity() < body.size() + part) {
      body.reserve(std::max(body.size() + part, std::min(want, 2 * body.size())));
    }
    body.insert(body.end(), rest.begin(), rest.begin() + static_cast<std::ptrdiff_t>(part));
    taken += part;
    if (!account(stream, static_cast<std::ptrdiff_t>(part))) {
      refuse_over_limit(stream);
      return data.size();
    }
    if (body.size() < codec::kPrefixBytes) continue;
    if (!check_prefix(stream, std::span(body).first<codec::kPrefixBytes>(), &length)) return data.size();
    if (body.size() < codec::kPrefixBytes + length) continue;
    deliver(stream, std::span(body).subspan(codec::kPrefixBytes), false);
    if (stream.method->takes_stream()) {
      account(stream, -static_cast<std::ptrdiff_t>(body.size()));
      body.clear();
    }
  }
  return taken;
}

bool Session::check_prefix(Stream& stream, std::span<const std::byte, 5> prefix, std::size_t* length) {
  const codec::MessagePrefix read = codec::read_prefix(prefix);
  if (read.flag == 1 && stream.names_encoding) {
    finish(stream,
           {Code::kUnimplemented,
            "the message is compressed; this server takes uncompressed messages (grpc-encoding: identity)"});
    return false;
  }
  if (read.flag != 0) {
    finish(stream, {Code::kInternal,
                    read.flag == 1 ? "the message's compressed flag is set, but no grpc-encoding was named"
                                   : "the message's compressed flag is " + std::to_string(read.flag) +
                                         "; 0 or 1 is expected"});
    return false;
  }
  if (read.length > options_.max_message_bytes) {
    finish(stream,
           {Code::kResourceExhausted,
            "a message of " + std::to_string(read.length) + " bytes was announced; at most " +
                std::to_string(options_.max_message_bytes) + " are taken (limits.max_message_bytes)"});
    return false;
  }
  *length = read.length;
  return true;
}

void Session::deliver(Stream& stream, std::span<const std::byte> message, bool in_receive_buffer) {
  ++stream.messages;
  if (stream.method->takes_stream()) {
    if (over_limit()) return refuse_over_limit(stream);
    ++handled_;
    return handler_.on_message(stream, message);
  }
  if (stream.messages > 1) {
    return finish(stream, {Code::kInternal, stream.path + " takes one message; a second one came"});
  }
  stream.view = message;
  stream.view_is_borrowed = in_receive_buffer;
  if (in_receive_buffer) viewing_.push_back(stream.id);
}

void Session::half_close(Stream& stream) {
  stream.half_closed = true;
  if (stream.finished || stream.method == nullptr) return;
  if (stream.method->takes_stream()) return settle_half_close(stream);
  if (stream.messages == 0) {
    return finish(stream,
                  {Code::kInternal, stream.body.empty() ? stream.path + " takes one message; none came"
                                                        : "the request ended within a message, after " +
                                                              std::to_string(stream.body.size()) + " bytes"});
  }
  if (over_limit()) return refuse_over_limit(stream);
  ++handled_;
  handler_.on_message(stream, stream.view);
  stream.view = {};
  stream.view_is_borrowed = false;
  if (stream.waiting == 0) drop_request(stream);
}

// Not needed while the peer takes its time to read the answer.
void Session::drop_request(Stream& stream) noexcept {
  if (stream.body.capacity() <= kSpareBody) return;
  account(stream, -static_cast<std::ptrdiff_t>(stream.body.size()));
  std::vector<std::byte>().swap(stream.body);
}

std::vector<std::byte> Session::keep(Stream& stream, std::span<const std::byte> message, std::size_t* skip) {
  std::vector<std::byte>& body = stream.body;
  const std::less_equal<const std::byte*> not_after;
  if (!message.empty() && not_after(body.data(), message.data()) &&
      not_after(message.data() + message.size(), body.data() + body.size())) {
    *skip = static_cast<std::size_t>(message.data() - body.data());
    return std::move(body);  // charged for already
  }
  *skip = 0;
  std::vector<std::byte> copy(message.begin(), message.end());
  account(stream, static_cast<std::ptrdiff_t>(copy.size()));
  return copy;
}

void Session::date(Stream& stream, std::int64_t deadline_ns) {
  if (deadline_ns >= stream.deadline_ns) return;
  if (stream.timer) {
    deadlines_.erase(*stream.timer);
    stream.timer.reset();
  }
  stream.deadline_ns = deadline_ns;
  dated_.push_back(stream.id);
}

void Session::settle_half_close(Stream& stream) {
  if (!stream.half_closed || stream.finished || !stream.backlog.empty() || stream.waiting > 0) return;
  if (!stream.body.empty()) {
    return finish(stream, {Code::kInternal, "the stream ended within a message, after " +
                                                std::to_string(stream.body.size()) + " bytes"});
  }
  handler_.on_half_close(stream);
}

// The receive buffer is about to be used again: what is still needed of it moves to the streams.
void Session::settle_views() {
  for (const std::int32_t id : viewing_) {
    Stream* stream = find(id);
    if (stream == nullptr || !stream->view_is_borrowed || stream->finished) continue;
    stream->body.assign(stream->view.begin(), stream->view.end());
    stream->view = stream->body;
    stream->view_is_borrowed = false;
    account(*stream, static_cast<std::ptrdiff_t>(stream->body.size()));
  }
  viewing_.clear();
}

// Whether all of it was handled, or is of no use any more.
bool Session::take_backlog(Stream& stream) {
  std::vector<std::byte>& backlog = stream.backlog;
  if (stream.finished || backlog.empty()) return true;
  stream.arrived_ns = monotonic_ns();
  const std::size_t taken = take_messages(stream, std::span(backlog).subspan(stream.backlog_taken));
  stream.backlog_taken += taken;
  submitted(nghttp2_session_consume(session_.get(), stream.id, taken));
  // Not each time: a backlog of many small messages would be moved once for each of them.
  if (stream.backlog_taken >= backlog.size() / 2) {
    const auto gone = static_cast<std::ptrdiff_t>(std::exchange(stream.backlog_taken, 0));
    backlog.erase(backlog.begin(), backlog.begin() + gone);
    account(stream, -gone);
  }
  if (!backlog.empty()) return false;
  settle_half_close(stream);
  return true;
}

bool Session::pump() {
  bool any = false;
  for (std::size_t i = 0; i < paused_.size();) {
    Stream* stream = find(paused_[i]);
    if (stream != nullptr && !stream->finished && !stream->backlog.empty()) {
      if (paused(*stream)) {
        ++i;
        continue;
      }
      any = true;
      if (!take_backlog(*stream)) {
        ++i;
        continue;
      }
    }
    paused_[i] = paused_.back();
    paused_.pop_back();
  }
  return any;
}

void Session::resume(Stream& stream) {
  if (take_backlog(stream)) std::erase(paused_, stream.id);
  settle_half_close(stream);
}

}  // namespace penstock::net
