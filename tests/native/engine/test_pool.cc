// Pool and Line: who runs when, together with whom, and who is dropped.
#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "engine/gate.h"
#include "engine/pool.h"
#include "engine/requests.h"
#include "engine/row_sums.h"

using namespace penstock;
using namespace penstock::engine;
using namespace penstock::engine::testing;

namespace {

constexpr std::int64_t kMs = 1'000'000;

Schedule merging() {
  Schedule schedule;
  schedule.inline_rows = 0;
  schedule.merges = true;
  schedule.max_batch_rows = 8;
  return schedule;
}

// What a server's loops do for the pool.
struct Desk {
  explicit Desk(std::size_t threads = 1) {
    const Status status =
        Pool::start(threads, [this](std::size_t loop, Jobs& jobs) { take_back(loop, jobs); }, &pool);
    REQUIRE(status.is_ok());
  }
  ~Desk() { pool->stop(); }

  // Null where it was refused; why stands in `refusal`.
  Job* push(const std::shared_ptr<Version>& version, double first = 1,
            std::size_t level = Line::kDefaultLevel, std::int64_t deadline_ns = kNoDeadline,
            std::size_t loop = 0) {
    Lane*& origin = origins[version.get()];
    if (origin == nullptr) REQUIRE(version->add_lane(true, &origin).is_ok());
    Request request;
    request.id = std::to_string(first);
    request.inputs = {matrix(1, {first, 0, 0})};
    const std::string message = request.encode();
    Jobs made(1);
    Job& job = made.front();
    const auto view = std::as_bytes(std::span(message));
    job.bytes.assign(view.begin(), view.end());
    job.version = version;
    job.origin = origin;
    job.rows = 1;
    job.level = level;
    job.arrived_ns = monotonic_ns();
    job.deadline_ns = deadline_ns;
    job.loop = loop;
    refusal = pool->push(made);
    return refusal.is_ok() ? &job : nullptr;
  }

  void take_back(std::size_t loop, Jobs& jobs) {
    const std::lock_guard lock(mutex);
    for (const Job& job : jobs) CHECK(job.loop == loop);
    ++deliveries;
    done.splice(done.end(), jobs);
    changed.notify_all();
  }
  bool wait(std::size_t count) {
    std::unique_lock lock(mutex);
    return changed.wait_until(lock, std::chrono::system_clock::now() + std::chrono::seconds(20),
                              [&] { return done.size() >= count; });
  }
  // What each request asked first with, in the order of the answers.
  std::vector<double> answers() {
    const std::lock_guard lock(mutex);
    std::vector<double> values;
    for (Job& job : done) {
      if (!job.status.is_ok()) continue;
      const std::string bytes(reinterpret_cast<const char*>(job.reply.data()), job.reply.size());
      const Answer answer = decode_answer(std::string_view(bytes).substr(5));
      CHECK(answer.id == std::to_string(answer.doubles().at(0)));
      values.push_back(answer.doubles().at(0));
    }
    return values;
  }
  std::vector<Code> codes() {
    const std::lock_guard lock(mutex);
    std::vector<Code> found;
    for (const Job& job : done) found.push_back(job.status.code());
    return found;
  }

  std::map<const Version*, Lane*> origins;
  std::mutex mutex;
  std::condition_variable changed;
  Jobs done;
  std::size_t deliveries = 0;
  Status refusal;
  std::unique_ptr<Pool> pool;
};

std::int64_t counter(const Version& version, std::string_view name) {
  for (const auto& [key, value] : version.counters()) {
    if (key == name) return value;
  }
  return -1;
}

}  // namespace

TEST_CASE("a worker takes all that waits, up to the limit, and gives it back in one piece") {
  Gate gate;
  const std::shared_ptr<Version> version = gated(gate, merging());
  Desk desk;
  desk.push(version, 1);
  REQUIRE(gate.wait_for_runs(1));
  for (int i = 2; i <= 11; ++i) desk.push(version, i);
  CHECK(desk.pool->waiting() == 10);
  CHECK(desk.pool->running() == 1);
  CHECK(counter(*version, "waiting") == 10);
  gate.set(true);
  REQUIRE(desk.wait(11));
  CHECK(gate.seen() == std::vector<std::int64_t>{1, 8, 2});
  CHECK(desk.deliveries == 3);
  CHECK(desk.answers() == std::vector<double>{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11});
  CHECK(counter(*version, "requests") == 11);
  CHECK(counter(*version, "executions") == 3);
  CHECK(desk.pool->waiting() == 0);
}

TEST_CASE("requests that do not share runs go to as many workers as there are") {
  Gate gate;
  Schedule schedule = merging();
  schedule.merges = false;
  const std::shared_ptr<Version> version = gated(gate, schedule);
  Desk desk(3);
  for (int i = 1; i <= 4; ++i) desk.push(version, i);
  REQUIRE(gate.wait_for_runs(3));
  CHECK(desk.pool->running() == 3);
  CHECK(desk.pool->waiting() == 1);
  gate.set(true);
  REQUIRE(desk.wait(4));
  CHECK(gate.seen() == std::vector<std::int64_t>{1, 1, 1, 1});
}

TEST_CASE("the more urgent go first; who has waited long enough counts as more urgent") {
  Gate gate;
  Schedule schedule = merging();
  schedule.merges = false;
  const std::shared_ptr<Version> version = gated(gate, schedule);
  Desk desk;
  desk.push(version, 0);
  REQUIRE(gate.wait_for_runs(1));
  desk.push(version, 3, 2);
  desk.push(version, 2, 1);
  desk.push(version, 1, 0);
  gate.set(true);
  REQUIRE(desk.wait(4));
  CHECK(desk.answers() == std::vector<double>{0, 1, 2, 3});

  Job job;
  job.arrived_ns = 1000;
  job.level = 2;
  CHECK(Line::level(job, 1000) == 2);
  CHECK(Line::level(job, 1000 + Line::kPromoteNs) == 1);
  CHECK(Line::level(job, 1000 + 5 * Line::kPromoteNs) == 0);
  CHECK(Line::level(job, 500) == 2);  // a clock that another thread read earlier
}

TEST_CASE("a line that is full refuses, with what to do") {
  Gate gate;
  Schedule schedule = merging();
  schedule.queue_limit = 2;
  const std::shared_ptr<Version> version = gated(gate, schedule);
  Desk desk;
  desk.push(version);
  REQUIRE(gate.wait_for_runs(1));
  CHECK(desk.push(version) != nullptr);
  CHECK(desk.push(version) != nullptr);
  CHECK(desk.push(version) == nullptr);
  CHECK(desk.refusal.code() == Code::kResourceExhausted);
  CHECK(desk.refusal.message().find("'rows' version '1' has 2 requests waiting") != std::string::npos);
  CHECK(desk.refusal.message().find("pool.threads") != std::string::npos);
  gate.set(true);
  CHECK(desk.wait(3));
}

TEST_CASE("what is cancelled while it waits is dropped and counted, and never runs") {
  Gate gate;
  const std::shared_ptr<Version> version = gated(gate, merging());
  Desk desk;
  Job* const running = desk.push(version, 1);
  REQUIRE(gate.wait_for_runs(1));
  Job* const gone = desk.push(version, 2);
  Job* const late = desk.push(version, 3, 1, monotonic_ns());
  desk.push(version, 4);
  desk.pool->cancel(*gone, monotonic_ns());
  desk.pool->cancel(*late, monotonic_ns());
  desk.pool->cancel(*running, monotonic_ns());  // too late: it comes back, and nobody looks at it
  CHECK(desk.pool->waiting() == 1);
  gate.set(true);
  REQUIRE(desk.wait(2));
  CHECK(desk.answers() == std::vector<double>{1, 4});
  CHECK(counter(*version, "cancelled") == 1);
  CHECK(counter(*version, "expired") == 1);
  CHECK(counter(*version, "requests") == 2);
}

TEST_CASE("whose deadline passes while it waits is told so without a run") {
  Gate gate;
  const std::shared_ptr<Version> version = gated(gate, merging());
  Desk desk;
  desk.push(version, 1);
  REQUIRE(gate.wait_for_runs(1));
  desk.push(version, 2, 1, monotonic_ns() + kMs);
  desk.push(version, 3);
  std::this_thread::sleep_for(std::chrono::milliseconds(3));
  gate.set(true);
  REQUIRE(desk.wait(3));
  CHECK(gate.seen() == std::vector<std::int64_t>{1, 1});
  CHECK(desk.codes() == std::vector<Code>{Code::kOk, Code::kOk, Code::kDeadlineExceeded});
  CHECK(counter(*version, "expired") == 1);
  CHECK(counter(*version, "failures") == 1);
}

TEST_CASE("one version's flood leaves the others their share") {
  Gate flood_gate;
  Gate other_gate;
  Schedule schedule = merging();
  schedule.merges = false;
  schedule.fixed_ns = 10 * kMs;  // as measured: what a turn is charged with
  const std::shared_ptr<Version> flooded = gated(flood_gate, schedule, "1");
  const std::shared_ptr<Version> other = gated(other_gate, schedule, "2");
  other_gate.set(true);
  Desk desk;
  desk.push(flooded, 0);
  REQUIRE(flood_gate.wait_for_runs(1));
  for (int i = 1; i <= 20; ++i) desk.push(flooded, i);
  for (int i = 101; i <= 103; ++i) desk.push(other, i);
  flood_gate.set(true);
  REQUIRE(desk.wait(24));
  const std::vector<double> order = desk.answers();
  const auto last_of_other = std::ranges::find(order, 103.0) - order.begin();
  CHECK(last_of_other <= 8);  // not behind the twenty
}

TEST_CASE("a request waits for company no longer than it is told to") {
  Gate gate;
  gate.set(true);
  Schedule schedule = merging();
  schedule.max_wait_ns = 30'000 * kMs;
  const std::shared_ptr<Version> version = gated(gate, schedule);
  Desk desk(2);
  SUBCASE("a full batch runs at once") {
    for (int i = 1; i <= 8; ++i) desk.push(version, i);
    REQUIRE(desk.wait(8));
    CHECK(gate.seen() == std::vector<std::int64_t>{8});
  }
  SUBCASE("when the wait is over, with those that came meanwhile") {
    schedule.max_wait_ns = 50 * kMs;
    version->set_schedule(schedule);
    const std::int64_t began = monotonic_ns();
    for (int i = 1; i <= 3; ++i) desk.push(version, i);
    REQUIRE(desk.wait(3));
    CHECK(gate.seen() == std::vector<std::int64_t>{3});
    CHECK(monotonic_ns() - began >= 49 * kMs);
  }
  SUBCASE("in time for its deadline") {
    schedule.fixed_ns = 9'900 * kMs;  // as measured
    version->set_schedule(schedule);
    desk.push(version, 1, 1, monotonic_ns() + 10'000 * kMs);
    desk.push(version, 2);
    REQUIRE(desk.wait(2));
    CHECK(desk.codes() == std::vector<Code>{Code::kOk, Code::kOk});
  }
}

TEST_CASE("a pool that stops ends its runs and leaves what waits to be cancelled") {
  Gate gate;
  std::weak_ptr<Version> alive;
  {
    const std::shared_ptr<Version> version = gated(gate, merging());
    alive = version;
    Desk desk;
    desk.push(version, 1);
    REQUIRE(gate.wait_for_runs(1));
    desk.push(version, 2);
    std::thread stopping([&] { desk.pool->stop(); });
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
    gate.set(true);
    stopping.join();
    CHECK(desk.answers() == std::vector<double>{1});
    CHECK(desk.pool->waiting() == 1);
    CHECK(desk.push(version, 3) == nullptr);
    CHECK(desk.refusal.code() == Code::kUnavailable);
  }
  CHECK(alive.expired());  // what waited held it, and went with the pool
}

TEST_CASE("answers of any size come back whole, from any number of threads") {
  auto model = std::make_shared<RowSums>(1);
  model->holds = true;
  const std::shared_ptr<Version> version = version_of(model);
  Schedule schedule = merging();
  schedule.max_batch_rows = 3000;
  version->set_schedule(schedule);
  Desk desk(2);
  Lane* origin = nullptr;
  REQUIRE(version->add_lane(true, &origin).is_ok());
  constexpr std::size_t kThreads = 3;
  constexpr std::size_t kEach = 40;
  std::vector<std::thread> callers;
  for (std::size_t t = 0; t < kThreads; ++t) {
    callers.emplace_back([&, t] {
      for (std::size_t i = 0; i < kEach; ++i) {
        const std::size_t rows = i % 4 == 0 ? 4000 : 1 + i;
        Request request;
        request.id = std::to_string(t * 1000 + i);
        request.inputs = {
            matrix(static_cast<std::int64_t>(rows), std::vector<double>(rows, static_cast<double>(i)))};
        const std::string message = request.encode();
        Jobs made(1);
        Job& job = made.front();
        const auto view = std::as_bytes(std::span(message));
        job.bytes.assign(view.begin(), view.end());
        job.version = version;
        job.origin = origin;
        job.rows = static_cast<std::int64_t>(rows);
        job.level = Line::kDefaultLevel;
        job.arrived_ns = monotonic_ns();
        while (!desk.pool->push(made).is_ok()) std::this_thread::yield();
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  REQUIRE(desk.wait(kThreads * kEach));
  std::size_t held = 0;
  for (Job& job : desk.done) {
    REQUIRE(job.status.is_ok());
    std::string bytes(reinterpret_cast<const char*>(job.reply.data()), job.reply.size());
    for (const codec::Piece& piece : job.answer.pieces) {
      bytes.append(reinterpret_cast<const char*>(piece.bytes.data()), piece.bytes.size());
    }
    if (job.reply.empty()) ++held;
    const Answer answer = decode_answer(std::string_view(bytes).substr(5));
    const std::size_t i = std::stoul(answer.id) % 1000;
    const std::size_t rows = i % 4 == 0 ? 4000 : 1 + i;
    CHECK((answer.doubles() == std::vector<double>(rows, static_cast<double>(i))));
  }
  CHECK(held > 0);  // those that ran by themselves lie where the model put them
}
