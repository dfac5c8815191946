// Peer: a gRPC client on nghttp2's client side, without a socket. The tests' other end of a Session.
#pragma once

#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <memory>
#include <new>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "http2_end.h"

namespace penstock::net::testing {

using penstock::testing::field;
using penstock::testing::framed;
using penstock::testing::Headers;

// The messages in a body; throws when it ends within one.
inline std::vector<std::string> unframed(std::string_view body) {
  std::vector<std::string> messages;
  while (!body.empty()) {
    if (body.size() < 5) throw std::runtime_error("the body ends within a prefix");
    std::size_t length = 0;
    for (std::size_t i = 1; i < 5; ++i) length = length << 8 | static_cast<unsigned char>(body[i]);
    if (body.size() < 5 + length) throw std::runtime_error("the body ends within a message");
    messages.emplace_back(body.substr(5, length));
    body.remove_prefix(5 + length);
  }
  return messages;
}

// What came back on one stream.
struct Reply {
  Headers headers;  // and trailers, in order
  std::string body;
  int header_blocks = 0;
  bool closed = false;
  bool ended = false;       // END_STREAM came
  std::uint32_t error = 0;  // RST_STREAM's, once closed

  std::string header(std::string_view name) const {
    std::string value;
    for (const auto& [key, text] : headers) {
      if (key == name) value = text;
    }
    return value;
  }
  std::string status() const { return header("grpc-status"); }
  std::string message() const { return header("grpc-message"); }
};

struct PeerOptions {
  std::uint32_t window = 65'535;  // a stream's, of ours
  bool opens_windows = true;      // false: what comes is never given back
  std::uint32_t max_frame = 16'384;
};

class Peer : public penstock::testing::Http2End<Peer> {
 public:
  explicit Peer(PeerOptions options = {})
      : Http2End(nghttp2_session_client_new2, windows(options.opens_windows).get()) {
    const nghttp2_settings_entry window{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, options.window};
    nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, &window, 1);
  }

  static Headers headers(std::string_view path) {
    return {{":method", "POST"},
            {":scheme", "http"},
            {":path", std::string(path)},
            {":authority", "localhost"},
            {"content-type", "application/grpc"},
            {"te", "trailers"}};
  }

  // A call whose whole body is known.
  std::int32_t call(std::string_view path, std::string body, const Headers& more = {}) {
    Headers all = headers(path);
    all.insert(all.end(), more.begin(), more.end());
    return call_with(all, std::move(body), true);
  }
  // A call that more can be said on.
  std::int32_t open(std::string_view path, std::string body = {}, const Headers& more = {}) {
    Headers all = headers(path);
    all.insert(all.end(), more.begin(), more.end());
    return call_with(all, std::move(body), false);
  }
  std::int32_t call_with(const Headers& all, std::string body, bool ends) {
    std::vector<nghttp2_nv> values;
    for (const auto& [name, value] : all) values.push_back(field(name, value));
    auto upload = std::make_unique<Upload>();
    upload->bytes = std::move(body);
    upload->ends = ends;
    nghttp2_data_provider provider{};
    provider.source.ptr = upload.get();
    provider.read_callback = read_body;
    const std::int32_t id =
        nghttp2_submit_request(session_, nullptr, values.data(), values.size(), &provider, nullptr);
    if (id < 0) throw std::runtime_error(nghttp2_strerror(id));
    uploads_[id] = std::move(upload);
    return id;
  }
  // Each call() of say() goes out in DATA frames of its own.
  void say(std::int32_t id, std::string_view bytes) {
    Upload& upload = *uploads_.at(id);
    upload.bytes += bytes;
    nghttp2_session_resume_data(session_, id);
  }
  void end(std::int32_t id) {
    uploads_.at(id)->ends = true;
    nghttp2_session_resume_data(session_, id);
  }
  void reset(std::int32_t id, std::uint32_t error = NGHTTP2_CANCEL) {
    nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, id, error);
  }
  // Opens a stream's window (0: the connection's) by `bytes`.
  void allow(std::int32_t id, std::int32_t bytes) {
    nghttp2_submit_window_update(session_, NGHTTP2_FLAG_NONE, id, bytes);
  }

  // Drops what closed calls left.
  void forget() {
    std::erase_if(replies_, [](const auto& entry) { return entry.second.closed; });
    std::erase_if(uploads_, [this](const auto& entry) { return !replies_.contains(entry.first); });
  }

  const Reply& reply(std::int32_t id) { return replies_[id]; }
  nghttp2_session* raw() noexcept { return session_; }
  // Bytes that may still be sent on a stream (0: the connection).
  std::int32_t room(std::int32_t id) {
    return id == 0 ? nghttp2_session_get_remote_window_size(session_)
                   : nghttp2_session_get_stream_remote_window_size(session_, id);
  }
  bool going_away() const noexcept { return goaway_count_ > 0; }
  int goaways() const noexcept { return goaway_count_; }
  std::int32_t last_taken() const noexcept { return goaway_last_; }
  std::uint32_t goaway_error() const noexcept { return goaway_error_; }
  int pings() const noexcept { return pings_; }

 private:
  struct Upload {
    std::string bytes;
    std::size_t at = 0;
    bool ends = false;
  };

  // Whether what has come is given back to the windows.
  static std::unique_ptr<nghttp2_option, decltype(&nghttp2_option_del)> windows(bool open) {
    nghttp2_option* option = nullptr;
    if (nghttp2_option_new(&option) != 0) throw std::bad_alloc();
    nghttp2_option_set_no_auto_window_update(option, open ? 0 : 1);
    return {option, &nghttp2_option_del};
  }

  static ssize_t read_body(nghttp2_session*, std::int32_t, std::uint8_t* into, std::size_t room,
                           std::uint32_t* flags, nghttp2_data_source* source, void*) {
    auto& upload = *static_cast<Upload*>(source->ptr);
    const std::size_t part = std::min(room, upload.bytes.size() - upload.at);
    if (part == 0 && !upload.ends) return NGHTTP2_ERR_DEFERRED;
    std::memcpy(into, upload.bytes.data() + upload.at, part);
    upload.at += part;
    if (upload.ends && upload.at == upload.bytes.size()) *flags |= NGHTTP2_DATA_FLAG_EOF;
    return static_cast<ssize_t>(part);
  }
  friend Http2End<Peer>;
  void on_header(std::int32_t id, std::string_view name, std::string_view value) {
    replies_[id].headers.emplace_back(name, value);
  }
  void on_frame(const nghttp2_frame& frame) {
    if (frame.hd.type == NGHTTP2_GOAWAY) {
      ++goaway_count_;
      goaway_last_ = frame.goaway.last_stream_id;
      goaway_error_ = frame.goaway.error_code;
    }
    if (frame.hd.type == NGHTTP2_PING && (frame.hd.flags & NGHTTP2_FLAG_ACK) == 0) ++pings_;
    if (frame.hd.stream_id == 0) return;
    Reply& reply = replies_[frame.hd.stream_id];
    if (frame.hd.type == NGHTTP2_HEADERS) ++reply.header_blocks;
    if ((frame.hd.type == NGHTTP2_HEADERS || frame.hd.type == NGHTTP2_DATA) &&
        (frame.hd.flags & NGHTTP2_FLAG_END_STREAM) != 0) {
      reply.ended = true;
    }
  }
  void on_data(std::int32_t id, std::string_view bytes) { replies_[id].body += bytes; }
  void on_close(std::int32_t id, std::uint32_t error) {
    Reply& reply = replies_[id];
    reply.closed = true;
    reply.error = error;
  }

  std::map<std::int32_t, std::unique_ptr<Upload>> uploads_;
  std::map<std::int32_t, Reply> replies_;
  int goaway_count_ = 0;
  int pings_ = 0;
  std::int32_t goaway_last_ = -1;
  std::uint32_t goaway_error_ = 0;
};

}  // namespace penstock::net::testing
