// Requests of one turn of a loop that share a run.
#include <doctest/doctest.h>

#include <memory>
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

std::string request(double value, std::int64_t rows = 1) {
  Request made;
  std::vector<double> values;
  for (std::int64_t i = 0; i < rows; ++i) values.insert(values.end(), {value, 1, 1});
  made.inputs = {matrix(rows, values)};
  return framed(made.encode());
}

// What a loop has, for connections without sockets.
struct Turns {
  explicit Turns(std::size_t connections, engine::Schedule schedule = {})
      : model(std::make_shared<RowSums>()) {
    schedule.merges = true;
    model->at_run = [this](std::int64_t rows) { runs.push_back(rows); };
    runs.reserve(1000);
    version = version_of(model);
    version->set_schedule(schedule);
    auto snapshot = snapshot_of(version);
    engine::Hosted& hosted = snapshot->models.at("rows").hosted[0];
    REQUIRE(hosted.version->add_lane(true, &hosted.lanes.emplace_back()).is_ok());
    shared.snapshot.publish(snapshot);
    service = std::make_unique<Service>(shared, 0);
    for (std::size_t i = 0; i < connections; ++i) ends.push_back(std::make_unique<End>(*this, i + 1));
  }

  struct End {
    End(Turns& turns, std::uint64_t id) {
      auto made = std::make_unique<FakeTransport>();
      transport = made.get();
      connection = std::make_unique<Connection>(std::move(made), turns.shared.options, turns.shared.methods,
                                                *turns.service, turns.deadlines, turns.traffic,
                                                turns.shared.budget, id);
    }
    Peer peer;
    FakeTransport* transport;
    std::unique_ptr<Connection> connection;
  };

  // One turn: all that the peers have to say is read, then settled, then sent.
  void turn() {
    std::size_t used = 0;
    for (const auto& end : ends) {
      end->transport->incoming += end->peer.pull();
      if (end->transport->incoming.empty()) continue;
      REQUIRE(end->connection->read(std::span(buffer).subspan(used)));
      used += end->connection->taken();
    }
    finish();
  }
  void finish() {
    service->settle();
    std::ranges::fill(buffer, std::byte{0xDD});  // nobody looks at it any more
    for (const auto& end : ends) {
      REQUIRE(end->connection->flush());
      end->peer.push(end->transport->take());
    }
  }
  double sum(std::size_t end, std::int32_t id) {
    const Reply& reply = ends[end]->peer.reply(id);
    REQUIRE(reply.status() == "0");
    return decode_answer(unframed(reply.body).at(0)).doubles().at(0);
  }

  std::vector<std::int64_t> runs;
  std::shared_ptr<RowSums> model;
  std::shared_ptr<engine::Version> version;
  Shared shared{Options()};
  std::unique_ptr<Service> service;
  Deadlines deadlines;
  Traffic traffic;
  std::vector<std::byte> buffer = std::vector<std::byte>(256 * 1024);
  std::vector<std::unique_ptr<End>> ends;
};

}  // namespace

TEST_CASE("requests of one turn share a run once a turn brought several") {
  Turns turns(3);
  std::vector<std::int32_t> ids;
  const auto all_ask = [&] {
    ids.clear();
    for (std::size_t i = 0; i < 3; ++i) {
      ids.push_back(turns.ends[i]->peer.call(kUnary, request(static_cast<double>(i))));
    }
    turns.turn();
    for (std::size_t i = 0; i < 3; ++i) CHECK(turns.sum(i, ids[i]) == static_cast<double>(i) + 2);
  };
  all_ask();
  CHECK(turns.runs == std::vector<std::int64_t>{1, 1, 1});  // nobody knew that others would come
  turns.runs.clear();
  all_ask();
  CHECK(turns.runs == std::vector<std::int64_t>{3});
  turns.runs.clear();
  const std::int32_t alone = turns.ends[0]->peer.call(kUnary, request(9));
  turns.turn();
  CHECK(turns.sum(0, alone) == 11);
  const std::int32_t again = turns.ends[0]->peer.call(kUnary, request(9));
  turns.ends[0]->transport->incoming += turns.ends[0]->peer.pull();
  REQUIRE(turns.ends[0]->connection->read(turns.buffer));
  CHECK(turns.service->gathered() == 0);  // alone in the turn before: it waits for nobody
  turns.finish();
  CHECK(turns.sum(0, again) == 11);
}

TEST_CASE("a gathered call that is reset or lost in the same turn is not run") {
  Turns turns(3);
  for (int round = 0; round < 2; ++round) {
    turns.runs.clear();
    std::vector<std::int32_t> ids;
    for (std::size_t i = 0; i < 3; ++i) {
      ids.push_back(turns.ends[i]->peer.call(kUnary, request(static_cast<double>(i))));
    }
    if (round == 0) {
      turns.turn();
      continue;
    }
    for (std::size_t i = 0; i < 3; ++i) {
      turns.ends[i]->transport->incoming += turns.ends[i]->peer.pull();
      if (i == 1) {
        turns.ends[i]->peer.reset(ids[1]);
        turns.ends[i]->transport->incoming += turns.ends[i]->peer.pull();
      }
    }
    std::size_t used = 0;
    for (const auto& end : turns.ends) {
      REQUIRE(end->connection->read(std::span(turns.buffer).subspan(used)));
      used += end->connection->taken();
    }
    CHECK(turns.service->gathered() == 3);
    turns.ends.erase(turns.ends.begin());  // the connection broke
    turns.finish();
    CHECK(turns.runs == std::vector<std::int64_t>{1});
    CHECK(turns.sum(1, ids[2]) == 4);
  }
}

TEST_CASE("bodies that were put together from several reads share runs as well, and are let go of") {
  engine::Schedule schedule;
  schedule.max_batch_rows = 6000;
  Turns turns(2, schedule);
  for (int round = 0; round < 3; ++round) {
    turns.runs.clear();
    std::vector<std::int32_t> ids;
    // 72 KiB: more than a stream keeps of its own.
    for (std::size_t i = 0; i < 2; ++i) ids.push_back(turns.ends[i]->peer.call(kUnary, request(2.0, 3000)));
    for (int i = 0; i < 12; ++i) turns.turn();
    if (round > 0) CHECK(turns.runs == std::vector<std::int64_t>{6000});
    for (std::size_t i = 0; i < 2; ++i) {
      CHECK(turns.sum(i, ids[i]) == 4);
      CHECK(turns.ends[i]->connection->session().buffered() == 0);
      turns.ends[i]->peer.forget();
    }
  }
}

TEST_CASE("whoever can share no run on the loop waits for nobody") {
  engine::Schedule schedule;
  std::int64_t rows = 1;
  SUBCASE("as all that may run there is too little to share") {
    schedule.inline_rows = 4;
    schedule.min_batch_rows = 6;
    rows = 3;
  }
  SUBCASE("as it fills the largest run alone") {
    schedule.max_batch_rows = 8;
    rows = 8;
  }
  Turns turns(3, schedule);
  for (int round = 0; round < 3; ++round) {
    turns.runs.clear();
    std::vector<std::int32_t> ids;
    std::size_t used = 0;
    for (const auto& end : turns.ends) {
      ids.push_back(end->peer.call(kUnary, request(1, rows)));
      end->transport->incoming += end->peer.pull();
      REQUIRE(end->connection->read(std::span(turns.buffer).subspan(used)));
      used += end->connection->taken();
    }
    CHECK(turns.service->gathered() == 0);
    turns.finish();
    CHECK(turns.runs == std::vector<std::int64_t>{rows, rows, rows});
    for (std::size_t i = 0; i < 3; ++i) CHECK(turns.sum(i, ids[i]) == 3);
  }
}

TEST_CASE("versions that are asked in the same turn have runs of their own") {
  Turns turns(2);
  std::vector<std::int64_t> other_runs;
  auto other = std::make_shared<RowSums>();
  other->at_run = [&](std::int64_t rows) { other_runs.push_back(rows); };
  std::shared_ptr<engine::Version> version;
  engine::Schedule schedule;
  schedule.merges = true;
  REQUIRE(
      engine::Version::make({"others", "7", "d", other, nullptr, false, {}, 0, schedule}, &version).is_ok());
  auto snapshot = snapshot_of(turns.version);
  snapshot->models.emplace("others", snapshot_of(version)->models.at("rows"));
  for (auto& [name, model] : snapshot->models) {
    engine::Hosted& hosted = model.hosted[0];
    REQUIRE(hosted.version->add_lane(true, &hosted.lanes.emplace_back()).is_ok());
  }
  turns.shared.snapshot.publish(snapshot);
  turns.service->adopt();
  Request of_other;
  of_other.model = "others";
  of_other.inputs = {matrix(1, {10, 10, 10})};
  for (int round = 0; round < 2; ++round) {
    turns.runs.clear();
    other_runs.clear();
    std::vector<std::int32_t> ids;
    std::vector<std::int32_t> other_ids;
    for (std::size_t i = 0; i < 2; ++i) {
      ids.push_back(turns.ends[i]->peer.call(kUnary, request(static_cast<double>(i))));
      other_ids.push_back(turns.ends[i]->peer.call(kUnary, framed(of_other.encode())));
    }
    turns.turn();
    for (std::size_t i = 0; i < 2; ++i) {
      CHECK(turns.sum(i, ids[i]) == static_cast<double>(i) + 2);
      CHECK(turns.sum(i, other_ids[i]) == 30);
      const Reply& reply = turns.ends[i]->peer.reply(other_ids[i]);
      CHECK(decode_answer(unframed(reply.body).at(0)).model == "others");
    }
  }
  CHECK(turns.runs == std::vector<std::int64_t>{2});
  CHECK(other_runs == std::vector<std::int64_t>{2});
}

TEST_CASE("who is refused in a shared run is refused alone") {
  Turns turns(2);
  Request wrong;
  wrong.inputs = {matrix(1, {1, 2, 3, 4})};
  for (int round = 0; round < 2; ++round) {
    const std::int32_t good = turns.ends[0]->peer.call(kUnary, request(1));
    const std::int32_t better = turns.ends[0]->peer.call(kUnary, request(2));
    const std::int32_t bad = turns.ends[1]->peer.call(kUnary, framed(wrong.encode()));
    turns.turn();
    CHECK(turns.sum(0, good) == 3);
    CHECK(turns.sum(0, better) == 4);
    CHECK(turns.ends[1]->peer.reply(bad).status() == "3");
  }
  CHECK(turns.runs.back() == 2);
}

TEST_CASE("turns that share runs allocate nothing of ours once they are warm") {
  Turns turns(4);
  std::int64_t taken = 0;
  std::size_t answered = 0;
  const std::string message = request(1.5, 20);
  const auto round = [&] {
    std::vector<std::vector<std::int32_t>> ids(4);
    for (std::size_t i = 0; i < 4; ++i) {
      Turns::End& end = *turns.ends[i];
      for (int call = 0; call < 6; ++call) ids[i].push_back(end.peer.call(kUnary, message));
      end.transport->incoming = end.peer.pull();
      end.transport->sent.reserve(1 << 16);
    }
    turns.runs.clear();
    const std::int64_t before = penstock::testing::allocations();
    std::size_t used = 0;
    bool alive = true;
    for (const auto& end : turns.ends) {
      alive = alive && end->connection->read(std::span(turns.buffer).subspan(used));
      used += end->connection->taken();
    }
    turns.service->settle();
    for (const auto& end : turns.ends) alive = alive && end->connection->flush();
    taken += penstock::testing::allocations() - before;
    REQUIRE(alive);
    for (std::size_t i = 0; i < 4; ++i) {
      Turns::End& end = *turns.ends[i];
      end.peer.push(end.transport->sent);
      end.transport->sent.clear();
      for (const std::int32_t id : ids[i]) answered += end.peer.reply(id).status() == "0" ? 1 : 0;
      end.peer.forget();
    }
  };
  for (int i = 0; i < 20; ++i) round();
  CHECK(turns.runs.size() < 24);
  taken = 0;
  answered = 0;
  for (int i = 0; i < 100; ++i) round();
  CHECK(answered == 2400);
  CHECK(taken == 0);
}
