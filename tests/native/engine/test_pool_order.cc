// Pool and Line: who goes first, and who gives way.
#include <doctest/doctest.h>

#include <algorithm>
#include <memory>
#include <mutex>
#include <vector>

#include "engine/desk.h"

using namespace penstock;
using namespace penstock::engine;
using namespace penstock::engine::testing;

TEST_CASE("the more urgent go first, of those of one priority who came first") {
  Gate gate;
  Schedule schedule = merging();
  SUBCASE("runs of their own") { schedule.merges = false; }
  SUBCASE("shared runs") { schedule.max_batch_rows = 2; }
  const std::shared_ptr<Version> version = gated(gate, schedule);
  Desk desk;
  desk.push(version, 0);
  REQUIRE(gate.wait_for_runs(1));
  desk.push(version, 5, 2);
  desk.push(version, 3, 1);
  desk.push(version, 4, 1);
  desk.push(version, 1, 0);
  desk.push(version, 2, 0);
  gate.set(true);
  REQUIRE(desk.wait(6));
  CHECK(desk.answers() == std::vector<double>{0, 1, 2, 3, 4, 5});
}

TEST_CASE("the more urgent go first whichever version they ask, whatever it had of the workers") {
  Gate gate;
  Schedule schedule = merging();
  schedule.merges = false;
  schedule.fixed_ns = 10'000 * kMs;  // as measured: what a run is charged with
  const std::shared_ptr<Version> served = gated(gate, schedule, "1");
  const std::shared_ptr<Version> other = gated(gate, schedule, "2");
  Desk desk;
  desk.push(served, 0);
  REQUIRE(gate.wait_for_runs(1));
  desk.push(other, 4, 1);
  desk.push(other, 5, 1);
  desk.push(served, 1, 0);
  desk.push(served, 2, 0);
  desk.push(served, 3, 0);
  gate.set(true);
  REQUIRE(desk.wait(6));
  CHECK(desk.answers() == std::vector<double>{0, 1, 2, 3, 4, 5});
}

TEST_CASE("nobody starves behind the more urgent: some runs begin with who has waited longest") {
  Gate gate;
  bool shared = false;
  bool same = false;
  SUBCASE("of one version") { same = true; }
  SUBCASE("of one version, in shared runs") { same = shared = true; }
  SUBCASE("of another version") {}
  SUBCASE("of another version, in shared runs") { shared = true; }
  Schedule schedule = merging();
  schedule.merges = shared;
  schedule.max_batch_rows = 4;
  // Answers until the second of two patient ones has its own.
  const std::size_t most = (shared ? 4 : 1) * 2 * Pool::kOldestEvery;
  const std::shared_ptr<Version> version = gated(gate, schedule, "1");
  const std::shared_ptr<Version> of_the_patient = same ? version : gated(gate, schedule, "2");
  Desk desk;
  desk.push(version, 0);
  REQUIRE(gate.wait_for_runs(1));
  desk.push(of_the_patient, 1001, 2);
  desk.push(of_the_patient, 1002, 2);
  for (int i = 1; i <= 120; ++i) desk.push(version, i, 0);
  gate.set(true);
  REQUIRE(desk.wait(123));
  const std::vector<double> order = desk.answers();
  const auto at = [&](double value) {
    return static_cast<std::size_t>(std::ranges::find(order, value) - order.begin());
  };
  CHECK(at(1002) < most);
  CHECK(at(1001) < at(1002));
  CHECK(at(1001) >= Pool::kOldestEvery - 1);  // no sooner: the urgent are urgent
  // The urgent keep their order, and all but that part of the runs.
  for (int i = 1; i < 120; ++i) CHECK(at(i) < at(i + 1));
}

TEST_CASE("an urgent request goes before all who wait, for however long they have") {
  Gate gate;
  Schedule schedule = merging();
  schedule.merges = false;
  const std::shared_ptr<Version> version = gated(gate, schedule);
  Desk desk;
  desk.push(version, 0);
  REQUIRE(gate.wait_for_runs(1));
  desk.ago_ns = 3'600'000 * kMs;
  for (int i = 2; i <= 100; ++i) desk.push(version, i, 1 + static_cast<std::size_t>(i % 2));
  desk.ago_ns = 0;
  desk.push(version, 1, 0);
  gate.set(true);
  REQUIRE(desk.wait(100));
  CHECK(desk.answers()[1] == 1);
}

TEST_CASE("from a full line the newest of the least urgent gives way to a more urgent one") {
  Gate gate;
  Schedule schedule = merging();
  schedule.merges = false;
  schedule.queue_limit = 3;
  schedule.fixed_ns = 20 * kMs;  // as measured
  const std::shared_ptr<Version> version = gated(gate, schedule);
  Desk desk;
  desk.push(version, 0);
  REQUIRE(gate.wait_for_runs(1));
  desk.push(version, 31, 2);
  const Job* const newest = desk.push(version, 32, 2);
  desk.push(version, 21, 1);
  Job* const urgent = desk.push(version, 11, 0);
  REQUIRE(urgent != nullptr);
  REQUIRE(desk.wait(1));  // told at once
  {
    const std::lock_guard lock(desk.mutex);
    Job& gone = desk.done.front();
    CHECK(gone.status.code() == Code::kResourceExhausted);
    CHECK(gone.status.message().find("pool.queue_limit") != std::string::npos);
    CHECK(&gone == newest);
    CHECK(gone.version == nullptr);
    desk.pool->cancel(gone, monotonic_ns());  // does nothing any more
  }
  CHECK(desk.pool->waiting() == 3);
  CHECK(counter(*version, "waiting") == 3);
  CHECK(counter(*version, "refused") == 1);
  CHECK(counter(*version, "failures") == 1);
  CHECK(counter(*version, "failure_ns") > 0);
  SUBCASE("the others are answered") {
    gate.set(true);
    REQUIRE(desk.wait(5));
    CHECK(desk.answers() == std::vector<double>{0, 11, 21, 31});
    return;
  }
  SUBCASE("so do others, to more urgent ones alone") {}
  CHECK(desk.push(version, 33, 2) == nullptr);  // nobody is less urgent
  CHECK(desk.push(version, 12, 0) != nullptr);  // 31 goes
  CHECK(desk.push(version, 22, 1) == nullptr);
  CHECK(desk.push(version, 13, 0) != nullptr);  // 21 goes
  CHECK(desk.push(version, 14, 0) == nullptr);
  gate.set(true);
  REQUIRE(desk.wait(7));
  CHECK(desk.answers() == std::vector<double>{0, 11, 12, 13});
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

TEST_CASE("versions share the workers' time, as it was and not as it was measured") {
  Gate open;
  open.set(true);
  Schedule schedule = merging();
  schedule.merges = false;
  schedule.fixed_ns = kMs;  // of both, as measured
  auto slow = std::make_shared<RowSums>();
  slow->takes_ns = 20 * kMs;
  const std::shared_ptr<Version> dearer = version_of(slow, "1");
  dearer->set_schedule(schedule);
  const std::shared_ptr<Version> cheaper = gated(open, schedule, "2");
  Gate busy;
  const std::shared_ptr<Version> first = gated(busy, schedule, "3");
  Desk desk;
  desk.push(first, 0);
  REQUIRE(busy.wait_for_runs(1));
  for (int i = 1; i <= 6; ++i) {
    desk.push(dearer, i);
    desk.push(cheaper, 100 + i);
  }
  busy.set(true);
  REQUIRE(desk.wait(13));
  const std::vector<double> order = desk.answers();
  // Of the dearer one: the first, and what the rule of age gives it. In turns, it would be five.
  CHECK(std::ranges::find(order, 106.0) - order.begin() <= 9);
}

TEST_CASE("a run counts for its version from its beginning, as measured") {
  Gate gate;
  Gate other_gate;
  Gate busy;
  Schedule schedule = merging();
  schedule.merges = false;
  schedule.fixed_ns = 10'000 * kMs;  // as measured
  const std::shared_ptr<Version> version = gated(gate, schedule, "1");
  const std::shared_ptr<Version> other = gated(other_gate, schedule, "2");
  const std::shared_ptr<Version> third = gated(busy, schedule, "3");
  Desk desk(2);
  desk.push(version);
  desk.push(third);
  REQUIRE(gate.wait_for_runs(1));
  REQUIRE(busy.wait_for_runs(1));
  desk.push(version);
  desk.push(other);
  busy.set(true);  // one worker of the two
  REQUIRE(other_gate.wait_for_runs(1));
  CHECK(gate.seen().size() == 1);
  gate.set(true);
  other_gate.set(true);
  REQUIRE(desk.wait(4));
}
