#include "load/connection.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <new>
#include <stdexcept>

namespace penstock::load {

namespace {

constexpr std::int32_t kWindow = 1 << 30;  // answers never wait for this side
constexpr std::size_t kWriteBytes = 64 * 1024;

int connected(const std::string& host, const std::string& port) {
  const addrinfo hints{
      .ai_flags = AI_NUMERICSERV,
      .ai_family = AF_UNSPEC,
      .ai_socktype = SOCK_STREAM,
      .ai_protocol = 0,
      .ai_addrlen = 0,
      .ai_addr = nullptr,
      .ai_canonname = nullptr,
      .ai_next = nullptr,
  };
  addrinfo* found = nullptr;
  if (const int error = ::getaddrinfo(host.c_str(), port.c_str(), &hints, &found); error != 0)
    throw std::runtime_error(host + ":" + port + ": " + ::gai_strerror(error));
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> addresses(found, ::freeaddrinfo);
  int reason = 0;
  for (const addrinfo* address = found; address != nullptr; address = address->ai_next) {
    const int fd = ::socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC, address->ai_protocol);
    if (fd >= 0 && ::connect(fd, address->ai_addr, address->ai_addrlen) == 0) return fd;
    reason = errno;
    if (fd >= 0) ::close(fd);
  }
  throw std::runtime_error(host + ":" + port + ": " + std::strerror(reason));
}

// nghttp2 copies neither name nor value: both live as long as the request.
nghttp2_nv header(std::string_view name, std::string_view value) noexcept {
  const auto bytes = [](std::string_view text) {
    return const_cast<std::uint8_t*>(reinterpret_cast<const std::uint8_t*>(text.data()));
  };
  return {bytes(name), bytes(value), name.size(), value.size(),
          NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE};
}

std::string_view view(const std::uint8_t* bytes, std::size_t length) noexcept {
  return {reinterpret_cast<const char*>(bytes), length};
}

Call* call_of(nghttp2_session* session, std::int32_t stream) noexcept {
  return static_cast<Call*>(nghttp2_session_get_stream_user_data(session, stream));
}

// The callbacks are noexcept: running out of memory ends the program.
int on_header(nghttp2_session* session, const nghttp2_frame* frame, const std::uint8_t* name,
              std::size_t name_length, const std::uint8_t* value, std::size_t length, std::uint8_t,
              void*) noexcept {
  Call* call = call_of(session, frame->hd.stream_id);
  if (call == nullptr) return 0;
  const std::string_view key = view(name, name_length);
  const std::string_view text = view(value, length);
  if (key == ":status") std::from_chars(text.data(), text.data() + text.size(), call->http_status);
  if (key == "grpc-status") call->grpc_status = text;
  return 0;
}

int on_data(nghttp2_session* session, std::uint8_t, std::int32_t stream, const std::uint8_t* data,
            std::size_t length, void*) noexcept {
  if (Call* call = call_of(session, stream); call != nullptr) call->body.append(view(data, length));
  return 0;
}

}  // namespace

Connection::Connection(const std::string& host, const std::string& port, const Request& request, Ended& ended)
    : request_(request), ended_(ended) {
  nghttp2_session_callbacks* made = nullptr;
  if (nghttp2_session_callbacks_new(&made) != 0) throw std::bad_alloc();
  const std::unique_ptr<nghttp2_session_callbacks, decltype(&nghttp2_session_callbacks_del)> callbacks(
      made, nghttp2_session_callbacks_del);
  nghttp2_session_callbacks_set_on_header_callback(made, on_header);
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(made, on_data);
  nghttp2_session_callbacks_set_on_stream_close_callback(
      made,
      [](nghttp2_session* session, std::int32_t stream, std::uint32_t code, void* self) noexcept -> int {
        if (Call* call = call_of(session, stream); call != nullptr)
          static_cast<Connection*>(self)->ended_.on_ended(*call, code);
        return 0;
      });
  nghttp2_session* session = nullptr;
  if (nghttp2_session_client_new(&session, made, this) != 0) throw std::bad_alloc();
  session_.reset(session);
  const std::array<nghttp2_settings_entry, 2> settings{{
      {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
      {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, kWindow},
  }};
  if (nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, settings.data(), settings.size()) != 0 ||
      nghttp2_session_set_local_window_size(session, NGHTTP2_FLAG_NONE, 0, kWindow) != 0)
    throw std::bad_alloc();
  fd_ = connected(host, port);
  const int yes = 1;
  if (::setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes) != 0 ||
      ::fcntl(fd_, F_SETFL, O_NONBLOCK) != 0) {
    const int error = errno;
    close();
    throw std::runtime_error(host + ":" + port + ": " + std::strerror(error));
  }
}

Connection::~Connection() { close(); }

bool Connection::submit(Call& call) noexcept {
  if (!open()) return false;
  const std::array<nghttp2_nv, 6> headers{{
      header(":method", "POST"),
      header(":scheme", "http"),
      header(":path", request_.path),
      header(":authority", request_.authority),
      header("content-type", "application/grpc"),
      header("te", "trailers"),
  }};
  const nghttp2_data_provider body{
      .source = {.ptr = &call},
      .read_callback = [](nghttp2_session*, std::int32_t, std::uint8_t* out, std::size_t room,
                          std::uint32_t* flags, nghttp2_data_source* source, void* self) noexcept -> ssize_t {
        Call& sending = *static_cast<Call*>(source->ptr);
        const std::string& whole = static_cast<Connection*>(self)->request_.body;
        const std::size_t taken = whole.copy(reinterpret_cast<char*>(out), room, sending.sent);
        sending.sent += taken;
        if (sending.sent == whole.size()) *flags |= NGHTTP2_DATA_FLAG_EOF;
        return static_cast<ssize_t>(taken);
      },
  };
  return nghttp2_submit_request(session_.get(), nullptr, headers.data(), headers.size(), &body, &call) > 0;
}

bool Connection::flush() noexcept {
  while (open()) {
    if (out_.empty()) {
      const std::uint8_t* bytes = nullptr;
      // A frame at a time: what is small goes to the socket in one piece.
      while (out_.size() < kWriteBytes) {
        const ssize_t size = nghttp2_session_mem_send(session_.get(), &bytes);
        if (size < 0) close();
        if (size <= 0) break;
        out_.append(view(bytes, static_cast<std::size_t>(size)));
      }
      if (out_.empty()) return open();
    }
    const ssize_t written = ::send(fd_, out_.data(), out_.size(), MSG_NOSIGNAL);
    if (written >= 0) {
      out_.erase(0, static_cast<std::size_t>(written));
    } else if (errno == EAGAIN) {
      return false;
    } else if (errno != EINTR) {
      close();
    }
  }
  return false;
}

void Connection::read() noexcept {
  std::array<std::uint8_t, 65536> buffer;
  while (open()) {
    const ssize_t got = ::recv(fd_, buffer.data(), buffer.size(), 0);
    if (got > 0) {
      const auto size = static_cast<std::size_t>(got);
      if (nghttp2_session_mem_recv(session_.get(), buffer.data(), size) < 0) close();
      if (size < buffer.size()) return;
    } else if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
      close();
    } else if (errno == EAGAIN) {
      return;
    }
  }
}

void Connection::close() noexcept {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

}  // namespace penstock::load
