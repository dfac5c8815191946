// Poller: what a loop waits at: the descriptors that it watches, and how it waits for their events.
#pragma once

#include <sys/epoll.h>

#include <cstdint>
#include <span>

#include "base/fd.h"
#include "net/spin.h"

namespace penstock::net {

// An epoll instance, level-triggered. Owned by one thread.
class Poller {
 public:
  explicit Poller(std::int64_t spin_ns) noexcept : spin_(spin_ns) {}

  // False, and errno, when the system refuses; so do watch() and change().
  bool open() noexcept;
  // Events of `fd` come with `id` in data.u64.
  bool watch(int fd, std::uint32_t events, std::uint64_t id) noexcept;
  bool change(int fd, std::uint32_t events, std::uint64_t id) noexcept;
  void forget(int fd) noexcept;

  // The number of events, at most wait_ns from now (negative: without end); negative when interrupted.
  // `may_spin`: it may look for them for a while before it sleeps.
  int wait(std::span<epoll_event> events, std::int64_t wait_ns, bool may_spin) noexcept;

 private:
  int look(std::span<epoll_event> events, std::int64_t for_ns) noexcept;
  int sleep(std::span<epoll_event> events, std::int64_t wait_ns) noexcept;

  Fd epoll_;
  Spin spin_;
};

}  // namespace penstock::net
