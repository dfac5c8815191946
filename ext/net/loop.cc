#include "net/loop.h"

#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

#include "base/clock.h"
#include "base/scheduling.h"
#include "base/signals.h"

namespace penstock::net {
namespace {

constexpr std::size_t kReceiveBytes = 256 * 1024;
constexpr std::int64_t kTickNs = 100'000'000;
constexpr std::int64_t kListenPauseNs = 200'000'000;
// epoll's user data: connections count from 1, listeners down from the top.
constexpr std::uint64_t kWake = 0;
constexpr std::uint64_t kListener = UINT64_MAX - 16;

constexpr std::size_t align_up(std::size_t bytes) noexcept {
  return (bytes + Arena::kAlignment - 1) / Arena::kAlignment * Arena::kAlignment;
}

}  // namespace

Status Loop::start(std::size_t index, Shared& shared, std::unique_ptr<Loop>* made) {
  std::unique_ptr<Loop> loop(new Loop(index, shared));
  loop->wake_ = Fd(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  if (!loop->poller_.open() || !loop->wake_.valid() ||
      !loop->poller_.watch(loop->wake_.get(), EPOLLIN, kWake)) {
    return {Code::kResourceExhausted, std::string("cannot make an event loop: ") + std::strerror(errno)};
  }
  loop->buffer_.resize(kReceiveBytes);
  try {
    const SignalsBlocked blocked;
    loop->thread_ = std::thread([running = loop.get()] { running->run(); });
  } catch (const std::system_error& error) {
    return {Code::kResourceExhausted, std::string("cannot start a loop's thread: ") + error.what()};
  }
  *made = std::move(loop);
  return Status::ok();
}

Loop::~Loop() { stop(); }

bool Loop::post(Task task) {
  {
    const std::lock_guard lock(mutex_);
    if (closed_) return false;
    tasks_.push_back(std::move(task));
  }
  wake();
  return true;
}

void Loop::wake() noexcept {
  const std::uint64_t one = 1;
  // Fails only when the counter is full, and then the loop is woken anyway.
  [[maybe_unused]] const ssize_t written = ::write(wake_.get(), &one, sizeof one);
}

void Loop::give_back(engine::Jobs& done) noexcept {
  engine::Jobs left;  // destroyed without the lock
  {
    const std::lock_guard lock(mutex_);
    if (closed_) {
      left.swap(done);
      return;
    }
    done_.splice(done_.end(), done);
  }
  wake();
}

void Loop::stop() {
  if (!thread_.joinable()) return;
  post([](Loop& loop) { loop.stopping_ = true; });
  thread_.join();
}

void Loop::run() {
  pthread_setname_np(pthread_self(), ("penstock-" + std::to_string(index_)).c_str());
  ask_for_short_slices();
  std::array<epoll_event, 256> events;
  while (!stopping_) {
    const int count = poller_.wait(events, next_wake(), may_spin());
    for (int i = 0; i < count; ++i) {
      const std::uint64_t id = events[static_cast<std::size_t>(i)].data.u64;
      if (id == kWake) {
        if (service_.gathered() > 0) settle();  // tasks may replace what gathered requests refer to
        run_tasks();
      } else if (id >= kListener) {
        // None are left when a task of this very turn began the drain.
        if (const std::size_t at = id - kListener; at < listeners_.size()) accept(listeners_[at]);
      } else {
        handle(id, events[static_cast<std::size_t>(i)].events);
      }
    }
    settle();
    if (deadlines_.empty() && connections_.empty() && listen_again_ns_ == 0) continue;
    now_ns_ = monotonic_ns();
    expire(now_ns_);
    if (now_ns_ >= next_tick_ns_) tick(now_ns_);
  }
  attend_all([](Connection& connection) {
    connection.cut_off();
    return false;
  });
  listeners_.clear();
  std::vector<Task> left;  // destroyed without the lock
  engine::Jobs unwanted;
  const std::lock_guard lock(mutex_);
  closed_ = true;
  left.swap(tasks_);
  unwanted.swap(done_);
}

std::int64_t Loop::next_wake() const noexcept {
  std::int64_t next = INT64_MAX;
  if (!deadlines_.empty()) next = deadlines_.begin()->first;
  if (!connections_.empty() || listen_again_ns_ != 0) next = std::min(next, next_tick_ns_);
  if (next == INT64_MAX) return -1;
  return std::max<std::int64_t>(next - now_ns_, 0);
}

// Not for nobody, and not on a core that the pool may be waiting for.
bool Loop::may_spin() const noexcept { return !connections_.empty() && shared_.pool->running() == 0; }

void Loop::run_tasks() {
  std::uint64_t count = 0;
  [[maybe_unused]] const ssize_t got = ::read(wake_.get(), &count, sizeof count);
  std::vector<Task> tasks;
  engine::Jobs done;
  {
    const std::lock_guard lock(mutex_);
    tasks.swap(tasks_);
    done.swap(done_);
  }
  complete(done);
  for (Task& task : tasks) {
    try {
      task(*this);
    } catch (...) {  // no memory; tasks leave the loop as it can go on
      Traffic::add(traffic_.aborted, 1);
    }
    task = nullptr;  // whoever waits for it is told by its end
  }
}

void Loop::listen(std::vector<Listener> listeners, Place place) {
  listeners_ = std::move(listeners);
  place_ = std::move(place);
  watch_listeners(true);
}

void Loop::watch_listeners(bool on) {
  for (std::size_t i = 0; i < listeners_.size(); ++i) {
    if (on) {
      poller_.watch(listeners_[i].fd(), EPOLLIN, kListener + i);
    } else {
      poller_.forget(listeners_[i].fd());
    }
  }
}

void Loop::accept(const Listener& listener) {
  for (;;) {
    Fd socket;
    switch (listener.accept(&socket)) {
      case Listener::Accepted::kNone:
        return;
      case Listener::Accepted::kOne:
        try {
          place_(std::move(socket));
        } catch (...) {  // no memory for one more
          Traffic::add(traffic_.aborted, 1);
        }
        break;
      case Listener::Accepted::kExhausted:
        // Level-triggered readiness would spin: look again when connections may have closed.
        watch_listeners(false);
        listen_again_ns_ = monotonic_ns() + kListenPauseNs;
        return;
    }
  }
}

void Loop::give(Fd socket) {
  auto moved = std::make_shared<Fd>(std::move(socket));  // a task is to be copyable
  Task task = [moved](Loop& loop) { loop.add(std::move(*moved)); };
  assigned_.fetch_add(1, std::memory_order_relaxed);
  try {
    post(std::move(task));
  } catch (...) {
    assigned_.fetch_sub(1, std::memory_order_relaxed);
    throw;
  }
}

void Loop::add(Fd socket) {
  const std::uint64_t id = next_id_++;
  const int fd = socket.get();
  try {
    auto connection =
        std::make_unique<Connection>(make_socket_transport(std::move(socket)), shared_.options,
                                     shared_.methods, service_, deadlines_, traffic_, shared_.budget, id);
    const auto [at, _] = connections_.emplace(id, Entry{std::move(connection)});
    if (!poller_.watch(fd, EPOLLIN | EPOLLRDHUP, id)) {
      connections_.erase(at);
      throw std::system_error(errno, std::generic_category());
    }
  } catch (...) {
    assigned_.fetch_sub(1, std::memory_order_relaxed);
    throw;
  }
  Traffic::add(traffic_.open_connections, 1);
  Traffic::add(traffic_.connections, 1);
  if (!draining_) return;
  attend(connections_.find(id), [](Connection& connection) {
    connection.drain(monotonic_ns());
    return true;
  });
}

template <typename Work>
Loop::Connections::iterator Loop::attend(Connections::iterator at, Work&& work) noexcept {
  Entry& entry = at->second;
  Connection& connection = *entry.connection;
  bool alive = false;
  try {
    alive = work(connection);
  } catch (...) {  // no memory
    Traffic::add(traffic_.aborted, 1);
  }
  if (!alive) {
    assigned_.fetch_sub(1, std::memory_order_relaxed);
    Traffic::add(traffic_.open_connections, -1);
    return connections_.erase(at);
  }
  if (entry.waits_to_write != connection.blocked()) {
    entry.waits_to_write = connection.blocked();
    poller_.change(connection.fd(), EPOLLIN | EPOLLRDHUP | (entry.waits_to_write ? EPOLLOUT : 0U), at->first);
  }
  return ++at;
}

template <typename Work>
void Loop::attend_all(Work&& work) noexcept {
  for (auto at = connections_.begin(); at != connections_.end();) at = attend(at, work);
}

void Loop::handle(std::uint64_t id, std::uint32_t events) {
  if (buffer_.size() - buffer_used_ < Connection::kTurnBytes) settle();  // may close any connection
  const auto found = connections_.find(id);
  if (found == connections_.end()) return;
  const std::size_t gathered = service_.gathered();
  attend(found, [&](Connection& connection) {
    if ((events & EPOLLOUT) != 0 && !connection.flush()) return false;
    if ((events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) == 0) return true;
    if (!connection.read(std::span(buffer_).subspan(buffer_used_))) return false;
    if (service_.gathered() == gathered) return connection.flush();
    // What else is read in this turn lies behind it.
    buffer_used_ = std::min(buffer_.size(), align_up(buffer_used_ + connection.taken()));
    make_due(*found);
    return true;
  });
}

void Loop::make_due(Connections::value_type& entry) {
  if (entry.second.is_due) return;
  due_.push_back(entry.first);
  entry.second.is_due = true;
}

void Loop::complete(engine::Jobs& done) noexcept {
  for (engine::Job& job : done) {
    const auto found = connections_.find(job.connection);
    if (found == connections_.end()) continue;
    attend(found, [&](Connection& connection) {
      Stream* stream = connection.session().find(job.stream);
      if (stream == nullptr || stream->job != &job) return true;
      make_due(*found);
      service_.complete(*stream, job);
      return true;
    });
  }
}

void Loop::settle() noexcept {
  service_.settle();
  buffer_used_ = 0;
  for (const std::uint64_t id : due_) {
    const auto found = connections_.find(id);
    if (found == connections_.end()) continue;
    found->second.is_due = false;
    attend(found, [](Connection& connection) { return connection.flush(); });
  }
  due_.clear();
}

void Loop::expire(std::int64_t now_ns) {
  while (!deadlines_.empty() && deadlines_.begin()->first <= now_ns) {
    Stream& stream = *deadlines_.begin()->second;
    deadlines_.erase(deadlines_.begin());
    stream.timer.reset();
    attend(connections_.find(stream.session->connection()), [&](Connection& connection) {
      connection.session().expire(stream);
      return connection.flush();
    });
  }
}

void Loop::tick(std::int64_t now_ns) {
  next_tick_ns_ = now_ns + kTickNs;
  if (listen_again_ns_ != 0 && now_ns >= listen_again_ns_) {
    listen_again_ns_ = 0;
    watch_listeners(true);
  }
  attend_all([&](Connection& connection) { return connection.tick(now_ns); });
}

void Loop::adopt() {
  if (!service_.adopt()) return;
  // What health watchers were told is in their sessions: send it.
  attend_all([](Connection& connection) { return connection.flush(); });
}

void Loop::answer(const BridgedCall& call, Status status, const std::string& reply) {
  const auto found = connections_.find(call.connection);
  if (found == connections_.end()) return;
  attend(found, [&](Connection& connection) {
    Stream* stream = connection.session().find(call.stream);
    if (stream == nullptr) return true;
    service_.answer(*stream, std::move(status), reply);
    return connection.flush();
  });
}

void Loop::drain() {
  draining_ = true;
  // Those whose handshake is done have been promised a server: they hear of the drain like the others.
  for (const Listener& listener : listeners_) accept(listener);
  watch_listeners(false);
  listeners_.clear();
  listen_again_ns_ = 0;
  service_.adopt();
  const std::int64_t now = monotonic_ns();
  attend_all([&](Connection& connection) {
    connection.drain(now);
    return connection.flush();
  });
}

}  // namespace penstock::net
