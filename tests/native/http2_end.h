// Http2End: one end of an HTTP/2 connection on nghttp2, without a socket: bytes in, bytes out. What the peers
// of the tests are made of, which play a client or a server.
#pragma once

#include <nghttp2/nghttp2.h>

#include <cstdint>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace penstock::testing {

using Headers = std::vector<std::pair<std::string, std::string>>;

// gRPC's prefix and the message.
inline std::string framed(std::string_view message, char flag = 0) {
  std::string bytes(1, flag);
  for (int shift = 24; shift >= 0; shift -= 8) {
    bytes += static_cast<char>(static_cast<unsigned char>(message.size() >> shift));
  }
  return bytes.append(message);
}

// nghttp2 copies both.
inline nghttp2_nv field(std::string_view name, std::string_view value) {
  const auto bytes = [](std::string_view text) {
    return reinterpret_cast<std::uint8_t*>(const_cast<char*>(text.data()));
  };
  return {bytes(name), bytes(value), name.size(), value.size(), NGHTTP2_NV_FLAG_NONE};
}

// What comes is told to `Heard`, the class that derives from this:
//   on_header(stream, name, value), on_frame(frame), on_data(stream, bytes), on_close(stream, error_code)
template <typename Heard>
class Http2End {
 public:
  Http2End(const Http2End&) = delete;
  Http2End& operator=(const Http2End&) = delete;

  // All bytes that it has to send now.
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

 protected:
  // `create` is nghttp2_session_server_new2 or nghttp2_session_client_new2.
  Http2End(decltype(&nghttp2_session_server_new2) create, const nghttp2_option* option) {
    nghttp2_session_callbacks* callbacks = nullptr;
    if (nghttp2_session_callbacks_new(&callbacks) != 0) throw std::bad_alloc();
    const std::unique_ptr<nghttp2_session_callbacks, decltype(&nghttp2_session_callbacks_del)> owner(
        callbacks, &nghttp2_session_callbacks_del);
    nghttp2_session_callbacks_set_on_header_callback(
        callbacks,
        [](nghttp2_session*, const nghttp2_frame* frame, const std::uint8_t* name, std::size_t name_size,
           const std::uint8_t* value, std::size_t value_size, std::uint8_t, void* user) {
          heard(user).on_header(frame->hd.stream_id, text(name, name_size), text(value, value_size));
          return 0;
        });
    nghttp2_session_callbacks_set_on_frame_recv_callback(
        callbacks, [](nghttp2_session*, const nghttp2_frame* frame, void* user) {
          heard(user).on_frame(*frame);
          return 0;
        });
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(
        callbacks, [](nghttp2_session*, std::uint8_t, std::int32_t stream, const std::uint8_t* data,
                      std::size_t size, void* user) {
          heard(user).on_data(stream, text(data, size));
          return 0;
        });
    nghttp2_session_callbacks_set_on_stream_close_callback(
        callbacks, [](nghttp2_session*, std::int32_t stream, std::uint32_t error_code, void* user) {
          heard(user).on_close(stream, error_code);
          return 0;
        });
    if (create(&session_, callbacks, this, option) != 0) throw std::bad_alloc();
  }
  ~Http2End() { nghttp2_session_del(session_); }

  nghttp2_session* session_ = nullptr;

 private:
  static Heard& heard(void* user) { return static_cast<Heard&>(*static_cast<Http2End*>(user)); }
  static std::string_view text(const std::uint8_t* data, std::size_t size) {
    return {reinterpret_cast<const char*>(data), size};
  }
};

}  // namespace penstock::testing
