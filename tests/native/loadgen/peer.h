// Peer: a gRPC server on nghttp2's server side, without a socket. The tests' other end of a Session.
#pragma once

#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "http2_end.h"

namespace penstock::loadgen::testing {

using penstock::testing::field;
using penstock::testing::framed;
using penstock::testing::Headers;

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

class Peer : public penstock::testing::Http2End<Peer> {
 public:
  using Settings = std::vector<nghttp2_settings_entry>;

  // `on_request` hears of each whole request, and may answer it at once, later or never.
  explicit Peer(std::function<void(Peer&, const Asked&)> on_request, const Settings& settings = {})
      : Http2End(nghttp2_session_server_new2, nullptr), on_request_(std::move(on_request)) {
    nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings.data(), settings.size());
  }

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

  int resets() const noexcept { return resets_; }
  int acknowledged_pings() const noexcept { return pings_; }
  void ping() { nghttp2_submit_ping(session_, NGHTTP2_FLAG_NONE, nullptr); }

 private:
  struct Sending {
    Reply reply;
    std::size_t at;
  };

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
  friend Http2End<Peer>;
  void on_header(std::int32_t stream, std::string_view name, std::string_view value) {
    Asked& asked = asked_[stream];
    asked.stream = stream;
    asked.headers.emplace_back(name, value);
  }
  void on_frame(const nghttp2_frame& frame) {
    if (frame.hd.type == NGHTTP2_RST_STREAM) ++resets_;
    if (frame.hd.type == NGHTTP2_PING && (frame.hd.flags & NGHTTP2_FLAG_ACK) != 0) ++pings_;
    if ((frame.hd.type == NGHTTP2_DATA || frame.hd.type == NGHTTP2_HEADERS) &&
        (frame.hd.flags & NGHTTP2_FLAG_END_STREAM) != 0)
      on_request_(*this, asked_[frame.hd.stream_id]);
  }
  void on_data(std::int32_t stream, std::string_view bytes) { asked_[stream].body += bytes; }
  void on_close(std::int32_t stream, std::uint32_t) {
    asked_.erase(stream);
    sending_.erase(stream);
  }

  std::function<void(Peer&, const Asked&)> on_request_;
  std::map<std::int32_t, Asked> asked_;
  std::map<std::int32_t, std::unique_ptr<Sending>> sending_;
  bool closed_ = false;
  int resets_ = 0;
  int pings_ = 0;
};

}  // namespace penstock::loadgen::testing
