#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <utility>

#include "base/arena.h"

using penstock::Arena;

TEST_CASE("memory is aligned as asked and distinct") {
  Arena arena(256);
  auto* a = static_cast<std::byte*>(arena.allocate(3, 1));
  auto* b = static_cast<std::byte*>(arena.allocate(8, 64));
  CHECK(reinterpret_cast<std::uintptr_t>(b) % 64 == 0);
  CHECK(b >= a + 3);
}

TEST_CASE("a block that overflows is followed by one that fits") {
  Arena arena(64);
  std::span<std::uint64_t> big = arena.array<std::uint64_t>(10'000);
  CHECK(big.size() == 10'000);
  CHECK(big[9'999] == 0);
}

TEST_CASE("reset keeps what the largest request needed, so that the same again takes nothing new") {
  Arena arena(64);
  for (int i = 0; i < 10; ++i) static_cast<void>(arena.allocate(1000));
  arena.reset();
  const std::size_t held = arena.held();
  for (int i = 0; i < 10; ++i) static_cast<void>(arena.allocate(1000));
  CHECK(arena.held() == held);
}

TEST_CASE("reset gives back what one huge request took") {
  Arena arena(64, 4096);
  static_cast<void>(arena.allocate(1 << 20));
  arena.reset();
  CHECK(arena.held() <= 4096);
}

TEST_CASE("sizes that overflow are refused") {
  Arena arena;
  CHECK_THROWS_AS(static_cast<void>(arena.allocate(SIZE_MAX - 8)), std::bad_alloc);
  CHECK_THROWS_AS(static_cast<void>(arena.array<std::uint64_t>(SIZE_MAX / 4)), std::bad_alloc);
}

TEST_CASE("an arena that was moved from is empty and can be used on") {
  Arena first(256);
  std::span<std::uint64_t> values = first.array<std::uint64_t>(8);
  values[7] = 7;
  Arena second(std::move(first));
  auto* used_on = static_cast<std::byte*>(first.allocate(64));  // NOLINT(bugprone-use-after-move)
  std::fill_n(used_on, 64, std::byte{0xAA});
  CHECK(values[7] == 7);
  Arena third(64);
  static_cast<void>(third.allocate(1000));
  third = std::move(second);
  CHECK(values[7] == 7);
  CHECK(second.held() == 0);  // NOLINT(bugprone-use-after-move)
  second.reset();
  static_cast<void>(second.allocate(10));
  CHECK(third.held() >= 256);
}
