// What a warm data plane takes from the system for one more call: nothing.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "allocations.h"
#include "engine/requests.h"
#include "engine/row_sums.h"
#include "net/connection.h"
#include "net/service.h"
#include "wire.h"

using namespace penstock;
using namespace penstock::net;
using namespace penstock::net::testing;
using namespace penstock::engine::testing;

namespace {

// Written to and never grown.
class Sink final : public Transport {
 public:
  int fd() const noexcept override { return -1; }
  Moved read(std::span<std::byte> into) noexcept override {
    if (incoming.empty()) return {Io::kBlocked, 0};
    const std::size_t part = std::min(into.size(), incoming.size());
    std::memcpy(into.data(), incoming.data(), part);
    incoming = incoming.substr(part);
    return {Io::kDone, part};
  }
  Moved write(std::span<const iovec> from) noexcept override {
    std::size_t moved = 0;
    for (const iovec& vector : from) {
      const std::size_t part = std::min(vector.iov_len, sent.size() - size);
      std::memcpy(sent.data() + size, vector.iov_base, part);
      size += part;
      moved += part;
    }
    return {Io::kDone, moved};
  }
  void end() noexcept override {}
  std::string_view take() { return {sent.data(), std::exchange(size, 0)}; }

  std::string_view incoming;
  std::vector<char> sent = std::vector<char>(1 << 20);
  std::size_t size = 0;
};

}  // namespace

TEST_CASE("unary calls on a warm connection allocate nothing of ours") {
  Shared shared{Options()};
  auto model = std::make_shared<RowSums>();
  std::int64_t of_the_model = 0;  // a call
  SUBCASE("results in the arena") {}
  SUBCASE("results that are the model's memory") {
    model->holds = true;
    of_the_model = 2 * 2;  // two outputs, each a vector and its elements
  }
  auto snapshot = snapshot_of(version_of(model));
  engine::Hosted& hosted = snapshot->models.at("rows").hosted[0];
  REQUIRE(hosted.version->add_lane(true, &hosted.lanes.emplace_back()).is_ok());
  shared.snapshot.publish(snapshot);
  Service service(shared, 0);
  Deadlines deadlines;
  Traffic traffic;
  auto made = std::make_unique<Sink>();
  Sink* sink = made.get();
  Connection connection(std::move(made), shared.options, shared.methods, service, deadlines, traffic,
                        shared.budget, 1);
  std::vector<std::byte> buffer(256 * 1024);
  Peer peer;

  Request request;
  request.id = "0123456789abcdef0123456789abcdef";
  request.inputs = {matrix(20, std::vector<double>(60, 1.5))};
  const std::string message = framed(request.encode());
  const Headers timeout{{"grpc-timeout", "10S"}};

  // The peer's own memory does not count: it is measured around the connection's calls alone.
  std::int64_t taken = 0;
  std::size_t answered = 0;
  const auto round = [&](std::size_t cut) {
    std::vector<std::int32_t> ids;
    std::string bytes;
    for (int i = 0; i < 8; ++i) {
      ids.push_back(peer.call(kUnary, message, timeout));
      bytes += peer.pull();
    }
    for (std::string_view rest = bytes; !rest.empty();) {
      sink->incoming = rest.substr(0, cut);
      rest = rest.substr(sink->incoming.size());
      const std::int64_t before = penstock::testing::allocations();
      REQUIRE(connection.read(buffer));
      REQUIRE(connection.flush());
      taken += penstock::testing::allocations() - before;
      peer.push(sink->take());
    }
    for (const std::int32_t id : ids) answered += peer.reply(id).status() == "0" ? 1 : 0;
    peer.forget();
  };
  for (int i = 0; i < 20; ++i) round(SIZE_MAX);
  taken = 0;
  answered = 0;
  for (int i = 0; i < 200; ++i) round(SIZE_MAX);
  CHECK(answered == 1600);
  CHECK(taken == 1600 * of_the_model);

  // Cut over reads: the body is put together in memory that streams keep, but a call that waits has a timer.
  for (int i = 0; i < 20; ++i) round(1000);
  taken = 0;
  for (int i = 0; i < 50; ++i) round(1000);
  CHECK(taken <= 400 * (1 + of_the_model));  // one timer a call at most
  CHECK(connection.session().buffered() == 0);
}
