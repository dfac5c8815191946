// Connection: one peer's transport and session, and its timeouts.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "net/options.h"
#include "net/session.h"
#include "net/transport.h"

namespace penstock::net {

// Owned by a loop, used by its thread alone. After any call that returns false it is to be destroyed.
class Connection {
 public:
  Connection(std::unique_ptr<Transport> transport, const Options& options, const Methods& methods,
             Handler& handler, Deadlines& deadlines, Traffic& traffic, Budget& budget, std::uint64_t id);

  int fd() const noexcept { return transport_->fd(); }
  Session& session() noexcept { return session_; }

  // Reads what there is into `buffer`, as often as it fills, and handles it.
  bool read(std::span<std::byte> buffer);
  // Sends what there is to send.
  bool flush();
  // Whether the loop is to call flush() when the socket takes more.
  bool blocked() const noexcept { return blocked_; }
  // Looks at the timeouts; several times a second.
  bool tick(std::int64_t now_ns);

  // Stops taking calls; closes once those in flight are answered.
  void drain(std::int64_t now_ns);

 private:
  bool refuse_preface();
  bool send();
  bool linger();
  bool read_on(std::span<std::byte> buffer);
  bool answers_move();
  bool finish_stalled_requests(std::int64_t now_ns);
  bool finish_idle_streams(std::int64_t now_ns);

  const Options& options_;
  Traffic& traffic_;
  std::unique_ptr<Transport> transport_;
  Session session_;
  std::array<char, 16> first_bytes_{};  // to tell HTTP/1.1 from noise
  std::size_t first_size_ = 0;
  std::int64_t opened_ns_;
  std::int64_t read_ns_;
  std::int64_t moved_ns_;  // when answers last moved, or none waited
  std::uint64_t moved_ = 0;
  std::int64_t busy_ns_;  // when a call was last open
  std::int64_t drain_ns_ = 0;
  std::int64_t linger_ns_ = 0;  // since all was said
  bool blocked_ = false;
};

}  // namespace penstock::net
