// echo: the least that a unary gRPC call over nghttp2 costs. One thread, one epoll; every request, whatever
// its path and body, is answered with the same message. Cleartext HTTP/2 with prior knowledge, on loopback.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <nghttp2/nghttp2.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>
#include <new>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <unordered_map>
#include <utility>
#include <vector>

namespace {

constexpr std::size_t kReadBytes = 64 * 1024;
constexpr std::size_t kAnswerLimit = 16 * 1024 - 5;  // so that it is one DATA frame
// As Penstock's server has them, so that the peer sends alike.
constexpr std::uint32_t kStreams = 1024;
constexpr std::int32_t kWindow = 1 << 20;

[[noreturn]] void fail(const char* doing) { throw std::system_error(errno, std::generic_category(), doing); }

class Fd {
 public:
  explicit Fd(int fd) noexcept : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&&) = delete;
  ~Fd() {
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const noexcept { return fd_; }

 private:
  int fd_;
};

nghttp2_nv header(std::string_view name, std::string_view value) noexcept {
  const auto bytes = [](std::string_view text) {
    return const_cast<std::uint8_t*>(
        reinterpret_cast<const std::uint8_t*>(text.data()));  // nghttp2 only reads
  };
  return {bytes(name), bytes(value), name.size(), value.size(),
          NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE};
}

// The callbacks are noexcept: running out of memory ends the program. `user` is the answer as it stands in
// its DATA frame: gRPC's prefix and the message.
ssize_t read_answer(nghttp2_session* session, std::int32_t stream, std::uint8_t* out, std::size_t room,
                    std::uint32_t* flags, nghttp2_data_source*, void* user) noexcept {
  const std::string& answer = *static_cast<const std::string*>(user);
  if (room < answer.size()) return NGHTTP2_ERR_CALLBACK_FAILURE;  // a peer that takes frames this small
  std::memcpy(out, answer.data(), answer.size());
  *flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
  const nghttp2_nv status = header("grpc-status", "0");
  if (nghttp2_submit_trailer(session, stream, &status, 1) != 0) return NGHTTP2_ERR_CALLBACK_FAILURE;
  return static_cast<ssize_t>(answer.size());
}

int on_frame(nghttp2_session* session, const nghttp2_frame* frame, void*) noexcept {
  const bool request = frame->hd.type == NGHTTP2_DATA || frame->hd.type == NGHTTP2_HEADERS;
  if (!request || (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) == 0) return 0;
  const std::array<nghttp2_nv, 2> headers{header(":status", "200"),
                                          header("content-type", "application/grpc")};
  nghttp2_data_provider body{};
  body.read_callback = read_answer;
  return nghttp2_submit_response(session, frame->hd.stream_id, headers.data(), headers.size(), &body) == 0
             ? 0
             : NGHTTP2_ERR_CALLBACK_FAILURE;
}

class Connection {
 public:
  Connection(Fd socket, std::string& answer) : socket_(std::move(socket)) {
    nghttp2_session_callbacks* made = nullptr;
    if (nghttp2_session_callbacks_new(&made) != 0) throw std::bad_alloc();
    const std::unique_ptr<nghttp2_session_callbacks, decltype(&nghttp2_session_callbacks_del)> callbacks(
        made, nghttp2_session_callbacks_del);
    nghttp2_session_callbacks_set_on_frame_recv_callback(made, on_frame);
    nghttp2_option* made_option = nullptr;
    if (nghttp2_option_new(&made_option) != 0) throw std::bad_alloc();
    const std::unique_ptr<nghttp2_option, decltype(&nghttp2_option_del)> option(made_option,
                                                                                nghttp2_option_del);
    nghttp2_option_set_no_closed_streams(made_option, 1);
    nghttp2_session* session = nullptr;
    if (nghttp2_session_server_new2(&session, made, &answer, made_option) != 0) throw std::bad_alloc();
    session_.reset(session);
    const std::array<nghttp2_settings_entry, 2> settings{{
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, kStreams},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, kWindow},
    }};
    if (nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, settings.data(), settings.size()) != 0 ||
        nghttp2_session_set_local_window_size(session, NGHTTP2_FLAG_NONE, 0, 16 * kWindow) != 0)
      throw std::bad_alloc();
  }

  int fd() const noexcept { return socket_.get(); }
  bool blocked() const noexcept { return !out_.empty(); }

  // False when the connection is over.
  bool read(std::span<std::uint8_t> buffer) {
    const ssize_t got = ::recv(socket_.get(), buffer.data(), buffer.size(), 0);
    if (got < 0) return errno == EAGAIN || errno == EINTR;
    if (got == 0) return false;
    return nghttp2_session_mem_recv(session_.get(), buffer.data(), static_cast<std::size_t>(got)) >= 0 &&
           write();
  }

  bool write() {
    const std::uint8_t* bytes = nullptr;
    ssize_t size = 0;
    while ((size = nghttp2_session_mem_send(session_.get(), &bytes)) > 0) {
      out_.insert(out_.end(), bytes, bytes + size);
    }
    if (size < 0) return false;
    if (!out_.empty()) {
      const ssize_t sent = ::send(socket_.get(), out_.data(), out_.size(), MSG_NOSIGNAL);
      if (sent < 0) return errno == EAGAIN || errno == EINTR;
      out_.erase(out_.begin(), out_.begin() + sent);
    }
    return blocked() || nghttp2_session_want_read(session_.get()) != 0;
  }

 private:
  struct SessionDeleter {
    void operator()(nghttp2_session* session) const noexcept { nghttp2_session_del(session); }
  };

  Fd socket_;
  std::unique_ptr<nghttp2_session, SessionDeleter> session_;
  std::vector<std::uint8_t> out_;  // not yet taken by the socket
};

class Loop {
 public:
  Loop(std::uint16_t port, std::string answer)
      : answer_(std::move(answer)),
        epoll_(::epoll_create1(EPOLL_CLOEXEC)),
        listener_(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)),
        buffer_(kReadBytes) {
    const int on = 1;
    ::setsockopt(listener_.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::bind(listener_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
        ::listen(listener_.get(), 1024) != 0)
      fail("listening");
    watch(EPOLL_CTL_ADD, listener_.get(), EPOLLIN);
  }

  [[noreturn]] void run() {
    std::array<epoll_event, 256> events;
    for (;;) {
      const int count = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), -1);
      if (count < 0 && errno != EINTR) fail("waiting");
      for (int i = 0; i < count; ++i) {
        const epoll_event& event = events[static_cast<std::size_t>(i)];
        if (event.data.fd == listener_.get()) {
          accept();
        } else {
          handle(event.data.fd, event.events);
        }
      }
    }
  }

 private:
  void watch(int operation, int fd, std::uint32_t events) {
    epoll_event event{};
    event.events = events;
    event.data.fd = fd;
    if (::epoll_ctl(epoll_.get(), operation, fd, &event) != 0) fail("watching a socket");
  }

  void accept() {
    for (;;) {
      Fd socket(::accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
      if (socket.get() < 0) return;
      const int on = 1;
      ::setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
      const int fd = socket.get();
      connections_.emplace(fd, Connection(std::move(socket), answer_));
      watch(EPOLL_CTL_ADD, fd, EPOLLIN);
    }
  }

  void handle(int fd, std::uint32_t events) {
    Connection& connection = connections_.at(fd);
    const bool blocked = connection.blocked();
    if (((events & EPOLLOUT) != 0 && !connection.write()) ||
        ((events & ~static_cast<std::uint32_t>(EPOLLOUT)) != 0 && !connection.read(buffer_))) {
      connections_.erase(fd);
    } else if (connection.blocked() != blocked) {
      watch(EPOLL_CTL_MOD, fd, EPOLLIN | (connection.blocked() ? EPOLLOUT : 0U));
    }
  }

  std::string answer_;
  Fd epoll_;
  Fd listener_;
  std::vector<std::uint8_t> buffer_;
  std::unordered_map<int, Connection> connections_;
};

// With the prefix that gRPC puts before a message: not compressed, 4 bytes of length.
std::string framed(const std::string& message) {
  std::string out(1, '\0');
  for (int shift = 24; shift >= 0; shift -= 8) out += static_cast<char>(message.size() >> shift & 0xff);
  return out + message;
}

}  // namespace

int main(int argc, char** argv) {
  std::uint16_t port = 0;
  const std::string_view digits = argc == 3 ? argv[1] : "";
  std::from_chars(digits.data(), digits.data() + digits.size(), port);
  std::ifstream file(argc == 3 ? argv[2] : "", std::ios::binary);
  if (port == 0 || !file) {
    std::fprintf(stderr, "usage: echo PORT FILE\n\nAnswers every gRPC request with the message in FILE.\n");
    return 2;
  }
  const std::string answer((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  if (answer.size() > kAnswerLimit) {
    std::fprintf(stderr, "echo: the answer has %zu bytes; at most %zu are one frame\n", answer.size(),
                 kAnswerLimit);
    return 2;
  }
  std::signal(SIGTERM, [](int) { ::_exit(0); });
  try {
    Loop(port, framed(answer)).run();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "echo: %s\n", error.what());
    return 1;
  }
}
