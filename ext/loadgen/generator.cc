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

constexpr std::int64_t kForever = std::numeric_limits<std::int64_t>::max();
constexpr std::size_t kBufferBytes = 256 * 1024;
// Requests that are submitted before the first of them is flushed, when many are due.
constexpr std::size_t kBatch = 128;
// A sleeping processor takes some tens of microseconds to wake. The last ones before a request is due are
// spent looking at the sockets instead.
constexpr std::int64_t kSpinNs = 60'000;
// How long lost connections are left alone at a time.
constexpr std::int64_t kMendNs = 5'000'000;

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
      buffer_(kBufferBytes),
      next_body_(share % plan.bodies.size()) {
  if (!epoll_.valid()) throw system_error("epoll_create1");
  for (std::size_t i = 0; i < part(plan.connections, share, plan.threads); ++i)
    clients_.emplace_back(plan.endpoint, plan.patience_ns, epoll_.get(), i, headers,
                          static_cast<Connection::Receiver&>(*this));
  epoll_event event{.events = EPOLLIN, .data = {.ptr = nullptr}};  // the stop
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, stop_, &event) != 0) throw system_error("epoll_ctl");
}

void Generator::settle() {
  const std::int64_t limit = monotonic_ns() + plan_.patience_ns;
  for (Place& each : clients_) flush(*each.connection());
  const auto unsettled = [](const Place& each) {
    return each.connection() == nullptr || !each.connection()->takes() || !each.connection()->settled();
  };
  for (auto waits = clients_.begin();
       (waits = std::find_if(waits, clients_.end(), unsettled)) != clients_.end() && !stopped_;) {
    const Connection* connection = waits->connection();
    if (connection == nullptr || !connection->takes())
      throw std::runtime_error("a connection was lost at once: " +
                               std::string(connection == nullptr ? waits->reason() : connection->reason()));
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
  totals_.measured_ns = std::max<std::int64_t>(over - from_, 0);
  if (measuring_) {
    totals_.processor_ns = thread_ns() - processor_ns_before_;
    totals_.reconnects = all_reconnects() - reconnects_before_;
  }
  drain();
}

void Generator::measure_from_now() {
  measuring_ = true;
  processor_ns_before_ = thread_ns();
  reconnects_before_ = all_reconnects();
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
    totals_.requests += counted ? 1 : 0;
    const std::size_t index = std::exchange(next_client_, (next_client_ + 1) % clients_.size());
    if (under_way_ >= plan_.most_under_way) {
      if (counted) outcome_.failed(Failure::kTooMany);
      continue;
    }
    Call& call = fresh_call(index, due);
    if (submit(call)) {
      touch(index);
      batch_.push_back(&call);
      if (batch_.size() == kBatch) flush_touched();
    } else {
      free_.push_back(&call);
      if (counted) outcome_.failed(Failure::kClosed, 0, clients_[index].reason());
    }
  }
  flush_touched();
}

void Generator::run_closed() {
  serve(start_, false);
  for (std::size_t index = 0; index < clients_.size(); ++index) {
    clients_[index].parked = plan_.closed.streams;
    ail(index);
  }
  for (std::int64_t now = monotonic_ns(); !stopped_ && now < end_; now = monotonic_ns()) {
    if (now >= from_ && !measuring_) measure_from_now();
    serve_events(std::min<std::int64_t>((measuring_ ? end_ : from_) - now, 100'000'000));
  }
  // A stream that found no connection counts, whenever it lost its last one: there was less load without it.
  for (const Place& each : clients_) {
    totals_.requests += each.parked;
    outcome_.failed(Failure::kClosed, 0, each.reason(), each.parked);
  }
}

void Generator::drain() {
  const std::int64_t patience = std::max(plan_.patience_ns, plan_.deadline_ns);
  const std::int64_t limit = monotonic_ns() + patience;
  // A stop ends the sending; what is under way is waited for all the same.
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, stop_, nullptr);
  while (under_way_ != 0 && monotonic_ns() < limit) serve_events(1'000'000);
  // A stream of a closed loop whose answer never comes counts, whenever its request was sent.
  if (!plan_.open) totals_.requests += under_way_;
  outcome_.failed(Failure::kUnanswered, 0, {}, plan_.open ? counted_under_way_ : under_way_);
}

Call& Generator::fresh_call(std::size_t client, std::int64_t due_ns) {
  if (free_.empty()) free_.push_back(&calls_.emplace_back());
  Call& call = *free_.back();
  free_.pop_back();
  call.due_ns = due_ns;
  call.late_ns = 0;
  call.counted = due_ns >= from_;
  call.client = client;
  return call;
}

bool Generator::submit(Call& call) {
  call.body = &plan_.bodies[next_body_];
  call.answer.reset(*call.body);
  call.resent = false;
  if (!clients_[call.client].submit(call)) return false;
  next_body_ = (next_body_ + 1) % plan_.bodies.size();
  ++under_way_;
  counted_under_way_ += call.counted ? 1 : 0;
  sent_.store(sent_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  if (plan_.deadline_ns > 0) timed_.push(call);
  return true;
}

void Generator::touch(std::size_t client) {
  if (!std::exchange(clients_[client].touched, true)) touched_.push_back(client);
}

void Generator::ail(std::size_t client) {
  if (!std::exchange(clients_[client].ailing, true)) ailing_.push_back(client);
}

void Generator::flush_touched() {
  for (const std::size_t index : touched_) {
    clients_[index].touched = false;
    if (Connection* connection = clients_[index].connection(); connection != nullptr) flush(*connection);
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
  if (!ailing_.empty()) {
    mend(monotonic_ns());
    if (!ailing_.empty()) timeout_ns = std::min(timeout_ns, kMendNs);
  }
  if (timed_.first() != nullptr) {
    expire(monotonic_ns());
    if (const Call* first = timed_.first(); first != nullptr)
      timeout_ns =
          std::clamp<std::int64_t>(first->due_ns + plan_.deadline_ns - monotonic_ns(), 0, timeout_ns);
  }
  const timespec timeout{.tv_sec = timeout_ns / 1'000'000'000, .tv_nsec = timeout_ns % 1'000'000'000};
  std::array<epoll_event, 64> events;
  const int found =
      ::epoll_pwait2(epoll_.get(), events.data(), static_cast<int>(events.size()), &timeout, nullptr);
  if (found < 0 && errno != EINTR) throw system_error("epoll_pwait2");
  for (int i = 0; i < found; ++i) {
    const epoll_event& event = events[static_cast<std::size_t>(i)];
    if (event.data.ptr == nullptr) {
      stopped_ = true;
      continue;
    }
    // Connections end in mend() alone, so that each is still there.
    Connection& connection = *static_cast<Connection*>(event.data.ptr);
    if ((event.events & ~static_cast<std::uint32_t>(EPOLLOUT)) != 0) connection.read(buffer_);
    flush(connection);
  }
}

void Generator::flush(Connection& connection) {
  connection.flush();
  if (!connection.takes()) ail(connection.client());
}

void Generator::mend(std::int64_t now) {
  for (std::size_t i = 0; i < ailing_.size();) {
    Place& client = clients_[ailing_[i]];
    const bool well = client.mend(now, sending_);
    while (Call* call = client.take_failed()) conclude(*call, now, NGHTTP2_NO_ERROR, client.reason());
    if (sending_ && client.connection() != nullptr && client.parked != 0) {
      for (std::size_t left = std::exchange(client.parked, 0); left > 0; --left)
        follow(fresh_call(ailing_[i], now), now);
      client.connection()->flush();
    }
    if (well && client.connection()->takes()) {
      client.ailing = false;
      ailing_[i] = ailing_.back();
      ailing_.pop_back();
    } else {
      ++i;
    }
  }
}

void Generator::expire(std::int64_t now) {
  for (Call* call; (call = timed_.first()) != nullptr && call->due_ns + plan_.deadline_ns <= now;) {
    touch(call->client);
    if (call->connection != clients_[call->client].connection()) ail(call->client);
    clients_[call->client].cancel(*call);
    conclude(*call, now, NGHTTP2_CANCEL);
  }
  flush_touched();
}

void Generator::on_ended(Connection& connection, Call& call, std::uint32_t error_code) {
  const bool never_sent = call.stream == 0;
  if (error_code == NGHTTP2_REFUSED_STREAM && (never_sent || !call.resent)) {
    call.resent = call.resent || !never_sent;
    call.answer.reset(*call.body);
    ail(call.client);  // which flushes its connection
    if (!clients_[call.client].submit(call))
      return conclude(call, monotonic_ns(), error_code, clients_[call.client].reason());
    totals_.resent += measuring_ && !never_sent ? 1 : 0;
    return;
  }
  if (connection.open())
    conclude(call, connection.received_ns(), error_code);
  else
    conclude(call, monotonic_ns(), error_code, connection.reason());
}

void Generator::conclude(Call& call, std::int64_t now, std::uint32_t error_code,
                         std::optional<std::string_view> lost) {
  --under_way_;
  counted_under_way_ -= call.counted ? 1 : 0;
  answered_.store(answered_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  if (plan_.deadline_ns > 0) timed_.remove(call);
  const bool in_time = now >= from_ && now < end_ && (sending_ || !stopped_);
  // In a closed loop, what ends in the time counts, and what is under way at its end does not.
  const bool counts = plan_.open ? call.counted : in_time && sending_;
  if (counts && !plan_.open) ++totals_.requests;
  if (lost) {
    if (counts) outcome_.failed(Failure::kClosed, 0, *lost);
  } else {
    const bool good =
        counts ? outcome_.ended(call, error_code, now) : in_time && outcome_.good(call, error_code, now);
    if (good && in_time) ++totals_.answered_in_time;
  }
  if (plan_.open || !sending_)
    free_.push_back(&call);
  else
    follow(call, now);
}

void Generator::follow(Call& call, std::int64_t now) {
  call.due_ns = now;
  if (submit(call)) return;
  free_.push_back(&call);
  ++clients_[call.client].parked;
}

std::uint64_t Generator::all_reconnects() const noexcept {
  std::uint64_t sum = 0;
  for (const Place& each : clients_) sum += each.reconnects();
  return sum;
}

}  // namespace penstock::loadgen
