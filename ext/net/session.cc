#include "net/session.h"

#include <algorithm>
#include <array>
#include <new>
#include <utility>

// Since nghttp2 1.57, and in what distributions keep of older ones with the fix of CVE-2023-44487.
extern "C" __attribute__((weak)) void nghttp2_option_set_stream_reset_rate_limit(nghttp2_option*,
                                                                                 std::uint64_t burst,
                                                                                 std::uint64_t rate);

namespace penstock::net {
namespace {

constexpr std::int32_t kStreamWindow = 1 << 20;
// Also what a peer that does not read its answers can make a connection hold of its requests: at most a
// quarter of max_buffered_bytes, but no less than HTTP/2 begins with.
constexpr std::size_t kMinConnectionWindow = 65'535;
constexpr std::size_t kMaxConnectionWindow = 16U << 20U;
// Frames of our own that a peer may leave waiting beside the answers: SETTINGS, RST_STREAM, PING.
constexpr std::size_t kMaxControlFrames = 1000;
// Streams that a peer may reset: a burst, and a second. nghttp2's own bounds (1,000 and 33) are those of
// servers that work on after a reset; here it ends the call's work, if that did not end before. Callers with
// short deadlines reset many.
constexpr std::uint64_t kResetBurst = 5'000;
constexpr std::uint64_t kResetRate = 1'000;
constexpr std::uint64_t kFrameHead = 9;  // bytes
constexpr std::size_t kSpareBodies = 16;

Session& self(void* user) { return *static_cast<Session*>(user); }

std::string_view text(const std::uint8_t* bytes, std::size_t size) {
  return {reinterpret_cast<const char*>(bytes), size};
}

}  // namespace

// nghttp2 is C: what throws in a callback ends there, and with it the connection.
struct Session::Callbacks {
  template <typename Work>
  static int guarded(Work&& work) noexcept {
    try {
      return work();
    } catch (...) {
      return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
  }

  static int on_begin_frame(nghttp2_session*, const nghttp2_frame_hd* head, void* user) {
    Session& session = self(user);
    const bool of_headers = head->type == NGHTTP2_HEADERS || head->type == NGHTTP2_CONTINUATION;
    session.frames_end_ += kFrameHead + head->length;
    session.header_block_ = of_headers && (head->flags & NGHTTP2_FLAG_END_HEADERS) == 0;
    if (head->type == NGHTTP2_HEADERS) session.headers_since_ = session.now_ns_;
    if (!of_headers) session.headers_since_ = 0;
    return 0;
  }

  static int on_begin_headers(nghttp2_session* raw, const nghttp2_frame* frame, void* user) {
    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST) return 0;
    return guarded([&] {
      Stream* stream = self(user).begin_stream(frame->hd.stream_id);
      return nghttp2_session_set_stream_user_data(raw, frame->hd.stream_id, stream);
    });
  }

  static int on_header(nghttp2_session* raw, const nghttp2_frame* frame, const std::uint8_t* name,
                       std::size_t name_size, const std::uint8_t* value, std::size_t value_size, std::uint8_t,
                       void* user) {
    auto* stream = static_cast<Stream*>(nghttp2_session_get_stream_user_data(raw, frame->hd.stream_id));
    if (stream == nullptr) return 0;
    return guarded([&] {
      stream->header_bytes += name_size + value_size + 32;   // RFC 9113, 6.5.2
      if (stream->header_bytes > kMaxHeaderBytes) return 0;  // refused when the block ends
      if (frame->headers.cat != NGHTTP2_HCAT_REQUEST) return 0;
      self(user).take_header(*stream, text(name, name_size), text(value, value_size));
      return 0;
    });
  }

  static int on_frame(nghttp2_session* raw, const nghttp2_frame* frame, void* user) {
    Session& session = self(user);
    if (frame->hd.type == NGHTTP2_SETTINGS) session.settled_ = true;
    if (frame->hd.type == NGHTTP2_PING && (frame->hd.flags & NGHTTP2_FLAG_ACK) != 0)
      session.ping_sent_ns_ = 0;
    if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA) return 0;
    auto* stream = static_cast<Stream*>(nghttp2_session_get_stream_user_data(raw, frame->hd.stream_id));
    if (stream == nullptr) return 0;
    return guarded([&] {
      if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
        session.end_headers(*stream);
      }
      if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0) session.half_close(*stream);
      return 0;
    });
  }

  static int on_data(nghttp2_session* raw, std::uint8_t, std::int32_t id, const std::uint8_t* data,
                     std::size_t size, void* user) {
    auto* stream = static_cast<Stream*>(nghttp2_session_get_stream_user_data(raw, id));
    if (stream == nullptr) return nghttp2_session_consume(raw, id, size);
    return guarded([&] {
      self(user).take_data(*stream, std::as_bytes(std::span(data, size)));
      return 0;
    });
  }

  static int on_frame_sent(nghttp2_session* raw, const nghttp2_frame* frame, void*) {
    if (frame->hd.type != NGHTTP2_HEADERS || (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) == 0) return 0;
    const auto* stream = static_cast<Stream*>(nghttp2_session_get_stream_user_data(raw, frame->hd.stream_id));
    if (stream == nullptr || stream->half_closed) return 0;
    // Answered before the request ended: the rest of it is not wanted (RFC 9113, 8.1).
    return nghttp2_submit_rst_stream(raw, NGHTTP2_FLAG_NONE, frame->hd.stream_id, NGHTTP2_NO_ERROR);
  }

  static int on_stream_close(nghttp2_session* raw, std::int32_t id, std::uint32_t, void* user) {
    auto* stream = static_cast<Stream*>(nghttp2_session_get_stream_user_data(raw, id));
    if (stream != nullptr) self(user).close_stream(*stream);
    return 0;
  }

  static ssize_t read_length(nghttp2_session*, std::int32_t, std::uint8_t*, std::size_t room,
                             std::uint32_t* flags, nghttp2_data_source* source, void* user) {
    ssize_t length = NGHTTP2_ERR_CALLBACK_FAILURE;
    const int failed = guarded([&] {
      length = self(user).read_length(*static_cast<Stream*>(source->ptr), room, flags);
      return 0;
    });
    return failed != 0 ? failed : length;
  }

  static int write_data(nghttp2_session*, nghttp2_frame*, const std::uint8_t* head, std::size_t length,
                        nghttp2_data_source* source, void* user) {
    return guarded([&] {
      return self(user).write_data(*static_cast<Stream*>(source->ptr),
                                   std::as_bytes(std::span<const std::uint8_t, 9>(head, 9)), length);
    });
  }

  static nghttp2_session_callbacks* make() {
    nghttp2_session_callbacks* callbacks = nullptr;
    if (nghttp2_session_callbacks_new(&callbacks) != 0) throw std::bad_alloc();
    nghttp2_session_callbacks_set_on_begin_frame_callback(callbacks, on_begin_frame);
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_frame_sent);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
    nghttp2_session_callbacks_set_send_data_callback(callbacks, write_data);
    return callbacks;
  }
};

void Session::submitted(int result) {
  if (result == NGHTTP2_ERR_NOMEM) throw std::bad_alloc();
}

nghttp2_data_source_read_callback Session::data_reader() noexcept { return Callbacks::read_length; }

Session::Session(const Options& options, const Methods& methods, Handler& handler, Deadlines& deadlines,
                 Traffic& traffic, Budget& budget, std::uint64_t connection)
    : options_(options),
      methods_(methods),
      handler_(handler),
      deadlines_(deadlines),
      traffic_(traffic),
      budget_(budget),
      share_(budget),
      connection_(connection) {
  static const std::unique_ptr<nghttp2_session_callbacks, decltype(&nghttp2_session_callbacks_del)> callbacks(
      Callbacks::make(), &nghttp2_session_callbacks_del);
  nghttp2_option* made_option = nullptr;
  if (nghttp2_option_new(&made_option) != 0) throw std::bad_alloc();
  const std::unique_ptr<nghttp2_option, decltype(&nghttp2_option_del)> option(made_option,
                                                                              &nghttp2_option_del);
  // Windows open as messages are taken, so that a slow consumer holds its sender back.
  nghttp2_option_set_no_auto_window_update(option.get(), 1);
  nghttp2_option_set_no_closed_streams(option.get(), 1);
  if (nghttp2_option_set_stream_reset_rate_limit != nullptr) {
    nghttp2_option_set_stream_reset_rate_limit(option.get(), kResetBurst, kResetRate);
  }
  nghttp2_session* made = nullptr;
  if (nghttp2_session_server_new2(&made, callbacks.get(), this, option.get()) != 0) throw std::bad_alloc();
  session_.reset(made);
  frames_end_ = NGHTTP2_CLIENT_MAGIC_LEN;
  const auto window = static_cast<std::int32_t>(
      std::clamp(options.max_buffered_bytes / 4, kMinConnectionWindow, kMaxConnectionWindow));
  const std::array<nghttp2_settings_entry, 3> settings{
      {{NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, options.max_concurrent_streams},
       {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, kStreamWindow},
       {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, kMaxHeaderBytes}}};
  if (nghttp2_submit_settings(made, NGHTTP2_FLAG_NONE, settings.data(), settings.size()) != 0 ||
      nghttp2_session_set_local_window_size(made, NGHTTP2_FLAG_NONE, 0, window) != 0) {
    throw std::bad_alloc();
  }
}

Session::~Session() {
  while (!open_.empty()) close_stream(*open_.back());
}

bool Session::feed(std::span<const std::byte> bytes, std::int64_t now_ns) {
  now_ns_ = now_ns;
  const ssize_t taken = nghttp2_session_mem_recv(
      session_.get(), reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
  settle_views();
  // nghttp2 says when a frame begins, but of one that it ignores or refuses not when it ended.
  fed_ += bytes.size();
  if (!header_block_ && fed_ >= frames_end_) headers_since_ = 0;
  return taken >= 0;
}

bool Session::flooded() const noexcept {
  return nghttp2_session_get_outbound_queue_size(session_.get()) >
         kMaxControlFrames + 2 * std::size_t{options_.max_concurrent_streams};
}

// Most calls are answered by then: those cost no timer.
void Session::end_turn() {
  for (const std::int32_t id : dated_) {
    Stream* stream = find(id);
    if (stream != nullptr && !stream->timer) {
      stream->timer = deadlines_.emplace(stream->deadline_ns, stream);
    }
  }
  dated_.clear();
  share_.set(buffered());
}

bool Session::fill() {
  if (lost_) return false;
  while (!outbox_.full()) {
    const std::uint8_t* bytes = nullptr;
    const ssize_t size = nghttp2_session_mem_send(session_.get(), &bytes);
    if (size < 0) return false;
    if (size == 0) break;
    outbox_.append(std::as_bytes(std::span(bytes, static_cast<std::size_t>(size))));
  }
  return true;
}

bool Session::done() const noexcept {
  return nghttp2_session_want_read(session_.get()) == 0 && nghttp2_session_want_write(session_.get()) == 0;
}

Stream* Session::find(std::int32_t id) noexcept {
  return static_cast<Stream*>(nghttp2_session_get_stream_user_data(session_.get(), id));
}

Stream* Session::begin_stream(std::int32_t id) {
  if (spare_.empty()) {
    streams_.push_back(std::make_unique<Stream>());
    spare_.reserve(streams_.size());  // so that close_stream() cannot fail
    spare_.push_back(streams_.back().get());
  }
  open_.reserve(open_.size() + 1);
  Stream* stream = spare_.back();
  spare_.pop_back();
  stream->id = id;
  stream->session = this;
  stream->heard_ns = now_ns_;
  stream->index = open_.size();
  open_.push_back(stream);
  Traffic::add(traffic_.open_streams, 1);
  Traffic::add(traffic_.streams, 1);
  return stream;
}

void Session::close_stream(Stream& stream) noexcept {
  handler_.on_closed(stream);
  if (stream.timer) deadlines_.erase(*stream.timer);
  queued_ -= stream.queue.bytes();
  while (!stream.queue.empty()) {
    Message message = stream.queue.pop();
    // Frames in the outbox may refer to it.
    if (!message.held() || !message.begun()) continue;
    try {
      outbox_.keep(std::move(message));
    } catch (...) {
      outbox_.abandon();
      lose();
    }
  }
  // What was held back of the connection's window.
  if (const std::size_t unread = stream.backlog.size() - stream.backlog_taken; unread > 0) {
    nghttp2_session_consume_connection(session_.get(), unread);
  }
  buffered_ -= stream.buffered;
  open_[stream.index] = open_.back();
  open_[stream.index]->index = stream.index;
  open_.pop_back();
  Traffic::add(traffic_.open_streams, -1);
  nghttp2_session_set_stream_user_data(session_.get(), stream.id, nullptr);

  stream.reset();
  if (stream.body.capacity() > kSpareBody || spare_.size() >= kSpareBodies) {
    std::vector<std::byte>().swap(stream.body);  // `= {}` would keep the memory
  }
  spare_.push_back(&stream);
}

void Session::drain_notice() {
  if (!draining_) submitted(nghttp2_submit_shutdown_notice(session_.get()));
}

void Session::drain() {
  if (std::exchange(draining_, true)) return;
  submitted(nghttp2_submit_goaway(session_.get(), NGHTTP2_FLAG_NONE,
                                  nghttp2_session_get_last_proc_stream_id(session_.get()), NGHTTP2_NO_ERROR,
                                  nullptr, 0));
}

void Session::ping(std::int64_t now_ns) {
  ping_sent_ns_ = now_ns;
  submitted(nghttp2_submit_ping(session_.get(), NGHTTP2_FLAG_NONE, nullptr));
}

void Session::terminate(std::uint32_t http2_error) {
  draining_ = true;
  submitted(nghttp2_session_terminate_session(session_.get(), http2_error));
}

std::vector<std::byte> Session::buffer() {
  if (buffers_.empty()) return {};
  std::vector<std::byte> buffer = std::move(buffers_.back());
  buffers_.pop_back();
  buffer.clear();
  return buffer;
}

}  // namespace penstock::net
