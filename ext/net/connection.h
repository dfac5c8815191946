// Connection: one peer's transport and session, and its timeouts.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "net/options.h"
#include "net/session.h"
#include "net/transport.h"

namespace penstock::net {

// Whether a peer takes what waits for it: a part of it again and again, however slowly, but no slower than
// kPart a timeout.
class Progress {
 public:
  // `taken` so far, `waiting` beyond that. Asked several times a second.
  bool stalled(std::uint64_t taken, std::size_t waiting, std::int64_t timeout, std::int64_t now_ns) noexcept {
    if (waiting == 0 || taken >= goal_ || since_ns_ == 0) {
      goal_ = taken + std::min(waiting, kPart);
      since_ns_ = now_ns;
    }
    return timeout > 0 && now_ns - since_ns_ > timeout;
  }

 private:
  static constexpr std::size_t kPart = 256 * 1024;

  std::uint64_t goal_ = 0;
  std::int64_t since_ns_ = 0;
};

// Owned by a loop, used by its thread alone. After any call that returns false it is to be destroyed.
class Connection {
 public:
  Connection(std::unique_ptr<Transport> transport, const Options& options, const Methods& methods,
             Handler& handler, Deadlines& deadlines, Traffic& traffic, Budget& budget, std::uint64_t id);

  int fd() const noexcept { return transport_->fd(); }
  Session& session() noexcept { return session_; }

  // A read's size: it bounds the calls that one turn works on.
  static constexpr std::size_t kTurnBytes = 16 * 1024;

  // Reads what there is into `buffer`, as often as it fills, and handles it. What there is to say then waits
  // for flush(). Of calls that wait as well, the bytes lie in the first taken() of the buffer.
  bool read(std::span<std::byte> buffer);
  std::size_t taken() const noexcept { return taken_; }
  // Sends what there is to send.
  bool flush();
  // Whether the loop is to call flush() when the socket takes more.
  bool blocked() const noexcept { return blocked_; }
  // Looks at the timeouts; several times a second.
  bool tick(std::int64_t now_ns);

  // Stops taking calls; closes once those in flight are answered.
  void drain(std::int64_t now_ns);
  // Ends what is still open, as far as the socket takes it at once. The last call.
  void cut_off();

 private:
  bool refuse_preface();
  bool calm_down();
  bool send();
  bool linger();
  bool read_on(std::span<std::byte> buffer);
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
  Progress socket_;        // of what was written to the socket
  Progress window_;        // of what the peer's windows let through
  std::size_t taken_ = 0;  // bytes of the last read
  bool bulk_ = false;      // what came last was part of something larger
  std::int64_t busy_ns_;   // when a call was last open
  std::int64_t drain_ns_ = 0;
  std::int64_t linger_ns_ = 0;  // since all was said
  bool blocked_ = false;
};

}  // namespace penstock::net
