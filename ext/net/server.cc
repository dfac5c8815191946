#include "net/server.h"

#include <algorithm>
#include <chrono>
#include <latch>
#include <mutex>
#include <string>
#include <thread>
#include <unordered_map>

#include "base/cores.h"

namespace penstock::net {
namespace {

constexpr auto kDrainPoll = std::chrono::milliseconds(5);

}  // namespace

Server::Server(Options options) : shared_(std::move(options)) {
  current_ = std::make_shared<engine::Snapshot>();
  shared_.snapshot.publish(current_);
  shared_.bridge =
      std::make_shared<Bridge>([this](const BridgedCall& call, Status status, std::string reply) {
        loops_[call.loop]->post([call, status = std::move(status), reply = std::move(reply)](Loop& loop) {
          loop.answer(call, status, reply);
        });
      });
}

Server::~Server() { stop(); }

Status Server::start() {
  const Options& options = shared_.options;
  std::vector<Listener> listeners;
  if (!options.host.empty()) {
    PENSTOCK_RETURN_IF_ERROR(Listener::tcp(options.host, options.port, &listeners));
    port_ = listeners.front().port();
  }
  if (!options.unix_socket.empty()) {
    listeners.emplace_back();
    PENSTOCK_RETURN_IF_ERROR(Listener::unix_path(options.unix_socket, &listeners.back()));
  }
  if (listeners.empty()) return invalid_argument("neither a host nor a unix_socket to listen on");

  const std::lock_guard lock(counting_);
  const unsigned cores = usable_cores();
  const unsigned count = options.loops > 0 ? options.loops : cores;
  loops_.reserve(count);
  for (unsigned i = 0; i < count; ++i) {
    loops_.emplace_back();
    Status started = Loop::start(i, shared_, &loops_.back());
    if (!started.is_ok()) {
      loops_.clear();
      return started;
    }
  }
  const unsigned workers = options.pool_threads > 0 ? options.pool_threads : std::max(2U, cores) - 1;
  Status status = engine::Pool::start(
      workers, [this](std::size_t loop, engine::Jobs& done) { loops_[loop]->give_back(done); },
      &shared_.pool);
  if (!status.is_ok()) {
    loops_.clear();
    return status;
  }
  auto ready = std::make_shared<std::vector<Listener>>(std::move(listeners));  // a task is to be copyable
  loops_.front()->post([this, ready](Loop& loop) {
    loop.listen(std::move(*ready), [this](Fd socket) { place(std::move(socket)); });
  });
  return Status::ok();
}

// On the first loop's thread. Ties go to the loop with fewer connections.
void Server::place(Fd socket) {
  std::int64_t connections = 0;
  const auto load = [](const std::unique_ptr<Loop>& loop) {
    const Traffic& traffic = loop->traffic();
    return std::pair(traffic.open_streams.load(std::memory_order_relaxed), loop->assigned());
  };
  for (const auto& loop : loops_) connections += load(loop).second;
  if (connections >= static_cast<std::int64_t>(shared_.options.max_connections)) {
    return loops_.front()->turn_away(std::move(socket));
  }
  const auto least = std::ranges::min_element(loops_, {}, load);
  (*least)->give(std::move(socket));
}

Status Server::add_lanes(engine::Snapshot& snapshot) {
  std::unordered_map<const engine::Version*, const std::vector<engine::Lane*>*> known;
  for (const auto& [name, model] : current_->models) {
    for (const engine::Hosted& hosted : model.hosted) {
      if (hosted.version) known.emplace(hosted.version.get(), &hosted.lanes);
    }
  }
  for (auto& [name, model] : snapshot.models) {
    for (engine::Hosted& hosted : model.hosted) {
      if (!hosted.version) continue;
      if (const auto found = known.find(hosted.version.get()); found != known.end()) {
        hosted.lanes = *found->second;
        continue;
      }
      for (std::size_t i = 0; i < loops_.size(); ++i) {
        hosted.lanes.emplace_back();
        PENSTOCK_RETURN_IF_ERROR(hosted.version->add_lane(true, &hosted.lanes.back()));
      }
    }
  }
  return Status::ok();
}

Status Server::publish(std::shared_ptr<engine::Snapshot> snapshot) {
  if (loops_.empty()) return {Code::kFailedPrecondition, "the server is not started"};
  PENSTOCK_RETURN_IF_ERROR(add_lanes(*snapshot));
  const std::shared_ptr<const engine::Snapshot> before = std::exchange(current_, std::move(snapshot));
  shared_.snapshot.publish(current_);
  on_all([](Loop& loop) { loop.adopt(); });
  return Status::ok();
}

void Server::on_all(const Loop::Task& task) {
  // A loop that stops drops its tasks: what counts is that the task is gone, not that it ran.
  struct Gone {
    std::shared_ptr<std::latch> count;
    ~Gone() { count->count_down(); }
  };
  const auto count = std::make_shared<std::latch>(static_cast<std::ptrdiff_t>(loops_.size()));
  for (const auto& loop : loops_) {
    const std::shared_ptr<const Gone> gone(std::make_shared<Gone>(count));
    loop->post([task, gone](Loop& running) { task(running); });
  }
  count->wait();
}

bool Server::drain(std::int64_t timeout_ns) {
  shared_.draining.store(true, std::memory_order_relaxed);
  on_all([](Loop& loop) { loop.drain(); });
  const std::int64_t end = monotonic_ns() + timeout_ns;
  for (;;) {
    const bool idle = std::ranges::all_of(loops_, [](const std::unique_ptr<Loop>& loop) {
      return loop->assigned() == 0;  // counts those on their way to a loop, too
    });
    if (idle) return true;
    if (monotonic_ns() >= end) return false;
    std::this_thread::sleep_for(kDrainPoll);
  }
}

void Server::stop() {
  shared_.bridge->stop();
  // First: what it gives back goes to loops that still run. They cancel what waits for it.
  if (shared_.pool) shared_.pool->stop();
  for (const auto& loop : loops_) loop->stop();
  std::vector<std::unique_ptr<Loop>> ended;  // let go of behind the lock
  const std::lock_guard lock(counting_);
  loops_.swap(ended);
}

std::vector<std::pair<std::string, std::int64_t>> Server::counters() const {
  std::vector<std::pair<std::string, std::int64_t>> sums;
  const std::lock_guard lock(counting_);
  Traffic none;
  none.each([&](const char* name, const std::atomic<std::int64_t>&) { sums.emplace_back(name, 0); });
  for (const auto& loop : loops_) {
    std::size_t i = 0;
    loop->traffic().each([&](const char*, const std::atomic<std::int64_t>& count) {
      sums[i++].second += count.load(std::memory_order_relaxed);
    });
  }
  sums.emplace_back("pool_waiting", shared_.pool ? shared_.pool->waiting() : 0);
  sums.emplace_back("pool_running", shared_.pool ? shared_.pool->running() : 0);
  return sums;
}

}  // namespace penstock::net
