#include <doctest/doctest.h>

#include <cstdint>
#include <deque>
#include <map>
#include <random>

#include "loadgen/stream_table.h"

using namespace penstock::loadgen;

TEST_CASE("a table holds what was put in and not taken out, whatever the order") {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    std::mt19937_64 random(seed);
    StreamTable table;
    std::deque<Call> calls;
    std::map<std::uint32_t, Call*> expected;
    std::uint32_t next = 1;
    for (int step = 0; step < 4000; ++step) {
      if (expected.empty() || random() % 100 < (seed % 2 == 0 ? 52 : 49)) {
        Call& call = calls.emplace_back();
        // Mostly in order; sometimes from far off, so that they collide.
        call.stream =
            random() % 10 == 0 ? static_cast<std::uint32_t>((next + 2048 * (random() % 64)) | 1U) : next;
        next += 2;
        if (expected.contains(call.stream)) continue;
        table.insert(call);
        expected[call.stream] = &call;
      } else {
        auto gone = expected.begin();
        std::advance(gone, static_cast<std::ptrdiff_t>(random() % expected.size()));
        table.erase(gone->first);
        CHECK(table.find(gone->first) == nullptr);
        expected.erase(gone);
      }
      REQUIRE(table.size() == expected.size());
    }
    for (const auto& [stream, call] : expected) CHECK(table.find(stream) == call);
    std::size_t seen = 0;
    table.for_each([&](Call& call) { seen += expected.at(call.stream) == &call ? 1 : 0; });
    CHECK(seen == expected.size());
  }
}
