#include <doctest/doctest.h>

#include <string>

#include "allocations.h"
#include "net/outbox.h"
#include "wire.h"

using namespace penstock;
using namespace penstock::net;
using namespace penstock::net::testing;

namespace {

std::span<const std::byte> bytes(std::string_view text) { return std::as_bytes(std::span(text)); }

}  // namespace

TEST_CASE("what is appended and borrowed is written in order, however little the socket takes at once") {
  for (const std::size_t per_write : {std::size_t{1}, std::size_t{3}, std::size_t{1000}, SIZE_MAX}) {
    CAPTURE(per_write);
    Outbox outbox;
    FakeTransport transport;
    transport.per_write = per_write;
    const std::string outside(5000, 'o');
    std::string expected;
    for (int i = 0; i < 200; ++i) {
      const std::string small = std::to_string(i) + ";";
      outbox.append(bytes(small));
      expected += small;
      if (i % 3 == 0) {
        outbox.borrow(bytes(outside).first(static_cast<std::size_t>(i) * 7));
        expected += outside.substr(0, static_cast<std::size_t>(i) * 7);
      }
    }
    CHECK(outbox.size() == expected.size());
    const Moved moved = outbox.flush(transport);
    CHECK(moved.state == Io::kDone);
    CHECK(moved.bytes == expected.size());
    CHECK((transport.sent == expected));
    CHECK(outbox.written() == expected.size());
    CHECK(outbox.size() == 0);
  }
}

TEST_CASE("an empty outbox writes nothing") {
  Outbox outbox;
  FakeTransport transport;
  outbox.append({});
  outbox.borrow({});
  CHECK(outbox.flush(transport).state == Io::kDone);
  CHECK(transport.writes == 0);
}

TEST_CASE("a blocked socket leaves the rest, and what is added goes behind it") {
  Outbox outbox;
  FakeTransport transport;
  transport.total = 4;
  outbox.append(bytes("abcdef"));
  Moved moved = outbox.flush(transport);
  CHECK(moved.state == Io::kBlocked);
  CHECK(moved.bytes == 4);
  CHECK(outbox.size() == 2);
  outbox.append(bytes("gh"));
  CHECK(transport.take() == "abcd");
  transport.total = SIZE_MAX;
  moved = outbox.flush(transport);
  CHECK(moved.state == Io::kDone);
  CHECK(transport.take() == "efgh");
}

TEST_CASE("a closed socket is reported") {
  Outbox outbox;
  FakeTransport transport;
  transport.closed = true;
  outbox.append(bytes("x"));
  CHECK(outbox.flush(transport).state == Io::kClosed);
}

TEST_CASE("a kept message goes when what stood before it is written, not earlier, not later") {
  Outbox outbox;
  FakeTransport transport;
  int alive = 0;
  outbox.append(bytes("0123456789"));
  outbox.keep(held_message("a", 100, &alive));
  outbox.append(bytes("more"));
  CHECK(outbox.kept() > 0);
  transport.total = 9;
  CHECK(outbox.flush(transport).state == Io::kBlocked);
  CHECK(alive == 1);
  transport.take();
  transport.total = 1;
  CHECK(outbox.flush(transport).state == Io::kBlocked);
  CHECK(alive == 0);
  CHECK(outbox.kept() == 0);
}

TEST_CASE("a message given to an empty outbox is not kept") {
  Outbox outbox;
  int alive = 0;
  outbox.keep(held_message("a", 100, &alive));
  CHECK(alive == 0);
  CHECK(outbox.kept() == 0);
}

TEST_CASE("a peer that reads slowly, but always, does not make the outbox grow") {
  Outbox outbox;
  FakeTransport transport;
  const std::string outside(2000, 'o');
  std::string expected;
  std::size_t number = 0;
  const std::int64_t before = penstock::testing::live_bytes();
  std::int64_t most = 0;
  std::size_t compared = 0;
  for (int turn = 0; turn < 20'000; ++turn) {
    while (outbox.size() < 20'000) {
      const std::string small = std::to_string(number++) + std::string(900, 's');
      outbox.append(bytes(small));
      expected += small;
      if (number % 4 == 0) {
        outbox.borrow(bytes(outside));
        expected += outside;
      }
    }
    transport.total = 1501;  // never runs empty
    REQUIRE(outbox.flush(transport).state == Io::kBlocked);
    const std::string sent = transport.take();
    REQUIRE(std::string_view(expected).substr(compared, sent.size()) == sent);
    compared += sent.size();
    if (compared > 100'000) {
      expected.erase(0, compared);
      compared = 0;
    }
    most = std::max(most, penstock::testing::live_bytes() - before);
  }
  CHECK(most < 8 << 20);
}

TEST_CASE("an outbox that ran empty gives back what a burst took") {
  Outbox outbox;
  FakeTransport transport;
  const std::string much(200'000, 'm');
  const std::int64_t before = penstock::testing::live_bytes();
  outbox.append(bytes(much));
  REQUIRE(outbox.flush(transport).state == Io::kDone);
  std::string().swap(transport.sent);
  CHECK(penstock::testing::live_bytes() - before < 80'000);
}
