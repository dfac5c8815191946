#include "engine/pool.h"

#include <pthread.h>

#include <algorithm>
#include <chrono>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "base/guarded.h"
#include "base/scheduling.h"
#include "base/signals.h"

namespace penstock::engine {
namespace {

// An answer of fewer bytes is copied, which leaves the worker its arena.
constexpr std::size_t kCopyBelow = 16 * 1024;
constexpr std::int64_t kForEver = INT64_MAX;

void add(std::atomic<std::int64_t>& count, std::int64_t amount) noexcept {
  count.fetch_add(amount, std::memory_order_relaxed);
}

// How long `workers` take for what waits: a minute at most.
std::int64_t drains_in_ns(const Line& line, const Schedule& schedule, std::size_t workers) noexcept {
  constexpr double kMost = 60e9;
  const std::int64_t runs = schedule.merges ? 1 + line.rows() / schedule.max_batch_rows : line.waiting();
  const double ns = static_cast<double>(runs) * static_cast<double>(schedule.fixed_ns) +
                    static_cast<double>(line.rows()) * static_cast<double>(schedule.row_ns);
  return static_cast<std::int64_t>(std::min(ns / static_cast<double>(workers), kMost));
}

// Of a line that is full. Throws std::bad_alloc.
Status no_room(const Version& version, std::string_view why) {
  return {Code::kResourceExhausted, "model '" + version.model() + "' version '" + version.version() +
                                        "' has " + std::to_string(version.line().waiting()) +
                                        " requests waiting, as many as it may (pool.queue_limit)" +
                                        std::string(why) +
                                        ". Try again later, send more rows in one request, or give the "
                                        "server more threads (pool.threads)"};
}

}  // namespace

// One thread's work, and what it keeps from run to run.
class Pool::Worker final : public Receiver {
 public:
  Worker(Pool& pool, std::size_t index) : pool_(pool), index_(index) {}

  void work() noexcept {
    Jobs batch;
    Jobs expired;
    while (pool_.take(&batch, &expired)) {
      for (Job& job : expired) refuse_late(job);
      pool_.deliver(expired);  // they are told before the run, which may take long
      if (batch.empty()) continue;
      const std::shared_ptr<const Version> version = batch.front().version;
      const std::int64_t began = monotonic_ns();
      const std::int64_t estimate = version->schedule().cost_ns(run(*version, batch));
      pool_.charge(*version, monotonic_ns() - began - estimate);
    }
  }

  void receive(std::size_t index, Status status, InferAnswer& answer) noexcept override {
    Job& job = *jobs_[index];
    done_.splice(done_.end(), *batch_, jobs_[index]);
    job.status = guarded([&]() -> Status {
      PENSTOCK_RETURN_IF_ERROR(std::move(status));
      if (jobs_.size() == 1 && answer.bytes >= kCopyBelow) {
        answer.keep_version();
        std::swap(job.answer, answer);
        std::swap(job.arena, arena_);
        return Status::ok();
      }
      job.reply.reserve(answer.bytes);
      for (const codec::Piece& piece : answer.pieces) {
        job.reply.insert(job.reply.end(), piece.bytes.begin(), piece.bytes.end());
      }
      return Status::ok();
    });
  }

 private:
  void refuse_late(Job& job) noexcept {
    const std::int64_t now = monotonic_ns();
    job.status = guarded([&]() -> Status {
      Lane* lane = nullptr;
      PENSTOCK_RETURN_IF_ERROR(job.version->worker_lane(index_, &lane));
      lane->counters.expired.add(1);
      lane->counters.fail(now - job.arrived_ns);
      return {Code::kDeadlineExceeded, "the deadline passed before the model ran (" +
                                           std::to_string((now - job.deadline_ns) / 1000) + " us ago)"};
    });
    job.drop_message();
    job.version.reset();
  }

  void pause() noexcept override { give_back(done_); }

  // Neither the message nor the last share of a version is to be let go of on a loop: freeing takes its time.
  void give_back(Jobs& done) noexcept {
    for (Job& job : done) {
      job.drop_message();
      job.version.reset();
    }
    pool_.deliver(done);
  }

  // Delivers them. The rows that take() counted with.
  std::int64_t run(const Version& version, Jobs& batch) noexcept {
    batch_ = &batch;
    std::int64_t rows = 0;
    for (const Job& job : batch) rows += job.rows;
    const Status status = guarded([&]() -> Status {
      Lane* lane = nullptr;
      PENSTOCK_RETURN_IF_ERROR(version.worker_lane(index_, &lane));
      jobs_.reserve(batch.size());
      members_.reserve(batch.size());
      for (auto at = batch.begin(); at != batch.end();) admit_job(version, *lane, at++);
      if (!done_.empty()) give_back(done_);  // who was refused does not wait for the run
      answer_together(members_, version.schedule().merges ? version.schedule().max_batch_rows : 1, arena_,
                      *this);
      return Status::ok();
    });
    if (!status.is_ok()) {
      for (Job& job : batch) job.status = guarded([&] { return status; });
    }
    done_.splice(done_.end(), batch);  // what no memory or no lane was there for
    give_back(done_);
    members_.clear();
    jobs_.clear();
    arena_.reset();
    return rows;
  }

  // Throws std::bad_alloc.
  void admit_job(const Version& version, Lane& lane, Jobs::iterator at) {
    Job& job = *at;
    const InferCall call{job.message(), job.arrived_ns, job.deadline_ns, true, job.streamed};
    Admitted admitted;
    job.status = admit(version, lane, call, arena_, &admitted);
    if (!job.status.is_ok()) {
      lane.counters.fail(monotonic_ns() - job.arrived_ns);
      done_.splice(done_.end(), *batch_, at);
      return;
    }
    admitted.hosted = &job.version;
    admitted.arm = job.arm;
    members_.push_back(admitted);
    jobs_.push_back(at);
  }

  Pool& pool_;
  const std::size_t index_;
  Arena arena_;
  std::vector<Admitted> members_;
  std::vector<Jobs::iterator> jobs_;  // of each member
  Jobs* batch_ = nullptr;             // where they are until they are answered
  Jobs done_;
};

Status Pool::start(std::size_t threads, Deliver deliver, std::unique_ptr<Pool>* made) {
  std::unique_ptr<Pool> pool(new Pool(std::move(deliver)));
  try {
    const SignalsBlocked blocked;
    pool->threads_.reserve(threads);
    for (std::size_t i = 0; i < threads; ++i) {
      pool->threads_.emplace_back([running = pool.get(), i] {
        pthread_setname_np(pthread_self(), ("penstock-pool" + std::to_string(i)).c_str());
        yield_to_short_slices();
        Worker(*running, i).work();
      });
    }
  } catch (const std::system_error& error) {
    return {Code::kResourceExhausted, std::string("cannot start a thread of the pool: ") + error.what()};
  }
  *made = std::move(pool);
  return Status::ok();
}

Pool::~Pool() {
  stop();
  Jobs left;
  for (const Version* version : listed_) {
    Line& line = version->line();
    while (!line.empty()) line.take(line.first(), left);
    line.listed = false;
  }
  for (Job& job : dropped_) job.version->line().dropped = false;
}

void Pool::stop() noexcept {
  {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
  }
  pushed_.notify_all();
  for (std::thread& thread : threads_) {
    if (thread.joinable()) thread.join();
  }
}

Status Pool::push(Jobs& jobs) {
  Job& job = jobs.front();
  const Version& version = *job.version;
  const Schedule& schedule = version.schedule();
  Counters& counters = job.origin->counters;
  Line& line = version.line();
  Jobs displaced;
  {
    const std::lock_guard lock(mutex_);
    if (stopped_) {
      counters.fail(monotonic_ns() - job.arrived_ns);
      return {Code::kUnavailable, "the server is stopping"};
    }
    if (line.waiting() >= schedule.queue_limit) {
      Job* const last = line.yields_to(job.level);
      Job& refused = last == nullptr ? job : *last;
      Status status = no_room(version, last == nullptr ? "" : ", and a more urgent one came");
      refused.retry_ns = drains_in_ns(line, schedule, threads_.size());
      counters.refused.add(1);
      counters.fail(monotonic_ns() - refused.arrived_ns);
      if (last == nullptr) return status;
      refused.status = std::move(status);
      take_out(refused, &displaced);
      refused.version.reset();  // `job` has another share
    }
    if (!line.listed) {
      listed_.push_back(&version);
      line.listed = true;
      line.served_ns = std::max(line.served_ns, clock_ns_);
    }
    line.push(jobs);
    add(waiting_, 1);
  }
  pushed_.notify_one();
  if (!displaced.empty()) {
    displaced.front().drop_message();
    deliver_(displaced.front().loop, displaced);
  }
  return Status::ok();
}

void Pool::cancel(Job& job, std::int64_t now_ns) noexcept {
  Jobs gone;  // destroyed without the lock, and so are the bytes
  std::vector<std::byte> bytes;
  {
    const std::lock_guard lock(mutex_);
    if (job.state != Job::State::kWaiting) return;
    Counters& counters = job.origin->counters;
    if (now_ns >= job.deadline_ns) {
      counters.expired.add(1);
      counters.fail(now_ns - job.arrived_ns);
    } else {
      counters.cancelled.add(1);
    }
    const Version& version = *job.version;
    Line& line = version.line();
    take_out(job, &gone);
    if (line.empty()) unlist(version);
    if (!line.empty() || line.dropped) {
      job.version.reset();  // others that wait, or one that was dropped, have shares
    } else {
      bytes.swap(job.bytes);
      dropped_.splice(dropped_.end(), gone);
      line.dropped = true;
    }
  }
  if (gone.empty()) pushed_.notify_one();
}

void Pool::take_out(Job& job, Jobs* to) noexcept {
  job.version->line().take(job, *to);
  job.state = Job::State::kDone;
  add(waiting_, -1);
}

void Pool::unlist(const Version& version) noexcept {
  version.line().listed = false;
  std::erase(listed_, &version);
}

bool Pool::take(Jobs* batch, Jobs* expired) {
  Jobs dropped;  // destroyed without the lock
  std::unique_lock lock(mutex_);
  while (!stopped_) {
    if (!dropped_.empty()) {
      for (Job& job : dropped_) job.version->line().dropped = false;
      dropped.splice(dropped.end(), dropped_);
      lock.unlock();
      dropped.clear();
      lock.lock();
      continue;
    }
    const std::int64_t now = monotonic_ns();
    const bool by_age = (runs_ + 1) % kOldestEvery == 0;
    std::int64_t look_again = kForEver;
    if (Line* line = pick(now, by_age, &look_again)) {
      take_from(*line, now, by_age, batch, expired);
      // Whoever was woken for what is left may be the one that took this.
      if (!listed_.empty()) pushed_.notify_one();
      return true;
    }
    if (look_again == kForEver) {
      pushed_.wait(lock);
    } else {
      pushed_.wait_until(lock, std::chrono::steady_clock::time_point(std::chrono::nanoseconds(look_again)));
    }
  }
  return false;
}

Line* Pool::pick(std::int64_t now_ns, bool by_age, std::int64_t* look_again_ns) noexcept {
  // What orders the lines, the least first.
  const auto rank = [by_age](Line& line) {
    return by_age ? std::pair(std::size_t{0}, line.oldest().arrived_ns)
                  : std::pair(line.first().level, line.served_ns);
  };
  Line* best = nullptr;
  for (const Version* version : listed_) {
    Line& line = version->line();
    if (const std::int64_t ripe = line.ripe_ns(version->schedule()); ripe > now_ns) {
      *look_again_ns = std::min(*look_again_ns, ripe);
      continue;
    }
    if (best == nullptr || rank(line) < rank(*best)) best = &line;
  }
  return best;
}

void Pool::take_from(Line& line, std::int64_t now_ns, bool by_age, Jobs* batch, Jobs* expired) noexcept {
  const Version& version = *line.first().version;
  const Schedule& schedule = version.schedule();
  // Those that cannot share a run are left to other workers, and the first does not wait for the last.
  const bool shares = schedule.merges && line.rows() >= schedule.min_batch_rows;
  std::int64_t rows = 0;
  while (!line.empty()) {
    Job& job = by_age && batch->empty() ? line.oldest() : line.first();
    const bool late = now_ns >= job.deadline_ns;
    if (!late && !batch->empty() && (!shares || rows + job.rows > schedule.max_batch_rows)) break;
    line.take(job, late ? *expired : *batch);
    job.state = Job::State::kRunning;
    add(waiting_, -1);
    add(running_, 1);
    if (!late) rows += job.rows;
  }
  if (!batch->empty()) {
    ++runs_;
    clock_ns_ = std::max(clock_ns_, line.served_ns);
    line.served_ns += schedule.cost_ns(rows);
  }
  if (line.empty()) unlist(version);
}

void Pool::charge(const Version& version, std::int64_t ns) noexcept {
  const std::lock_guard lock(mutex_);
  version.line().served_ns += ns;
}

void Pool::deliver(Jobs& done) noexcept {
  add(running_, -static_cast<std::int64_t>(done.size()));
  {
    const std::lock_guard lock(mutex_);
    for (Job& job : done) job.state = Job::State::kDone;
  }
  while (!done.empty()) {
    const std::size_t loop = done.front().loop;
    Jobs of_loop;
    for (auto at = done.begin(); at != done.end();) {
      const auto next = std::next(at);
      if (at->loop == loop) of_loop.splice(of_loop.end(), done, at);
      at = next;
    }
    deliver_(loop, of_loop);
  }
}

}  // namespace penstock::engine
