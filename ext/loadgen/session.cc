#include "loadgen/session.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <new>
#include <utility>

namespace penstock::loadgen {

namespace {

constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
constexpr std::int64_t kConnectionWindow = 1 << 30;  // answers never wait for this side
constexpr std::size_t kMostBlockBytes = 1U << 20U;
constexpr std::size_t kMostControlBytes = 1U << 20U;

std::string error_name(std::uint32_t code) { return nghttp2_http2_strerror(code); }

void require(bool right, const char* what) {
  if (!right) throw PeerError(std::string("the peer broke HTTP/2: ") + what);
}

void put_setting(std::string& out, std::uint32_t id, std::uint32_t value) {
  put_number(out, id, 2);
  put_number(out, value);
}

void put_cancel(std::string& out, std::uint32_t stream) {
  put_frame_header(out, {4, NGHTTP2_RST_STREAM, 0, stream});
  put_number(out, NGHTTP2_CANCEL);
}

void put_window_update(std::string& out, std::uint32_t stream, std::int64_t bytes) {
  put_frame_header(out, {4, NGHTTP2_WINDOW_UPDATE, 0, stream});
  put_number(out, static_cast<std::uint32_t>(bytes));
}

// What is left of a payload without padding (RFC 9113, 6.1).
std::span<const std::uint8_t> unpadded(const FrameHeader& header, std::span<const std::uint8_t> payload) {
  if ((header.flags & NGHTTP2_FLAG_PADDED) == 0) return payload;
  require(!payload.empty() && payload[0] < payload.size(), "padding longer than its frame");
  return payload.subspan(1, payload.size() - 1 - payload[0]);
}

std::string_view text(const std::uint8_t* bytes, std::size_t size) noexcept {
  return {reinterpret_cast<const char*>(bytes), size};
}

int parsed(std::string_view digits, int otherwise) noexcept {
  int value = otherwise;
  std::from_chars(digits.data(), digits.data() + digits.size(), value);
  return value;
}

void take_field(Answer& answer, const nghttp2_nv& field) {
  const std::string_view name = text(field.name, field.namelen);
  const std::string_view value = text(field.value, field.valuelen);
  if (name == ":status")
    answer.http_status = parsed(value, 0);
  else if (name == "grpc-status")
    answer.grpc_status = parsed(value, Answer::kNone);
  else if (name == "grpc-message")
    answer.grpc_message = value;
}

}  // namespace

Session::Session(const HeaderBlock& headers, Ended& ended) : headers_(headers), ended_(ended) {
  nghttp2_hd_inflater* inflater = nullptr;
  if (nghttp2_hd_inflate_new(&inflater) != 0) throw std::bad_alloc();
  inflater_.reset(inflater);
  control_ = kPreface;
  put_frame_header(control_, {12, NGHTTP2_SETTINGS, 0, 0});
  put_setting(control_, NGHTTP2_SETTINGS_ENABLE_PUSH, 0);
  put_setting(control_, NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, kMostWindow);
  put_window_update(control_, 0, kConnectionWindow - kDefaultWindow);
}

bool Session::submit(Call& call) noexcept {
  if (!takes()) return false;
  --streams_left_;
  call.stream = 0;
  queue_.push(call);
  return true;
}

void Session::pull(std::string& out, std::size_t enough) {
  out += control_;
  control_.clear();
  if (widened_) {
    widened_ = false;
    for (CallQueue waiting = std::exchange(sending_, {}); !waiting.empty();) send_body(waiting.pop(), out);
  }
  while (!queue_.empty() && streams_.size() < max_streams_ && window_ > 0 && out.size() < enough)
    start(queue_.pop(), out);
}

void Session::start(Call& call, std::string& out) {
  call.stream = std::exchange(next_stream_, next_stream_ + 2);
  call.window = initial_window_;
  call.sent = 0;
  streams_.insert(call);
  put_headers(out, call.stream);
  send_body(call, out);
}

void Session::put_headers(std::string& out, std::uint32_t stream) {
  std::string_view block;
  if (table_changed_ || !table_filled_) {
    const bool fits = headers_.table_bytes() <= table_bytes_;
    block = fits ? headers_.indexing() : headers_.literal();
    table_filled_ = fits;
  } else {
    block = headers_.indexed();
  }
  const std::string update = table_changed_ ? HeaderBlock::table_update(table_bytes_) : std::string();
  table_changed_ = false;
  std::size_t left = update.size() + block.size();
  std::size_t part = std::min(left, max_frame_);
  left -= part;
  const auto flags = [&] { return static_cast<std::uint8_t>(left == 0 ? NGHTTP2_FLAG_END_HEADERS : 0); };
  put_frame_header(out, {part, NGHTTP2_HEADERS, flags(), stream});
  out += update;
  out += block.substr(0, part - update.size());
  for (block.remove_prefix(part - update.size()); !block.empty(); block.remove_prefix(part)) {
    part = std::min(left, max_frame_);
    left -= part;
    put_frame_header(out, {part, NGHTTP2_CONTINUATION, flags(), stream});
    out += block.substr(0, part);
  }
}

void Session::send_body(Call& call, std::string& out) {
  const std::string_view body = call.body->framed;
  while (call.sent < body.size()) {
    const std::int64_t most = std::min({static_cast<std::int64_t>(body.size() - call.sent),
                                        static_cast<std::int64_t>(max_frame_), call.window, window_});
    if (most <= 0) {
      sending_.push(call);
      return;
    }
    const auto part = static_cast<std::size_t>(most);
    const bool last = call.sent + part == body.size();
    put_frame_header(out, {part, NGHTTP2_DATA, static_cast<std::uint8_t>(last ? NGHTTP2_FLAG_END_STREAM : 0),
                           call.stream});
    out += body.substr(call.sent, part);
    call.sent += part;
    call.window -= most;
    window_ -= most;
  }
}

std::size_t Session::push(std::span<const std::uint8_t> bytes) {
  std::size_t taken = 0;
  while (bytes.size() - taken >= kFrameHeaderBytes) {
    const FrameHeader header = frame_header_at(bytes.data() + taken);
    if (!settled_ && header.type != NGHTTP2_SETTINGS)
      throw PeerError("the peer does not speak HTTP/2 in clear text");
    require(header.length <= kDefaultFrameBytes, "a frame longer than agreed");
    const std::size_t whole = kFrameHeaderBytes + header.length;
    if (bytes.size() - taken < whole) break;
    take_frame(header, bytes.subspan(taken + kFrameHeaderBytes, header.length));
    taken += whole;
  }
  return taken;
}

void Session::cancel(Call& call) {
  if (call.stream == 0) return queue_.remove(call);
  streams_.erase(call.stream);
  if (call.sent < call.body->framed.size()) sending_.remove(call);
  put_cancel(control_, call.stream);
}

void Session::abandon() {
  going_away_ = true;
  sending_ = {};
  std::exchange(streams_, {}).for_each([this](Call& call) { ended_.on_ended(call, NGHTTP2_INTERNAL_ERROR); });
  while (!queue_.empty()) ended_.on_ended(queue_.pop(), NGHTTP2_REFUSED_STREAM);
}

void Session::take_frame(const FrameHeader& header, Payload payload) {
  require(block_stream_ == 0 || header.type == NGHTTP2_CONTINUATION, "a header block is not completed");
  require(control_.size() <= kMostControlBytes, "more to acknowledge than it takes");
  switch (header.type) {
    case NGHTTP2_DATA:
      return take_data(header, payload);
    case NGHTTP2_HEADERS:
      return take_headers(header, payload);
    case NGHTTP2_CONTINUATION:
      return take_continuation(header, payload);
    case NGHTTP2_SETTINGS:
      return take_settings(header, payload);
    case NGHTTP2_WINDOW_UPDATE:
      return take_window_update(header, payload);
    case NGHTTP2_GOAWAY:
      return take_goaway(payload);
    case NGHTTP2_RST_STREAM:
      require(payload.size() == 4, "a RST_STREAM of another length than 4");
      if (Call* call = streams_.find(header.stream); call != nullptr) {
        // No error here: the peer wants no more of the request, and its answer was not complete.
        const std::uint32_t code = number_at(payload.data());
        end(*call, code != NGHTTP2_NO_ERROR ? code : std::uint32_t{NGHTTP2_CANCEL});
      }
      return;
    case NGHTTP2_PING:
      require(payload.size() == 8, "a PING of another length than 8");
      if ((header.flags & NGHTTP2_FLAG_ACK) != 0) return;
      put_frame_header(control_, {8, NGHTTP2_PING, NGHTTP2_FLAG_ACK, 0});
      control_ += text(payload.data(), payload.size());
      return;
    case NGHTTP2_PUSH_PROMISE:
      return require(false, "a push, which was switched off");
    default:
      return;  // unknown kinds are passed over (RFC 9113, 5.5), and priorities mean nothing to a client
  }
}

void Session::take_data(const FrameHeader& header, Payload payload) {
  unacknowledged_ += static_cast<std::int64_t>(payload.size());
  if (unacknowledged_ >= kConnectionWindow / 2)
    put_window_update(control_, 0, std::exchange(unacknowledged_, 0));
  Call* call = streams_.find(header.stream);
  if (call == nullptr) return;  // given up, and this was under way
  call->answer.take(unpadded(header, payload));
  if ((header.flags & NGHTTP2_FLAG_END_STREAM) != 0) end(*call, NGHTTP2_NO_ERROR);
}

void Session::take_headers(const FrameHeader& header, Payload payload) {
  Payload block = unpadded(header, payload);
  if ((header.flags & NGHTTP2_FLAG_PRIORITY) != 0) {
    require(block.size() >= 5, "a priority that is cut off");
    block = block.subspan(5);
  }
  const bool ends = (header.flags & NGHTTP2_FLAG_END_STREAM) != 0;
  if ((header.flags & NGHTTP2_FLAG_END_HEADERS) != 0) return take_block(header.stream, block, ends);
  require(header.stream != 0, "headers of no stream");
  block_stream_ = header.stream;
  block_ends_ = ends;
  block_ = text(block.data(), block.size());
}

void Session::take_continuation(const FrameHeader& header, Payload payload) {
  require(block_stream_ != 0 && header.stream == block_stream_, "a CONTINUATION of nothing");
  require(block_.size() + payload.size() <= kMostBlockBytes, "an endless header block");
  block_ += text(payload.data(), payload.size());
  if ((header.flags & NGHTTP2_FLAG_END_HEADERS) == 0) return;
  block_stream_ = 0;
  take_block(header.stream, {reinterpret_cast<const std::uint8_t*>(block_.data()), block_.size()},
             block_ends_);
}

void Session::take_block(std::uint32_t stream, Payload block, bool ends) {
  Call* call = streams_.find(stream);
  for (;;) {  // also for a stream that is gone: the decoder's table follows every block
    nghttp2_nv field;
    int flags = 0;
    const ssize_t read =
        nghttp2_hd_inflate_hd2(inflater_.get(), &field, &flags, block.data(), block.size(), 1);
    require(read >= 0, "a header block that cannot be decoded");
    block = block.subspan(static_cast<std::size_t>(read));
    if ((flags & NGHTTP2_HD_INFLATE_EMIT) != 0 && call != nullptr) take_field(call->answer, field);
    if ((flags & NGHTTP2_HD_INFLATE_FINAL) != 0) break;
    require((flags & NGHTTP2_HD_INFLATE_EMIT) != 0 || !block.empty(), "a header block that is cut off");
  }
  nghttp2_hd_inflate_end_headers(inflater_.get());
  if (ends && call != nullptr) end(*call, NGHTTP2_NO_ERROR);
}

void Session::take_settings(const FrameHeader& header, Payload payload) {
  if ((header.flags & NGHTTP2_FLAG_ACK) != 0) return;
  require(payload.size() % 6 == 0, "settings that are cut off");
  if (!settled_) max_streams_ = std::numeric_limits<std::size_t>::max();
  settled_ = true;
  for (; !payload.empty(); payload = payload.subspan(6))
    set(static_cast<std::uint32_t>(payload[0] << 8U | payload[1]), number_at(payload.data() + 2));
  put_frame_header(control_, {0, NGHTTP2_SETTINGS, NGHTTP2_FLAG_ACK, 0});
}

void Session::set(std::uint32_t id, std::uint32_t value) {
  switch (id) {
    case NGHTTP2_SETTINGS_HEADER_TABLE_SIZE:
      // More than the default is not needed. Every change empties the table, which is cheap and always right.
      if (const std::uint32_t used = std::min(value, kDefaultTableBytes); used != table_bytes_) {
        table_bytes_ = used;
        table_changed_ = true;
      }
      return;
    case NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS:
      max_streams_ = value;
      return;
    case NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE: {
      require(value <= kMostWindow, "a window above 2^31-1");
      const std::int64_t change = static_cast<std::int64_t>(value) - initial_window_;
      streams_.for_each([change](Call& call) { call.window += change; });
      initial_window_ = value;
      widened_ = widened_ || change > 0;
      return;
    }
    case NGHTTP2_SETTINGS_MAX_FRAME_SIZE:
      require(value >= kDefaultFrameBytes && value < 1U << 24U, "a frame size out of its bounds");
      max_frame_ = value;
      return;
    default:
      return;
  }
}

void Session::take_window_update(const FrameHeader& header, Payload payload) {
  require(payload.size() == 4, "a WINDOW_UPDATE of another length than 4");
  const std::int64_t bytes = number_at(payload.data()) & 0x7fffffffU;
  if (header.stream == 0) {
    window_ += bytes;
    require(window_ <= kMostWindow, "a window above 2^31-1");
  } else if (Call* call = streams_.find(header.stream); call != nullptr) {
    call->window += bytes;
    require(call->window <= kMostWindow, "a window above 2^31-1");
  }
  widened_ = true;
}

void Session::take_goaway(Payload payload) {
  require(payload.size() >= 8, "a GOAWAY that is cut off");
  const std::uint32_t last = number_at(payload.data()) & 0x7fffffffU;
  const std::uint32_t code = number_at(payload.data() + 4);
  going_away_ = true;
  CallQueue refused = std::exchange(queue_, {});
  streams_.for_each([&](Call& call) {
    if (call.stream > last) {
      sending_.remove(call);
      refused.push(call);
    }
  });
  while (!refused.empty()) {
    Call& call = refused.pop();
    if (call.stream != 0) streams_.erase(call.stream);
    ended_.on_ended(call, NGHTTP2_REFUSED_STREAM);
  }
  if (code != NGHTTP2_NO_ERROR) throw PeerError("the peer ended the connection: " + error_name(code));
}

void Session::end(Call& call, std::uint32_t error_code) {
  streams_.erase(call.stream);
  if (call.sent < call.body->framed.size()) {
    sending_.remove(call);
    if (error_code == NGHTTP2_NO_ERROR) {  // answered early: the rest of the request is not sent
      put_cancel(control_, call.stream);
    }
  }
  ended_.on_ended(call, error_code);
}

}  // namespace penstock::loadgen
