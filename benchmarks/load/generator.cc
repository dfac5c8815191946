#include "load/generator.h"

#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <ctime>
#include <limits>
#include <stdexcept>
#include <utility>

#include "base/clock.h"

namespace penstock::load {

namespace {

constexpr std::uint64_t kStop = ~std::uint64_t{0};
// A sleeping processor takes some tens of microseconds to wake. The last ones before a request is due are
// spent looking at the sockets instead.
constexpr std::int64_t kSpinNs = 60'000;

std::runtime_error system_error(const std::string& what) {
  return std::runtime_error(what + ": " + std::strerror(errno));
}

}  // namespace

Generator::Generator(const Plan& plan, Request request, std::vector<std::string> answers)
    : plan_(plan),
      request_(std::move(request)),
      outcomes_(std::move(answers), plan.trace),
      epoll_(::epoll_create1(EPOLL_CLOEXEC)) {
  if (epoll_ < 0) throw system_error("epoll_create1");
  ::prctl(PR_SET_TIMERSLACK, 1UL);
  for (int i = 0; i < plan.connections; ++i) {
    connections_.push_back(std::make_unique<Connection>(plan.host, plan.port, request_, *this));
    blocked_.push_back(false);
    epoll_event event{.events = EPOLLIN, .data = {.u64 = static_cast<std::uint64_t>(i)}};
    if (::epoll_ctl(epoll_, EPOLL_CTL_ADD, connections_.back()->fd(), &event) != 0)
      throw system_error("epoll_ctl");
  }
  if (plan.stop_fd >= 0) {
    epoll_event event{.events = EPOLLIN, .data = {.u64 = kStop}};
    if (::epoll_ctl(epoll_, EPOLL_CTL_ADD, plan.stop_fd, &event) != 0)
      throw system_error("the standard input cannot be waited for (a pipe can)");
  }
}

Generator::~Generator() {
  if (epoll_ >= 0) ::close(epoll_);
}

void Generator::run() {
  constexpr auto kForever = std::numeric_limits<std::int64_t>::max();
  // The prefaces and settings are over before the first request is due.
  for (std::size_t i = 0; i < connections_.size(); ++i) serve(i, EPOLLOUT);
  start_ = monotonic_ns() + 50'000'000;
  const std::int64_t end = plan_.seconds > 0 ? start_ + std::llround(plan_.seconds * 1e9) : kForever;
  bool stopped = false;
  while (!stopped && due_at(due_) < end) {
    stopped = wait(due_at(due_));
    if (!stopped) send_due(std::min(monotonic_ns(), end - 1));
  }
  seconds_ = static_cast<double>(due_at(due_) - start_) / 1e9;
  const std::int64_t last = monotonic_ns() + std::llround(plan_.patience_s * 1e9);
  const auto missing = [&] { return due_ - unsent_ - outcomes_.answered(); };
  const auto any_open = [&] {
    return std::ranges::any_of(connections_, [](const auto& each) { return each->open(); });
  };
  while (missing() != 0 && any_open() && monotonic_ns() < last)
    wait(std::min(last, monotonic_ns() + 1'000'000));
  outcomes_.lost("no answer", missing());
}

std::int64_t Generator::due_at(std::uint64_t number) const noexcept {
  return start_ + std::llround(static_cast<double>(number) * (1e9 / plan_.rate));
}

void Generator::send_due(std::int64_t now) {
  for (; due_at(due_) <= now; ++due_) {
    const std::size_t index = due_ % connections_.size();
    if (free_.empty()) free_.push_back(&calls_.emplace_back());
    Call* call = free_.back();
    call->reset(due_at(due_));
    if (connections_[index]->submit(*call)) {
      free_.pop_back();
      serve(index, EPOLLOUT);
      call->late_ns = monotonic_ns() - call->due_ns;
      outcomes_.sent(call->late_ns);
    } else {
      ++unsent_;
      outcomes_.lost("connection closed");
    }
  }
}

bool Generator::wait(std::int64_t until) {
  bool stopped = false;
  while (!stopped) {
    const std::int64_t left = until - monotonic_ns();
    if (left <= 0) break;
    const std::int64_t sleep = std::max<std::int64_t>(left - kSpinNs, 0);
    const timespec timeout{.tv_sec = sleep / 1'000'000'000, .tv_nsec = sleep % 1'000'000'000};
    std::array<epoll_event, 64> events;
    const int found =
        ::epoll_pwait2(epoll_, events.data(), static_cast<int>(events.size()), &timeout, nullptr);
    if (found < 0 && errno != EINTR) throw system_error("epoll_pwait2");
    for (int i = 0; i < found; ++i) {
      const epoll_event& event = events[static_cast<std::size_t>(i)];
      if (event.data.u64 == kStop)
        stopped = true;
      else
        serve(event.data.u64, event.events);
    }
  }
  return stopped;
}

void Generator::serve(std::size_t index, std::uint32_t events) {
  Connection& connection = *connections_[index];
  if ((events & ~static_cast<std::uint32_t>(EPOLLOUT)) != 0) connection.read();
  const bool blocked = !connection.flush() && connection.open();
  if (blocked != blocked_[index]) {
    epoll_event event{.events = EPOLLIN | (blocked ? EPOLLOUT : 0U), .data = {.u64 = index}};
    if (::epoll_ctl(epoll_, EPOLL_CTL_MOD, connection.fd(), &event) != 0) throw system_error("epoll_ctl");
    blocked_[index] = blocked;
  }
}

void Generator::on_ended(Call& call, std::uint32_t error_code) noexcept {
  outcomes_.ended(call, error_code, monotonic_ns());
  free_.push_back(&call);
}

}  // namespace penstock::load
