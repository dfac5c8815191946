#include "loadgen/generator.h"

#include <sys/prctl.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <limits>
#include <stdexcept>
#include <string>
#include <utility>

#include "base/clock.h"

namespace penstock::loadgen {

namespace {

constexpr std::uint64_t kStop = ~std::uint64_t{0};
constexpr std::int64_t kForever = std::numeric_limits<std::int64_t>::max();
constexpr std::size_t kBufferBytes = 256 * 1024;
// Requests that are submitted before the first of them is flushed, when many are due.
constexpr std::size_t kBatch = 128;
// A sleeping processor takes some tens of microseconds to wake. The last ones before a request is due are
// spent looking at the sockets instead.
constexpr std::int64_t kSpinNs = 60'000;

std::runtime_error system_error(const std::string& what) {
  return std::runtime_error(what + ": " + std::strerror(errno));
}

std::int64_t thread_ns() {
  timespec used{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
  return used.tv_sec * std::int64_t{1'000'000'000} + used.tv_nsec;
}

// Of `total`, so that all shares together have it.
std::size_t part(std::size_t total, unsigned share, unsigned shares) {
  return total / shares + (share < total % shares ? 1 : 0);
}

}  // namespace

Generator::Generator(const Plan& plan, const HeaderBlock& headers, int stop, unsigned share)
    : plan_(plan),
      outcome_(plan.bodies, plan.deadline_ns, plan.trace),
      schedule_(plan.open ? plan.open->arrivals : Arrivals::kEven, plan.open ? plan.open->rate : 1,
                plan.open ? plan.open->seed : 0, share, plan.threads),
      stop_(stop),
      epoll_(::epoll_create1(EPOLL_CLOEXEC)),
      clients_(part(plan.connections, share, plan.threads)),
      buffer_(kBufferBytes),
      next_body_(share % plan.bodies.size()) {
  if (!epoll_.valid()) throw system_error("epoll_create1");
  for (std::size_t i = 0; i < clients_.size(); ++i) {
    clients_[i].connection = std::make_unique<Connection>(plan.endpoint, plan.patience_ns, headers, *this);
    epoll_event event{.events = EPOLLIN, .data = {.u64 = i}};
    if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, clients_[i].connection->fd(), &event) != 0)
      throw system_error("epoll_ctl");
  }
  epoll_event event{.events = EPOLLIN, .data = {.u64 = kStop}};
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, stop_, &event) != 0) throw system_error("epoll_ctl");
}

void Generator::settle() {
  const std::int64_t limit = monotonic_ns() + plan_.patience_ns;
  for (std::size_t i = 0; i < clients_.size(); ++i) flush(i);
  const auto unsettled = [](const Client& client) { return !client.connection->settled(); };
  for (auto waits = clients_.begin();
       (waits = std::find_if(waits, clients_.end(), unsettled)) != clients_.end() && !stopped_;) {
    if (!waits->connection->open())
      throw std::runtime_error("a connection was lost at once: " + waits->connection->reason());
    if (monotonic_ns() > limit)
      throw std::runtime_error("the peer takes connections and does not answer as an HTTP/2 server");
    serve_events(10'000'000);
  }
}

void Generator::run(std::int64_t start_ns) {
  // Of this thread alone: its sleeps end when they are to.
  ::prctl(PR_SET_TIMERSLACK, 1UL);
  start_ = start_ns;
  from_ = start_ + plan_.warmup_ns;
  end_ = plan_.duration_ns > 0 ? from_ + plan_.duration_ns : kForever;
  sending_ = true;
  if (plan_.open)
    run_open();
  else
    run_closed();
  sending_ = false;
  // An open loop is over when no more is due in its time, which may be a moment before that is.
  const std::int64_t over = plan_.open && !stopped_ ? end_ : std::min(monotonic_ns(), end_);
  measured_ns_ = std::max<std::int64_t>(over - from_, 0);
  processor_ns_ = measuring_ ? thread_ns() - processor_ns_ : 0;
  drain();
}

void Generator::measure_from_now() {
  measuring_ = true;
  processor_ns_ = thread_ns();
}

void Generator::run_open() {
  const auto due = [this] { return start_ + schedule_.due(); };
  while (!stopped_ && due() < end_) {
    serve(due(), true);
    if (!stopped_) send_due(std::min(monotonic_ns(), end_ - 1));
  }
}

void Generator::send_due(std::int64_t now) {
  for (std::int64_t due; (due = start_ + schedule_.due()) <= now; schedule_.advance()) {
    const bool counted = due >= from_;
    if (counted && !measuring_) measure_from_now();
    requests_ += counted ? 1 : 0;
    const std::size_t index = std::exchange(next_client_, (next_client_ + 1) % clients_.size());
    if (under_way_ >= plan_.most_under_way) {
      if (counted) outcome_.failed(Failure::kTooMany);
      continue;
    }
    Call& call = fresh_call(index, due);
    if (submit(call)) {
      if (!std::exchange(clients_[index].touched, true)) touched_.push_back(index);
      batch_.push_back(&call);
      if (batch_.size() == kBatch) flush_touched();
    } else {
      free_.push_back(&call);
      if (counted) outcome_.failed(Failure::kClosed, 0, clients_[index].connection->reason());
    }
  }
  flush_touched();
}

void Generator::run_closed() {
  serve(start_, false);
  for (std::size_t index = 0; index < clients_.size(); ++index) {
    for (std::size_t i = 0; i < plan_.closed.streams; ++i)
      if (Call& call = fresh_call(index, monotonic_ns()); !submit(call)) free_.push_back(&call);
    flush(index);
  }
  for (std::int64_t now = monotonic_ns(); !stopped_ && now < end_ && under_way_ != 0; now = monotonic_ns()) {
    if (now >= from_ && !measuring_) measure_from_now();
    serve_events(std::min<std::int64_t>((measuring_ ? end_ : from_) - now, 100'000'000));
  }
}

void Generator::drain() {
  const std::int64_t patience = std::max(plan_.patience_ns, plan_.deadline_ns);
  const std::int64_t limit = monotonic_ns() + patience;
  // A stop ends the sending; what is under way is waited for all the same.
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, stop_, nullptr);
  while (under_way_ != 0 && monotonic_ns() < limit) serve_events(1'000'000);
  if (!plan_.open) requests_ += counted_under_way_;
  outcome_.failed(Failure::kUnanswered, 0, {}, counted_under_way_);
}

Call& Generator::fresh_call(std::size_t connection, std::int64_t due_ns) {
  if (free_.empty()) free_.push_back(&calls_.emplace_back());
  Call& call = *free_.back();
  free_.pop_back();
  call.due_ns = due_ns;
  call.late_ns = 0;
  call.counted = due_ns >= from_;
  call.connection = connection;
  return call;
}

bool Generator::submit(Call& call) {
  call.body = &plan_.bodies[next_body_];
  call.answer.reset(*call.body);
  if (!clients_[call.connection].connection->submit(call)) return false;
  next_body_ = (next_body_ + 1) % plan_.bodies.size();
  ++under_way_;
  counted_under_way_ += call.counted ? 1 : 0;
  sent_.store(sent_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  return true;
}

void Generator::flush_touched() {
  for (const std::size_t index : touched_) {
    clients_[index].touched = false;
    flush(index);
  }
  touched_.clear();
  if (batch_.empty()) return;
  const std::int64_t now = monotonic_ns();
  for (Call* call : batch_) {
    call->late_ns = now - call->due_ns;
    if (call->counted) outcome_.sent(call->late_ns);
  }
  batch_.clear();
}

void Generator::serve(std::int64_t until, bool spins) {
  std::int64_t left = until - monotonic_ns();
  do {
    serve_events(std::max<std::int64_t>(left - (spins ? kSpinNs : 0), 0));
    left = until - monotonic_ns();
  } while (left > 0 && !stopped_);
}

void Generator::serve_events(std::int64_t timeout_ns) {
  const timespec timeout{.tv_sec = timeout_ns / 1'000'000'000, .tv_nsec = timeout_ns % 1'000'000'000};
  std::array<epoll_event, 64> events;
  const int found =
      ::epoll_pwait2(epoll_.get(), events.data(), static_cast<int>(events.size()), &timeout, nullptr);
  if (found < 0 && errno != EINTR) throw system_error("epoll_pwait2");
  for (int i = 0; i < found; ++i) {
    const epoll_event& event = events[static_cast<std::size_t>(i)];
    if (event.data.u64 == kStop) {
      stopped_ = true;
      continue;
    }
    Client& client = clients_[event.data.u64];
    if ((event.events & ~static_cast<std::uint32_t>(EPOLLOUT)) != 0) client.connection->read(buffer_);
    flush(event.data.u64);
  }
}

void Generator::flush(std::size_t index) {
  Client& client = clients_[index];
  Connection& connection = *client.connection;
  const bool blocked = !connection.flush() && connection.open();
  if (blocked == client.blocked || !connection.open()) return;
  epoll_event event{.events = EPOLLIN | (blocked ? EPOLLOUT : 0U), .data = {.u64 = index}};
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, connection.fd(), &event) != 0) throw system_error("epoll_ctl");
  client.blocked = blocked;
}

void Generator::on_ended(Call& call, std::uint32_t error_code) {
  --under_way_;
  counted_under_way_ -= call.counted ? 1 : 0;
  answered_.store(answered_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  const Connection& connection = *clients_[call.connection].connection;
  const bool lost = !connection.open();
  // In a closed loop, what ends in the time counts; what is under way at its end does not, unless it never
  // ends.
  if (call.counted && (plan_.open || sending_ || lost)) {
    if (!plan_.open) ++requests_;
    if (lost)
      outcome_.failed(Failure::kClosed, 0, connection.reason());
    else
      outcome_.ended(call, error_code, connection.received_ns());
  }
  if (plan_.open || !sending_ || lost) {
    free_.push_back(&call);
    return;
  }
  call.due_ns = connection.received_ns();
  call.counted = call.due_ns >= from_;
  if (!submit(call)) free_.push_back(&call);
}

}  // namespace penstock::loadgen
