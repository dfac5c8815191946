// Peer: a gRPC server on nghttp2's server side, without a socket. The tests' other end of a Session.
#pragma once

#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <new>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace penstock::loadgen::testing {

using Headers = std::vector<std::pair<std::string, std::string>>;

// gRPC's prefix and the message.
inline std::string framed(std::string_view message) {
  std::string bytes(1, '\0');
  for (int shift = 24; shift >= 0; shift -= 8)
    bytes += static_cast<char>(static_cast<unsigned char>(message.size() >> shift));
  return bytes.append(message);
}

struct Asked {
  std::int32_t stream = 0;
  Headers headers;
  std::string body;
};

struct Reply {
  std::string body = "";
  std::string grpc_status = "0";  // empty: no trailers
  std::string grpc_message = "";
  std::string http_status = "200";
};

class Peer {
 public:
  using Settings = std::vector<nghttp2_settings_entry>;

  // `on_request` hears of each whole request, and may answer it at once, later or never.
  explicit Peer(std::function<void(Peer&, const Asked&)> on_request, const Settings& settings = {})
      : on_request_(std::move(on_request)) {
    nghttp2_session_callbacks* callbacks = nullptr;
    if (nghttp2_session_callbacks_new(&callbacks) != 0) throw std::bad_alloc();
    const std::unique_ptr<nghttp2_session_callbacks, decltype(&nghttp2_session_callbacks_del)> owner(
        callbacks, &nghttp2_session_callbacks_del);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
    if (nghttp2_session_server_new(&session_, callbacks, this) != 0) throw std::bad_alloc();
    nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings.data(), settings.size());
  }
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;
  ~Peer() { nghttp2_session_del(session_); }

  void answer(std::int32_t stream, Reply reply) {
    auto sending = std::make_unique<Sending>(Sending{std::move(reply), 0});
    const std::vector<nghttp2_nv> headers{field(":status", sending->reply.http_status),
                                          field("content-type", "application/grpc")};
    nghttp2_data_provider provider{};
    provider.source.ptr = sending.get();
    provider.read_callback = read_body;
    nghttp2_submit_response(session_, stream, headers.data(), headers.size(), &provider);
    sending_[stream] = std::move(sending);
  }
  void reset(std::int32_t stream, std::uint32_t code) {
    nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, stream, code);
  }
  void set(const Settings& settings) {
    nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings.data(), settings.size());
  }
  void go_away(std::int32_t last, std::uint32_t code) {
    nghttp2_submit_goaway(session_, NGHTTP2_FLAG_NONE, last, code, nullptr, 0);
  }

  // Its socket is closed when what it says now is sent.
  void close() noexcept { closed_ = true; }
  bool closed() const noexcept { return closed_; }

  std::string pull() {
    std::string bytes;
    for (;;) {
      const std::uint8_t* data = nullptr;
      const ssize_t size = nghttp2_session_mem_send(session_, &data);
      if (size < 0) throw std::runtime_error(nghttp2_strerror(static_cast<int>(size)));
      if (size == 0) return bytes;
      bytes.append(reinterpret_cast<const char*>(data), static_cast<std::size_t>(size));
    }
  }
  void push(std::string_view bytes) {
    const ssize_t taken =
        nghttp2_session_mem_recv(session_, reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
    if (taken < 0) throw std::runtime_error(nghttp2_strerror(static_cast<int>(taken)));
  }

  int resets() const noexcept { return resets_; }
  int acknowledged_pings() const noexcept { return pings_; }
  void ping() { nghttp2_submit_ping(session_, NGHTTP2_FLAG_NONE, nullptr); }

 private:
  struct Sending {
    Reply reply;
    std::size_t at;
  };

  static nghttp2_nv field(std::string_view name, std::string_view value) {
    const auto bytes = [](std::string_view text) {
      return reinterpret_cast<std::uint8_t*>(const_cast<char*>(text.data()));
    };
    return {bytes(name), bytes(value), name.size(), value.size(), NGHTTP2_NV_FLAG_NONE};
  }
  static Peer& self(void* user) { return *static_cast<Peer*>(user); }

  static ssize_t read_body(nghttp2_session* session, std::int32_t stream, std::uint8_t* into,
                           std::size_t room, std::uint32_t* flags, nghttp2_data_source* source, void*) {
    auto& sending = *static_cast<Sending*>(source->ptr);
    const std::size_t part = std::min(room, sending.reply.body.size() - sending.at);
    std::memcpy(into, sending.reply.body.data() + sending.at, part);
    sending.at += part;
    if (sending.at == sending.reply.body.size()) {
      *flags |= NGHTTP2_DATA_FLAG_EOF;
      if (!sending.reply.grpc_status.empty()) {
        *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
        std::vector<nghttp2_nv> trailers{field("grpc-status", sending.reply.grpc_status)};
        if (!sending.reply.grpc_message.empty())
          trailers.push_back(field("grpc-message", sending.reply.grpc_message));
        nghttp2_submit_trailer(session, stream, trailers.data(), trailers.size());
      }
    }
    return static_cast<ssize_t>(part);
  }
  static int on_header(nghttp2_session*, const nghttp2_frame* frame, const std::uint8_t* name,
                       std::size_t name_size, const std::uint8_t* value, std::size_t value_size, std::uint8_t,
                       void* user) {
    Asked& asked = self(user).asked_[frame->hd.stream_id];
    asked.stream = frame->hd.stream_id;
    asked.headers.emplace_back(std::string(reinterpret_cast<const char*>(name), name_size),
                               std::string(reinterpret_cast<const char*>(value), value_size));
    return 0;
  }
  static int on_frame(nghttp2_session*, const nghttp2_frame* frame, void* user) {
    Peer& peer = self(user);
    if (frame->hd.type == NGHTTP2_RST_STREAM) ++peer.resets_;
    if (frame->hd.type == NGHTTP2_PING && (frame->hd.flags & NGHTTP2_FLAG_ACK) != 0) ++peer.pings_;
    if ((frame->hd.type == NGHTTP2_DATA || frame->hd.type == NGHTTP2_HEADERS) &&
        (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0)
      peer.on_request_(peer, peer.asked_[frame->hd.stream_id]);
    return 0;
  }
  static int on_data(nghttp2_session*, std::uint8_t, std::int32_t stream, const std::uint8_t* data,
                     std::size_t size, void* user) {
    self(user).asked_[stream].body.append(reinterpret_cast<const char*>(data), size);
    return 0;
  }
  static int on_close(nghttp2_session*, std::int32_t stream, std::uint32_t, void* user) {
    self(user).asked_.erase(stream);
    self(user).sending_.erase(stream);
    return 0;
  }

  std::function<void(Peer&, const Asked&)> on_request_;
  nghttp2_session* session_ = nullptr;
  std::map<std::int32_t, Asked> asked_;
  std::map<std::int32_t, std::unique_ptr<Sending>> sending_;
  bool closed_ = false;
  int resets_ = 0;
  int pings_ = 0;
};

}  // namespace penstock::loadgen::testing
