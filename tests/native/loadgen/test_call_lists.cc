#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <random>
#include <vector>

#include "loadgen/call_queue.h"
#include "loadgen/due_order.h"

using namespace penstock::loadgen;

TEST_CASE("calls are taken out of a queue and of the order of their deadlines from anywhere") {
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    std::mt19937_64 random(seed);
    std::array<Call, 12> calls;
    CallQueue queue;
    DueOrder order;
    std::vector<Call*> expected;
    for (int step = 0; step < 300; ++step) {
      Call& call = calls[random() % calls.size()];
      const auto found = std::ranges::find(expected, &call);
      if (found == expected.end()) {
        queue.push(call);
        order.push(call);
        expected.push_back(&call);
      } else {
        queue.remove(call);
        order.remove(call);
        expected.erase(found);
      }
      CHECK(queue.empty() == expected.empty());
      std::vector<Call*> seen;
      for (Call* each = order.first(); each != nullptr; each = each->later) seen.push_back(each);
      CHECK(seen == expected);
      queue.remove(Call());  // which is not there
    }
    for (Call* each : expected) CHECK(&queue.pop() == each);
    CHECK(queue.empty());
  }
}
