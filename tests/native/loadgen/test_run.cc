// Whole runs, on threads and sockets, against nghttp2's server side.
#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "loadgen/run.h"
#include "tcp_peer.h"

using namespace penstock;
using namespace penstock::loadgen;
using namespace penstock::loadgen::testing;

namespace {

constexpr std::int64_t kMs = 1'000'000;

Plan plan_for(const TcpPeer& peer) {
  Plan plan;
  plan.endpoint = {"127.0.0.1", peer.port(), ""};
  plan.headers = {
      {":method", "POST"}, {":scheme", "http"}, {":path", "/test/Echo"}, {":authority", "localhost"}};
  for (const char* message : {"one", "two", "three"})
    plan.bodies.push_back({framed(message), {framed(message)}});
  plan.connections = 3;
  plan.duration_ns = 200 * kMs;
  return plan;
}

void echo(Peer& peer, const Asked& asked) { peer.answer(asked.stream, {.body = asked.body}); }

// Takes 2 ms for each request, one after the other.
void echo_slowly(Peer& peer, const Asked& asked) {
  std::this_thread::sleep_for(std::chrono::milliseconds(2));
  echo(peer, asked);
}

OpenLoop evenly(double rate) { return {.rate = rate, .arrivals = Arrivals::kEven}; }

void finish(Run& run) {
  REQUIRE(run.start().is_ok());
  REQUIRE(run.wait(30'000 * kMs));
  REQUIRE(run.status().is_ok());
}

// Starts it, and after so long does what ends it, or some of it.
template <typename Event>
void disturb(Run& run, std::int64_t after_ns, Event&& event) {
  REQUIRE(run.start().is_ok());
  CHECK_FALSE(run.wait(after_ns));
  event();
  REQUIRE(run.wait(10'000 * kMs));
}

std::uint64_t good(const Run& run) { return run.outcome().latency().count(); }

using Counts = std::map<Failure, std::uint64_t>;

Counts failures(const Run& run) {
  Counts out;
  for (const FailureCount& each : run.outcome().failures()) out[each.failure] += each.count;
  return out;
}

}  // namespace

TEST_CASE(
    "an open loop sends what the schedule says, counts what is due after the warm-up, and traces each") {
  std::atomic<int> asked{0};
  TcpPeer peer([&](Peer& to, const Asked& each) {
    ++asked;
    echo(to, each);
  });
  for (const unsigned threads : {1U, 3U}) {
    asked = 0;
    Plan plan = plan_for(peer);
    plan.open = evenly(1000);
    plan.threads = threads;
    plan.warmup_ns = 100 * kMs;
    plan.trace = true;
    Run run(plan);
    finish(run);
    CHECK(asked == 300);
    CHECK(run.sent() == 300);
    CHECK(run.answered() == 300);
    CHECK(run.totals().requests == 200);
    CHECK(run.totals().measured_ns == 200 * kMs);
    CHECK(failures(run).empty());
    CHECK(good(run) == 200);
    CHECK(run.outcome().late().count() == 200);
    CHECK(run.outcome().trace().size() == 200);
    std::uint64_t answered = 0;
    for (const auto& counts : run.outcome().answers()) {
      CHECK(counts[0] >= 60);  // in turns
      answered += counts[0];
    }
    CHECK(answered == 200);
    for (const Times& times : run.outcome().trace()) {
      CHECK(times.late_ns >= 0);
      CHECK(times.latency_ns >= times.late_ns);
    }
  }
}

TEST_CASE("a closed loop has all of its streams under way, and no more") {
  std::vector<std::int32_t> held;
  std::size_t most = 0;
  TcpPeer peer([&](Peer& to, const Asked& asked) {
    held.push_back(asked.stream);
    most = std::max(most, held.size());
    if (held.size() < 4) return;
    for (const std::int32_t stream : held) to.answer(stream, {.body = framed("done")});
    held.clear();
  });
  Plan plan = plan_for(peer);
  plan.bodies = {{framed("one"), {framed("done")}}};
  plan.connections = 1;
  plan.closed.streams = 4;
  plan.warmup_ns = 50 * kMs;
  plan.patience_ns = 100 * kMs;
  Run run(plan);
  finish(run);
  CHECK(most == 4);
  CHECK(run.totals().requests > 200);
  const std::uint64_t answered = good(run);
  CHECK(answered + 4 >= run.totals().requests);  // fewer than four may be held for good
  CHECK(run.outcome().late().count() == 0);
}

TEST_CASE("a stall shows in every request that was due in it") {
  std::atomic<int> seen{0};
  TcpPeer peer([&](Peer& to, const Asked& asked) {
    if (++seen == 100) std::this_thread::sleep_for(std::chrono::milliseconds(300));
    echo(to, asked);
  });
  Plan plan = plan_for(peer);
  plan.open = evenly(500);
  plan.duration_ns = 1000 * kMs;
  Run run(plan);
  finish(run);
  CHECK(good(run) == 500);
  CHECK(run.outcome().latency().max() >= 300 * kMs);
  std::uint64_t slow = 0;
  run.outcome().latency().for_each(
      [&](std::int64_t bound, std::uint64_t count) { slow += bound > 150 * kMs ? count : 0; });
  CHECK(slow >= 70);  // 150 came in the 300 ms, half of them waited for more than half of it
}

TEST_CASE("each failure is counted by its kind") {
  TcpPeer peer([](Peer& to, const Asked& asked) {
    if (asked.body == framed("one"))
      to.answer(asked.stream, {.body = "", .grpc_status = "8", .grpc_message = "full"});
    if (asked.body == framed("two")) to.answer(asked.stream, {.body = framed("other")});
    if (asked.body == framed("three")) to.answer(asked.stream, {.body = asked.body, .http_status = "503"});
  });
  Plan plan = plan_for(peer);
  plan.bodies.push_back({framed("never"), {}});
  plan.open = evenly(400);
  plan.duration_ns = 100 * kMs;
  plan.patience_ns = 200 * kMs;
  Run run(plan);
  finish(run);
  CHECK(run.totals().requests == 40);
  CHECK(failures(run) == Counts{{Failure::kGrpcStatus, 10},
                                {Failure::kOtherAnswer, 10},
                                {Failure::kHttpStatus, 10},
                                {Failure::kUnanswered, 10}});
  for (const FailureCount& each : run.outcome().failures()) {
    if (each.failure == Failure::kGrpcStatus) CHECK((each.code == 8 && each.example == "full"));
    if (each.failure == Failure::kHttpStatus) CHECK(each.code == 503);
  }
}

TEST_CASE("answers after the deadline failed, and requests above the limit are not sent") {
  TcpPeer slow(echo_slowly);
  Plan plan = plan_for(slow);
  plan.open = evenly(200);
  plan.deadline_ns = 1 * kMs;
  Run late(plan);
  finish(late);
  CHECK(failures(late) == Counts{{Failure::kTooLate, 40}});
  plan.deadline_ns = 0;
  plan.open->rate = 20'000;
  plan.most_under_way = 10;
  Run crowded(plan);
  finish(crowded);
  CHECK(failures(crowded).at(Failure::kTooMany) > 1000);
  CHECK(good(crowded) + failures(crowded).at(Failure::kTooMany) == crowded.totals().requests);
}

TEST_CASE("a run ends early when it is stopped, and what was under way is waited for") {
  TcpPeer peer(echo);
  for (const bool open : {true, false}) {
    Plan plan = plan_for(peer);
    if (open) plan.open = OpenLoop{.rate = 500};
    plan.duration_ns = 0;
    plan.threads = 2;
    Run run(plan);
    disturb(run, 200 * kMs, [&] { run.stop(); });
    CHECK(run.totals().measured_ns > 50 * kMs);
    CHECK(run.totals().measured_ns < 3'000 * kMs);
    CHECK(run.totals().requests > 10);
    CHECK(good(run) == run.totals().requests);
    CHECK(run.wait(0));
  }
}

TEST_CASE("a server that hangs up on whatever is said leaves failures, and is not asked again and again") {
  for (const bool open : {true, false}) {
    TcpPeer peer(echo);
    Plan plan = plan_for(peer);
    if (open) plan.open = evenly(500);
    plan.duration_ns = 400 * kMs;
    Run run(plan);
    disturb(run, 150 * kMs, [&] { peer.hang_up(); });
    CHECK(good(run) > 0);
    const auto found = failures(run);
    CHECK(found.size() == 1);
    CHECK_FALSE(run.outcome().failures()[0].example.empty());
    CHECK(found.at(Failure::kClosed) > 0);
    CHECK(good(run) + found.at(Failure::kClosed) == run.totals().requests);
    CHECK(run.totals().reconnects <= 3);  // one each, at once
  }
}

TEST_CASE("a connection that the server closes after a while is opened again, and the load goes on") {
  for (const bool open : {true, false}) {
    std::atomic<int> asked{0};
    TcpPeer peer([&](Peer& to, const Asked& each) {
      echo(to, each);
      if (++asked % 50 == 0) to.close();
    });
    Plan plan = plan_for(peer);
    plan.connections = 1;
    if (open) plan.open = evenly(1000);
    plan.duration_ns = 300 * kMs;
    Run run(plan);
    finish(run);
    CHECK(run.totals().reconnects >= 4);
    CHECK(run.totals().requests >= 250);
    const auto found = failures(run);
    CHECK(good(run) > run.totals().requests / 2);
    for (const auto& [failure, count] : found) {
      CHECK(failure == Failure::kClosed);
      CHECK(good(run) + count == run.totals().requests);
    }
  }
}

TEST_CASE("a server that says GOAWAY answers what it has taken, and the rest goes to a new connection") {
  for (const bool open : {true, false}) {
    std::atomic<int> asked{0};
    TcpPeer peer([&](Peer& to, const Asked& each) {
      // The last of the streams that it takes is the one before this.
      if (++asked % 50 == 0) return to.go_away(each.stream - 2, NGHTTP2_NO_ERROR);
      echo(to, each);
    });
    Plan plan = plan_for(peer);
    if (open) plan.open = evenly(1000);
    plan.closed.streams = 4;
    plan.duration_ns = 300 * kMs;
    Run run(plan);
    finish(run);
    CHECK(failures(run).empty());
    CHECK(run.totals().reconnects >= 4);
    CHECK(run.totals().resent >= 4);
    CHECK(run.totals().requests >= 250);
    CHECK(good(run) == run.totals().requests);
  }
}

TEST_CASE("a request that is refused twice has failed") {
  TcpPeer peer([](Peer& to, const Asked& asked) { to.reset(asked.stream, NGHTTP2_REFUSED_STREAM); });
  Plan plan = plan_for(peer);
  plan.open = evenly(200);
  Run run(plan);
  finish(run);
  CHECK(run.totals().requests == 40);
  CHECK(run.totals().resent == 40);
  REQUIRE(run.outcome().failures().size() == 1);
  CHECK(run.outcome().failures()[0].failure == Failure::kStreamError);
  CHECK(run.outcome().failures()[0].code == NGHTTP2_REFUSED_STREAM);
  CHECK(run.outcome().failures()[0].count == 40);
}

TEST_CASE("a server that goes for good ends no run early, and says why") {
  for (const bool open : {true, false}) {
    auto peer = std::make_unique<TcpPeer>(echo);
    Plan plan = plan_for(*peer);
    if (open) plan.open = evenly(500);
    plan.duration_ns = 400 * kMs;
    Run run(plan);
    disturb(run, 150 * kMs, [&] { peer.reset(); });
    CHECK(run.totals().measured_ns >= 399 * kMs);
    CHECK(good(run) > 0);
    CHECK(good(run) + failures(run).at(Failure::kClosed) == run.totals().requests);
    CHECK(run.totals().reconnects == 0);
  }
}

TEST_CASE("a request whose deadline passes is cancelled, and makes room for the next one") {
  std::atomic<int> asked{0};
  std::atomic<int> cancelled{0};
  for (const bool open : {true, false}) {
    asked = 0;
    TcpPeer peer([&](Peer& to, const Asked& each) {
      cancelled = to.resets();
      if (++asked % 2 == 0) echo(to, each);
    });
    Plan plan = plan_for(peer);
    plan.connections = 1;
    plan.closed.streams = 2;
    if (open) plan.open = evenly(100);
    plan.deadline_ns = 20 * kMs;
    plan.duration_ns = 400 * kMs;
    const std::int64_t began = monotonic_ns();
    Run run(plan);
    finish(run);
    CHECK(monotonic_ns() - began < 2'000 * kMs);  // hung streams are not waited for
    CHECK(failures(run).size() == 1);
    CHECK(failures(run).at(Failure::kTooLate) >= 18);
    CHECK(good(run) >= 18);
    CHECK(run.outcome().latency().max() < 20 * kMs);
    CHECK(good(run) + failures(run).at(Failure::kTooLate) == run.totals().requests);
    CHECK(cancelled >= 15);
  }
}

TEST_CASE("a server's codes are counted one by one up to a limit, and its words are cut off") {
  int number = 0;
  TcpPeer peer([&](Peer& to, const Asked& asked) {
    to.answer(
        asked.stream,
        {.body = "", .grpc_status = std::to_string(1000 + ++number), .grpc_message = std::string(5000, 'm')});
  });
  Plan plan = plan_for(peer);
  plan.open = evenly(1000);
  Run run(plan);
  finish(run);
  const auto& found = run.outcome().failures();
  CHECK(found.size() == kMostCodes + 1);
  CHECK(found.back().code == kOtherCodes);
  CHECK(found.back().count == 200 - kMostCodes);
  CHECK(found.front().example == std::string(kMostExampleBytes, 'm'));
}

TEST_CASE("throughput counts the answers that came in time, and a backlog's later ones do not") {
  TcpPeer slow(echo_slowly);
  Plan plan = plan_for(slow);
  plan.open = evenly(2000);
  plan.warmup_ns = 100 * kMs;
  Run run(plan);
  finish(run);
  CHECK(good(run) == 400);  // all of them, in the end
  CHECK(run.totals().answered_in_time > 0);
  CHECK(run.totals().answered_in_time <= 101);  // 2 ms each, in 200 ms
}

TEST_CASE("a closed loop that is never answered says so, also of its warm-up") {
  TcpPeer mute([](Peer&, const Asked&) {});
  Plan plan = plan_for(mute);
  plan.closed.streams = 2;
  plan.warmup_ns = 50 * kMs;
  plan.duration_ns = 50 * kMs;
  plan.patience_ns = 100 * kMs;
  Run unanswered(plan);
  finish(unanswered);
  CHECK(unanswered.totals().requests == 6);
  CHECK(failures(unanswered) == Counts{{Failure::kUnanswered, 6}});
}

TEST_CASE("what cannot be reached, or says nothing, is told") {
  Plan plan;
  {
    TcpPeer peer(echo);
    plan = plan_for(peer);
  }
  Run nobody(plan);
  CHECK(nobody.start().message() == "127.0.0.1:" + plan.endpoint.port + ": Connection refused");
  plan.endpoint = {"", "", "/nonexistent/socket"};
  Run no_path(plan);
  CHECK(no_path.start().message() == "/nonexistent/socket: No such file or directory");

  const Loopback silent = listen_on_loopback();
  plan.endpoint = {"127.0.0.1", silent.port, ""};
  plan.patience_ns = 50 * kMs;
  Run mute(plan);
  const Status status = mute.start();
  CHECK(status.code() == Code::kUnavailable);
  CHECK(status.message() == "the peer takes connections and does not answer as an HTTP/2 server");
}

TEST_CASE("plans that make no sense are refused") {
  TcpPeer peer(echo);
  const auto refused = [&](auto&& change) {
    Plan plan = plan_for(peer);
    change(plan);
    Run run(plan);
    return run.start().code() == Code::kInvalidArgument;
  };
  CHECK(refused([](Plan& plan) { plan.bodies.clear(); }));
  CHECK(refused([](Plan& plan) { plan.bodies[0].answers.assign(65, framed("x")); }));
  CHECK(refused([](Plan& plan) { plan.threads = 4; }));
  CHECK(refused([](Plan& plan) { plan.threads = 0; }));
  CHECK(refused([](Plan& plan) { plan.open = OpenLoop{.rate = 0}; }));
  CHECK(refused([](Plan& plan) { plan.closed.streams = 0; }));
  CHECK(refused([](Plan& plan) { plan.cores = {0, -1}; }));
}
