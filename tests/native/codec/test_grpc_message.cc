#include <doctest/doctest.h>

#include "codec/grpc_message.h"

using namespace penstock::codec;

TEST_CASE("a prefix that was written reads back, with its length in network order") {
  std::array<std::byte, kPrefixBytes> bytes{};
  for (const std::uint32_t length : {0U, 1U, 0x01020304U, 0xFFFFFFFFU}) {
    write_prefix(bytes, length);
    CHECK(read_prefix(bytes).flag == 0);
    CHECK(read_prefix(bytes).length == length);
  }
  write_prefix(bytes, 0x01020304);
  CHECK(bytes[1] == std::byte{1});
  CHECK(bytes[4] == std::byte{4});
}

TEST_CASE("the compressed flag is told as it came") {
  const std::array<std::byte, kPrefixBytes> bytes{std::byte{1}, std::byte{0}, std::byte{0}, std::byte{0},
                                                  std::byte{9}};
  CHECK(read_prefix(bytes).flag == 1);
  CHECK(read_prefix(bytes).length == 9);
}

TEST_CASE("timeouts of every unit") {
  CHECK(parse_timeout("2H") == 7'200'000'000'000);
  CHECK(parse_timeout("1M") == 60'000'000'000);
  CHECK(parse_timeout("3S") == 3'000'000'000);
  CHECK(parse_timeout("100m") == 100'000'000);
  CHECK(parse_timeout("5u") == 5'000);
  CHECK(parse_timeout("0n") == 0);
  CHECK(parse_timeout("99999999H") == INT64_MAX);
  CHECK(parse_timeout("123456789n") == std::nullopt);
  CHECK(parse_timeout("S") == std::nullopt);
}
