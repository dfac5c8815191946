// What one turn of a loop brings, in an order that only a loop which stood still meets.
#include <doctest/doctest.h>

#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "client.h"
#include "engine/gate.h"
#include "wire.h"

using namespace penstock;
using namespace penstock::net;
using namespace penstock::net::testing;
using namespace penstock::engine::testing;
using std::chrono::milliseconds;

namespace {

constexpr std::int64_t kInlineRows = 7;
constexpr std::int64_t kHoldingRows = 6;  // hold up the loop; and tell it that the next turn is to gather
constexpr std::int64_t kPooledRows = 9;
constexpr int kCrowd = 12;  // whose requests leave less than a read of a turn takes

std::string request_of(std::int64_t rows, std::size_t id_size = 0) {
  engine::testing::Request made;
  made.id = std::string(id_size, 'i');
  made.inputs = {matrix(rows, std::vector<double>(static_cast<std::size_t>(3 * rows), 1.0))};
  return made.encode();
}

void ask(Client& client, std::int64_t rows, std::size_t id_size = 0) {
  client.peer.call(kUnary, framed(request_of(rows, id_size)));
  client.send();
}

}  // namespace

TEST_CASE(
    "a connection that breaks when the turn's buffer is full, with its answer due, costs itself alone") {
  Gate loop_gate;
  Gate pool_gate;
  auto model = std::make_shared<RowSums>();
  model->at_run = [&](std::int64_t rows) {
    if (rows == kPooledRows) pool_gate.pass(rows);
    if (rows == kHoldingRows) loop_gate.pass(rows);
  };
  const auto version = version_of(model);
  engine::Schedule schedule;
  schedule.inline_rows = kInlineRows;
  schedule.merges = true;
  schedule.max_batch_rows = 64;
  version->set_schedule(schedule);
  Options options = on_free_port(1);
  options.pool_threads = 1;
  Server server(options);
  REQUIRE(server.start().is_ok());
  REQUIRE(server.publish(snapshot_of(version)).is_ok());

  std::vector<std::unique_ptr<Client>> crowd;
  for (int i = 0; i < kCrowd; ++i) crowd.push_back(std::make_unique<Client>(server.port()));
  for (const auto& client : crowd) REQUIRE(client->call(kLive, "").status() == "0");
  Client holds(server.port());
  Client breaks(server.port());
  REQUIRE(holds.call(kLive, "").status() == "0");
  REQUIRE(breaks.call(kLive, "").status() == "0");

  ask(breaks, kPooledRows);
  REQUIRE(pool_gate.wait_for_runs(1));
  ask(holds, kHoldingRows);
  REQUIRE(loop_gate.wait_for_runs(1));
  // The loop stands still. What it will find, in this order: the pool's answer for the one that breaks, more
  // requests than its buffer holds, the break.
  pool_gate.set(true);
  REQUIRE(soon([&] { return counter(server, "pool_running") == 0; }));
  std::this_thread::sleep_for(milliseconds(50));  // the delivery follows
  for (const auto& client : crowd) {
    for (int i = 0; i < 5; ++i) ask(*client, 1, 4000);
  }
  breaks.reset();
  std::this_thread::sleep_for(milliseconds(50));
  loop_gate.set(true);
  for (const auto& client : crowd) CHECK(client->call(kLive, "").status() == "0");
  CHECK(holds.call(kLive, "").status() == "0");
  CHECK(soon([&] { return counter(server, "open_connections") == kCrowd + 1; }));
}
