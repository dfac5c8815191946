// Pool and Line: who runs together with whom, and who is dropped.
#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "allocations.h"
#include "engine/desk.h"

using namespace penstock;
using namespace penstock::engine;
using namespace penstock::engine::testing;

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

TEST_CASE("of requests that a worker took together and has to run apart, each is given back at once") {
  Gate gate;
  auto model = std::make_shared<RowSums>();
  model->at_run = [&gate](std::int64_t rows) {
    if (rows > 1) throw std::runtime_error("no room for so many");
    gate.pass(rows);
  };
  const std::shared_ptr<Version> version = version_of(std::move(model));
  version->set_schedule(merging());
  Desk desk;
  desk.push(version, 1);
  REQUIRE(gate.wait_for_runs(1));
  for (int i = 2; i <= 4; ++i) desk.push(version, i);
  for (std::size_t i = 1; i <= 3; ++i) {
    gate.admit_one();
    REQUIRE(gate.wait_for_runs(i + 1));  // the next one is under way
    CHECK(desk.wait(i));
  }
  CHECK(desk.pool->running() == 1);
  gate.admit_one();
  REQUIRE(desk.wait(4));
  CHECK(desk.answers() == std::vector<double>{1, 2, 3, 4});
}

TEST_CASE("who is refused does not wait for those that were taken together with it") {
  Gate gate;
  const std::shared_ptr<Version> version = gated(gate, merging());
  Desk desk;
  desk.push(version, 1);
  REQUIRE(gate.wait_for_runs(1));
  desk.push(version, 2);
  desk.damaged = true;
  desk.push(version, 3);
  gate.admit_one();
  REQUIRE(gate.wait_for_runs(2));  // of the second
  REQUIRE(desk.wait(2));
  CHECK(desk.codes() == std::vector<Code>{Code::kOk, Code::kInvalidArgument});
  gate.set(true);
  REQUIRE(desk.wait(3));
  CHECK(desk.answers() == std::vector<double>{1, 2});
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

TEST_CASE("what is cancelled while no worker is free holds no memory, and its version once at most") {
  Gate gate;
  const std::shared_ptr<Version> version = gated(gate, merging());
  Desk desk;
  desk.push(version);
  REQUIRE(gate.wait_for_runs(1));
  SUBCASE("when others wait") { desk.push(version); }
  SUBCASE("when nobody else does") {}
  const std::int64_t before = penstock::testing::live_bytes();
  const long shares = version.use_count();
  for (int i = 0; i < 50; ++i) {
    Job* const job = desk.push(version, 7, 2, kNoDeadline, 0, 1 << 20);
    REQUIRE(job != nullptr);
    desk.pool->cancel(*job, monotonic_ns());
  }
  CHECK(penstock::testing::live_bytes() - before < (1 << 20));
  CHECK(version.use_count() <= shares + 1);
  CHECK(counter(*version, "cancelled") == 50);
  gate.set(true);
  REQUIRE(desk.wait(1));
}

TEST_CASE("the last share of a version is let go of by a worker, also where all its requests are cancelled") {
  Gate busy;
  const std::shared_ptr<Version> other = gated(busy, merging(), "2");
  Desk desk;
  desk.push(other);
  REQUIRE(busy.wait_for_runs(1));
  std::atomic<bool> ended{false};
  std::thread::id where;
  auto model = std::make_shared<RowSums>();
  model->at_end = [&] {
    where = std::this_thread::get_id();
    ended = true;
  };
  std::shared_ptr<Version> version = version_of(std::move(model));
  version->set_schedule(merging());
  SUBCASE("for the first time") {}
  SUBCASE("when a worker let go of such a share before") {
    desk.pool->cancel(*desk.push(version), monotonic_ns());
    desk.push(other);
    busy.admit_one();
    REQUIRE(busy.wait_for_runs(2));
    CHECK(version.use_count() == 1);
  }
  Job* const one = desk.push(version);
  Job* const two = desk.push(version);
  version.reset();
  desk.pool->cancel(*one, monotonic_ns());
  desk.pool->cancel(*two, monotonic_ns());
  CHECK_FALSE(ended);
  busy.set(true);
  for (int i = 0; i < 4000 && !ended; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  REQUIRE(ended);
  CHECK(where != std::this_thread::get_id());
}

TEST_CASE("of a request that was run its worker keeps nothing but the id that a stream's failure names") {
  Gate gate;
  gate.set(true);
  const std::shared_ptr<Version> version = gated(gate, merging());
  Desk desk;
  desk.streamed = true;
  desk.push(version, 1, 1, kNoDeadline, 0, 1 << 20);
  desk.push(version, 2, 1, monotonic_ns(), 0, 1 << 20);
  desk.columns = 2;  // one less than there are
  desk.push(version, 3, 1, kNoDeadline, 0, 1 << 20);
  REQUIRE(desk.wait(3));
  for (Job& job : desk.done) {
    CHECK(job.bytes.capacity() < 1024);
    if (!job.status.is_ok()) CHECK((job.id == std::to_string(2.0) || job.id == std::to_string(3.0)));
  }
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
  CHECK(desk.codes() == std::vector<Code>{Code::kOk, Code::kDeadlineExceeded, Code::kOk});
  CHECK(counter(*version, "expired") == 1);
  CHECK(counter(*version, "failures") == 1);
}

TEST_CASE("requests too few for a shared run are left to other workers, and wait for none of the others") {
  Gate gate;
  Schedule schedule = merging();
  schedule.min_batch_rows = 4;
  const std::shared_ptr<Version> version = gated(gate, schedule);
  Desk desk;
  desk.push(version);
  REQUIRE(gate.wait_for_runs(1));
  std::size_t deliveries = 0;
  std::vector<std::int64_t> runs;
  SUBCASE("fewer than it takes") {
    for (int i = 0; i < 3; ++i) desk.push(version);
    deliveries = 4;
    runs = {1, 1, 1, 1};
  }
  SUBCASE("as many as it takes") {
    for (int i = 0; i < 4; ++i) desk.push(version);
    deliveries = 2;
    runs = {1, 4};
  }
  gate.set(true);
  REQUIRE(desk.wait(runs.size() == 4 ? 4 : 5));
  CHECK(desk.deliveries == deliveries);
  CHECK(gate.seen() == runs);
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
