#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include "net/bridge.h"

using namespace penstock;
using namespace penstock::net;
using std::chrono::milliseconds;

namespace {

Bridge::Deliver nowhere() {
  return [](const BridgedCall&, Status, std::string) {};
}

BridgedCall call(std::int32_t stream, std::string message = {}) {
  return {0, 1, stream, "/a/B", std::move(message)};
}

}  // namespace

TEST_CASE("calls come out in the order in which they went in") {
  Bridge bridge(nowhere());
  for (int i = 0; i < 5; ++i) REQUIRE(bridge.push(call(i, std::to_string(i))));
  for (int i = 0; i < 5; ++i) {
    const std::optional<BridgedCall> taken = bridge.take(milliseconds(0));
    REQUIRE(taken.has_value());
    CHECK(taken->stream == i);
    CHECK(taken->message == std::to_string(i));
    CHECK(taken->method == "/a/B");
  }
  CHECK_FALSE(bridge.take(milliseconds(0)).has_value());
}

TEST_CASE("calls beyond the limit are refused until some are taken") {
  Bridge bridge(nowhere());
  int taken = 0;
  while (bridge.push(call(taken))) ++taken;
  CHECK(taken == 1024);
  REQUIRE(bridge.take(milliseconds(0)).has_value());
  CHECK(bridge.push(call(0)));
  CHECK_FALSE(bridge.push(call(0)));
}

TEST_CASE("large messages are refused before they take all memory, and one alone is not") {
  Bridge bridge(nowhere());
  REQUIRE(bridge.push(call(0, std::string(100U << 20U, 'x'))));
  CHECK_FALSE(bridge.push(call(1, std::string(64U << 20U, 'x'))));
  CHECK(bridge.push(call(2, std::string(1000, 'x'))));
  REQUIRE(bridge.take(milliseconds(0)).has_value());
  CHECK(bridge.push(call(3, std::string(64U << 20U, 'x'))));

  Bridge empty(nowhere());
  CHECK(empty.push(call(0, std::string(200U << 20U, 'x'))));
}

TEST_CASE("a taker that waits gets the call that comes") {
  Bridge bridge(nowhere());
  std::optional<BridgedCall> taken;
  std::thread taker([&] { taken = bridge.take(std::chrono::seconds(30)); });
  CHECK(bridge.push(call(7)));
  taker.join();
  REQUIRE(taken.has_value());
  CHECK(taken->stream == 7);
}

TEST_CASE("stop wakes every taker, refuses calls, and drops answers") {
  std::atomic<int> delivered{0};
  Bridge bridge([&](const BridgedCall&, Status, std::string) { ++delivered; });
  std::atomic<int> empty{0};
  std::vector<std::thread> takers;
  for (int i = 0; i < 4; ++i) {
    takers.emplace_back([&] {
      if (!bridge.take(std::chrono::seconds(60))) ++empty;
    });
  }
  bridge.answer(call(1), Status::ok(), "in time");
  bridge.stop();
  for (std::thread& taker : takers) taker.join();
  CHECK(empty == 4);
  CHECK(delivered == 1);
  CHECK_FALSE(bridge.push(call(2)));
  bridge.answer(call(1), Status::ok(), "too late");
  CHECK(delivered == 1);
  bridge.stop();  // once more does nothing
}

TEST_CASE("after stop returns, no answer is under way") {
  for (int round = 0; round < 50; ++round) {
    auto target = std::make_unique<std::atomic<int>>(0);  // gone right after stop()
    Bridge bridge([raw = target.get()](const BridgedCall&, Status, std::string) { ++*raw; });
    std::thread answerer([&] {
      for (int i = 0; i < 100; ++i) bridge.answer(call(i), Status::ok(), "x");
    });
    bridge.stop();
    target.reset();
    answerer.join();
  }
}
