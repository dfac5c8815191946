#include "net/poller.h"

#include <algorithm>
#include <cerrno>
#include <ctime>

#include "base/clock.h"

namespace penstock::net {
namespace {

bool control(int epoll, int operation, int fd, std::uint32_t events, std::uint64_t id) noexcept {
  epoll_event event{};
  event.events = events;
  event.data.u64 = id;
  return ::epoll_ctl(epoll, operation, fd, &event) == 0;
}

}  // namespace

bool Poller::open() noexcept {
  epoll_ = Fd(::epoll_create1(EPOLL_CLOEXEC));
  return epoll_.valid();
}

bool Poller::watch(int fd, std::uint32_t events, std::uint64_t id) noexcept {
  return control(epoll_.get(), EPOLL_CTL_ADD, fd, events, id);
}

bool Poller::change(int fd, std::uint32_t events, std::uint64_t id) noexcept {
  return control(epoll_.get(), EPOLL_CTL_MOD, fd, events, id);
}

void Poller::forget(int fd) noexcept { control(epoll_.get(), EPOLL_CTL_DEL, fd, 0, 0); }

int Poller::wait(std::span<epoll_event> events, std::int64_t wait_ns, bool may_spin) noexcept {
  if (!may_spin || wait_ns == 0 || !spin_.pays()) return sleep(events, wait_ns);
  const std::int64_t window = wait_ns < 0 ? spin_.window_ns() : std::min(spin_.window_ns(), wait_ns);
  if (const int count = look(events, window); count != 0) {
    spin_.found();
    return count;
  }
  spin_.missed();
  return sleep(events, wait_ns < 0 ? wait_ns : wait_ns - window);
}

int Poller::look(std::span<epoll_event> events, std::int64_t for_ns) noexcept {
  const std::int64_t until = monotonic_ns() + for_ns;
  int count = 0;
  do {
    count = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), 0);
  } while (count == 0 && monotonic_ns() < until);
  return count;
}

// To the nanosecond where the kernel can (5.11), to the next millisecond otherwise.
int Poller::sleep(std::span<epoll_event> events, std::int64_t wait_ns) noexcept {
  const auto capacity = static_cast<int>(events.size());
  const timespec precise{wait_ns / 1'000'000'000, wait_ns % 1'000'000'000};
  const int count =
      ::epoll_pwait2(epoll_.get(), events.data(), capacity, wait_ns < 0 ? nullptr : &precise, nullptr);
  if (count >= 0 || errno == EINTR) return count;
  // ENOSYS, or EPERM from a sandbox that is older than the call.
  const std::int64_t ms = wait_ns < 0 ? -1 : std::min<std::int64_t>((wait_ns + 999'999) / 1'000'000, 60'000);
  return ::epoll_wait(epoll_.get(), events.data(), capacity, static_cast<int>(ms));
}

}  // namespace penstock::net
