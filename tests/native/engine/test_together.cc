// Requests that share a run: merged, run once, taken apart again.
#include <doctest/doctest.h>

#include <chrono>
#include <cstring>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "engine/merge.h"
#include "engine/pipeline.h"
#include "engine/requests.h"
#include "engine/row_sums.h"
#include "engine/scaled.h"

using namespace penstock;
using namespace penstock::engine;
using namespace penstock::engine::testing;

namespace {

// Requests to one version, run together or each by itself.
class Group final : public Receiver {
 public:
  explicit Group(std::shared_ptr<Version> given, Schedule schedule = {}) : version(std::move(given)) {
    schedule.merges = true;
    version->set_schedule(schedule);
    REQUIRE(version->add_lane(true, &lane).is_ok());
  }

  void run(const std::vector<Request>& requests, std::int64_t max_rows = 256) {
    prepare(requests);
    answer_together(admitted_, max_rows, arena_, *this);
  }
  void run_apart(const std::vector<Request>& requests) {
    prepare(requests);
    for (std::size_t i = 0; i < requests.size(); ++i) {
      InferAnswer made;
      Status status = answer(admitted_[i], arena_, &made);
      receive(i, std::move(status), made);
    }
  }
  void receive(std::size_t index, Status status, InferAnswer& answer) noexcept override {
    statuses[index] = std::move(status);
    for (const codec::Piece& piece : answer.pieces) {
      bytes[index].append(reinterpret_cast<const char*>(piece.bytes.data()), piece.bytes.size());
      borrowed = borrowed || piece.borrowed;
    }
    ++received;
  }
  void pause() noexcept override { pauses.push_back(received); }
  Answer decoded(std::size_t index) const { return decode_answer(bytes[index]); }
  std::int64_t counter(std::string_view name) const {
    for (const auto& [key, value] : version->counters()) {
      if (key == name) return value;
    }
    return -1;
  }

  std::shared_ptr<Version> version;
  Lane* lane = nullptr;
  std::int64_t deadline_ns = kNoDeadline;
  std::vector<Status> statuses;
  std::vector<std::string> bytes;
  std::size_t received = 0;
  std::vector<std::size_t> pauses;  // how many had been received
  bool borrowed = false;

 private:
  void prepare(const std::vector<Request>& requests) {
    arena_.reset();
    messages_.clear();
    admitted_.assign(requests.size(), {});
    statuses.assign(requests.size(), {Code::kUnknown, "never answered"});
    bytes.assign(requests.size(), {});
    received = 0;
    for (const Request& request : requests) messages_.push_back(request.encode());
    for (std::size_t i = 0; i < requests.size(); ++i) {
      const InferCall call{std::as_bytes(std::span(messages_[i])), monotonic_ns(), deadline_ns};
      REQUIRE(admit(*version, *lane, call, arena_, &admitted_[i]).is_ok());
    }
  }

  Arena arena_;
  std::vector<std::string> messages_;
  std::vector<Admitted> admitted_;
};

Request rows_of(std::vector<double> values, std::string id = "") {
  Request request;
  request.id = std::move(id);
  request.inputs = {matrix(static_cast<std::int64_t>(values.size()) / 3, values)};
  return request;
}

}  // namespace

TEST_CASE("requests of one version share one run, and each gets its own rows and id") {
  auto model = std::make_shared<RowSums>();
  std::vector<std::int64_t> runs;
  model->at_run = [&](std::int64_t rows) { runs.push_back(rows); };
  Group group(version_of(model));
  group.run({rows_of({1, 2, 3}, "a"), rows_of({4, 5, 6, 7, 8, 9}, "b"), rows_of({10, 20, 30}, "c")});
  CHECK(runs == std::vector<std::int64_t>{4});
  CHECK(group.received == 3);
  CHECK(group.decoded(0).doubles() == std::vector<double>{6});
  CHECK(group.decoded(1).doubles() == std::vector<double>{15, 24});
  CHECK(group.decoded(1).doubles(1) == std::vector<double>{6, 9});
  CHECK(group.decoded(2).doubles() == std::vector<double>{60});
  CHECK(group.decoded(0).id == "a");
  CHECK(group.decoded(2).id == "c");
  CHECK_FALSE(group.borrowed);
  CHECK(group.counter("requests") == 3);
  CHECK(group.counter("executions") == 1);
  CHECK(group.counter("rows") == 4);
  REQUIRE(group.version->runs().size() == 1);
  CHECK(group.version->runs()[0].rows == 4);
  CHECK(group.version->runs()[0].runs == 1);
  const std::int64_t stages = group.counter("queue_ns") + group.counter("decode_ns") +
                              group.counter("transform_ns") + group.counter("execute_ns") +
                              group.counter("encode_ns");
  CHECK(stages <= group.counter("request_ns"));
}

TEST_CASE("a shared run is as large as it may be, and the rest has another one") {
  auto model = std::make_shared<RowSums>();
  std::vector<std::int64_t> runs;
  model->at_run = [&](std::int64_t rows) { runs.push_back(rows); };
  Group group(version_of(model));
  const std::vector<Request> five(5, rows_of({1, 2, 3, 4, 5, 6}));
  group.run(five, 4);
  CHECK(runs == std::vector<std::int64_t>{4, 4, 2});
  runs.clear();
  group.run({rows_of({1, 2, 3}), rows_of(std::vector<double>(30, 1.0)), rows_of({1, 2, 3})}, 4);
  CHECK(runs == std::vector<std::int64_t>{2, 10});  // one that is larger by itself runs by itself
  CHECK(group.received == 3);
  SUBCASE("fewer rows than pay for it do not share one") {
    Schedule schedule;
    schedule.merges = true;
    schedule.min_batch_rows = 8;
    group.version->set_schedule(schedule);
    runs.clear();
    group.run({rows_of({1, 2, 3}), rows_of({4, 5, 6})});
    CHECK(runs == std::vector<std::int64_t>{1, 1});
  }
}

TEST_CASE("who is refused is refused alone") {
  Group group(version_of(std::make_shared<RowSums>()));
  Request wrong_type = rows_of({1, 2, 3});
  wrong_type.inputs[0].datatype = "INT64";
  Request wrong_name = rows_of({1, 2, 3});
  wrong_name.outputs = {"median"};
  group.run({rows_of({1, 2, 3}), wrong_type, rows_of({4, 5, 6}), wrong_name});
  CHECK(group.decoded(0).doubles() == std::vector<double>{6});
  CHECK(group.decoded(2).doubles() == std::vector<double>{15});
  CHECK(group.statuses[1].code() == Code::kInvalidArgument);
  CHECK(group.statuses[3].code() == Code::kInvalidArgument);
  CHECK(group.bytes[1].empty());
  CHECK(group.counter("executions") == 1);
  CHECK(group.counter("failures") == 2);
}

TEST_CASE("a row that a transform refuses is its own request's, with its place there") {
  std::shared_ptr<Version> version;
  REQUIRE(Version::make({"rows", "1", "d", std::make_shared<RowSums>(), scaled(3), false, {}, 0}, &version)
              .is_ok());
  Group group(version);
  const auto whole = [](std::vector<double> values) {
    Request request;
    request.inputs = {
        {"features", "FP64", {static_cast<std::int64_t>(values.size()) / 3, 3}, raw_bytes(values)}};
    return request;
  };
  group.run({whole({1, 2, 3}), whole({1, 1, 1, 1, -5, 1}), whole({10, 20, 30})});
  CHECK(group.decoded(0).doubles() == std::vector<double>{14});
  CHECK(group.decoded(2).doubles() == std::vector<double>{140});
  CHECK(group.statuses[1].code() == Code::kInvalidArgument);
  CHECK(group.statuses[1].message().find("row 1") != std::string::npos);
}

TEST_CASE("a run that fails is made again, down to each by itself") {
  auto model = std::make_shared<RowSums>();
  model->at_run = [](std::int64_t rows) {
    if (rows > 1) throw std::runtime_error("no room for so many");
  };
  Group group(version_of(model));
  group.run({rows_of({1, 2, 3}), rows_of({4, 5, 6, 7, 8, 9}), rows_of({7, 8, 9})});
  CHECK(group.decoded(0).doubles() == std::vector<double>{6});
  CHECK(group.statuses[1].code() == Code::kInternal);
  CHECK(group.decoded(2).doubles() == std::vector<double>{24});
}

TEST_CASE("one that makes a run fail costs the others few runs more") {
  auto model = std::make_shared<RowSums>();
  std::vector<std::int64_t> runs;
  model->at_run = [&](std::int64_t rows) { runs.push_back(rows); };
  std::shared_ptr<Version> version;
  REQUIRE(Version::make({"rows", "1", "d", model, scaled(3), false, {}, 0}, &version).is_ok());
  Group group(version);
  std::vector<Request> requests(40);
  for (std::size_t i = 0; i < requests.size(); ++i) {
    const double value = i == 17 ? -1 : 1;  // the transform takes no negative ones
    requests[i].inputs = {{"features", "FP64", {1, 3}, raw_bytes<double>({value, 1, 1})}};
  }
  group.run(requests);
  for (std::size_t i = 0; i < requests.size(); ++i) {
    CHECK(group.statuses[i].code() == (i == 17 ? Code::kInvalidArgument : Code::kOk));
  }
  CHECK(runs == std::vector<std::int64_t>{10, 5, 2, 2, 20});
}

TEST_CASE("what is answered is told before the next run") {
  Group group(version_of(std::make_shared<RowSums>()));
  Request largest = rows_of({1, 2, 3});
  largest.outputs = {"largest"};
  Request wrong_name = rows_of({1, 2, 3});
  wrong_name.outputs = {"median"};
  SUBCASE("two runs") {
    group.run({rows_of({1, 2, 3}), largest, rows_of({4, 5, 6}), largest});
    CHECK(group.pauses == std::vector<std::size_t>{2});
  }
  SUBCASE("a refusal, and a run") {
    group.run({wrong_name, rows_of({1, 2, 3})});
    CHECK(group.pauses == std::vector<std::size_t>{1});
  }
  SUBCASE("one run") {
    group.run({rows_of({1, 2, 3}), rows_of({4, 5, 6})});
    CHECK(group.pauses.empty());
  }
}

TEST_CASE("only what agrees shares a run") {
  auto model = std::make_shared<RowSums>();
  std::vector<std::int64_t> runs;
  model->at_run = [&](std::int64_t rows) { runs.push_back(rows); };
  SUBCASE("other outputs") {
    Group group(version_of(model));
    Request largest = rows_of({1, 2, 3});
    largest.outputs = {"largest"};
    group.run({rows_of({1, 2, 3}), largest, rows_of({4, 5, 6}), largest});
    CHECK(runs == std::vector<std::int64_t>{2, 2});
    CHECK(group.decoded(1).names == std::vector<std::string>{"largest"});
    CHECK(group.decoded(2).doubles() == std::vector<double>{15});
  }
  SUBCASE("columns, and matrices of either precision") {
    std::shared_ptr<Version> version;
    REQUIRE(Version::make({"rows", "1", "d", model, scaled(3), false, {}, 0}, &version).is_ok());
    Group group(version);
    Request columns;
    columns.inputs = {column("c0", {1}), column("c1", {2}), column("c2", {3})};
    Request turned;
    turned.inputs = {column("c2", {3, 30}), column("c0", {1, 10}), column("c1", {2, 20})};
    Request doubles;
    doubles.inputs = {{"features", "FP64", {1, 3}, raw_bytes<double>({1, 2, 3})}};
    Request floats;
    floats.inputs = {{"features", "FP32", {1, 3}, raw_bytes<float>({1, 2, 3})}};
    group.run({columns, doubles, floats, turned, doubles, floats});
    CHECK(runs == std::vector<std::int64_t>{3, 2, 2});
    for (const std::size_t i : {0, 1, 2, 4, 5}) CHECK(group.decoded(i).doubles() == std::vector<double>{14});
    CHECK(group.decoded(3).doubles() == std::vector<double>{14, 140});
  }
}

TEST_CASE("whose deadline has passed is not part of the run") {
  auto model = std::make_shared<RowSums>();
  std::vector<std::int64_t> runs;
  model->at_run = [&](std::int64_t rows) { runs.push_back(rows); };
  Group group(version_of(model));
  Request hurried = rows_of({1, 2, 3});
  hurried.timeout_us = 1;
  group.run({rows_of({1, 2, 3}), hurried, rows_of({4, 5, 6})});
  CHECK(runs == std::vector<std::int64_t>{2});
  CHECK(group.statuses[1].code() == Code::kDeadlineExceeded);
  CHECK(group.counter("expired") == 1);
  CHECK(group.decoded(2).doubles() == std::vector<double>{15});
}

TEST_CASE("what becomes late while others run is not run") {
  auto model = std::make_shared<RowSums>();
  std::vector<std::int64_t> runs;
  model->at_run = [&](std::int64_t rows) {
    runs.push_back(rows);
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  };
  Group group(version_of(model));
  Request hurried = rows_of({1, 2, 3});
  hurried.timeout_us = 10'000;
  group.run({rows_of({1, 2, 3}), hurried, rows_of({4, 5, 6})}, 1);
  CHECK(runs == std::vector<std::int64_t>{1, 1});
  CHECK(group.statuses[1].code() == Code::kDeadlineExceeded);
  CHECK(group.decoded(2).doubles() == std::vector<double>{15});
  CHECK(group.pauses == std::vector<std::size_t>{2});  // and is told so before the next run
}

TEST_CASE("answers do not depend on who shared the run, to the last byte") {
  std::mt19937_64 random(7);
  std::uniform_real_distribution<double> value(-1e6, 1e6);
  Group together(version_of(std::make_shared<RowSums>()));
  Group apart(version_of(std::make_shared<RowSums>()));
  for (int round = 0; round < 200; ++round) {
    std::vector<Request> requests;
    const std::size_t count = 1 + random() % 9;
    for (std::size_t i = 0; i < count; ++i) {
      std::vector<double> values(3 * (1 + random() % 5));
      for (double& each : values) each = value(random);
      requests.push_back(rows_of(values, std::to_string(random())));
      if (random() % 4 == 0) requests.back().outputs = {"largest", "sum"};
    }
    together.run(requests, static_cast<std::int64_t>(1 + random() % 12));
    apart.run_apart(requests);
    CHECK((together.bytes == apart.bytes));
  }
  CHECK(together.counter("executions") < apart.counter("executions"));
}

TEST_CASE("strings and rows of several dimensions are merged and sliced") {
  Arena arena;
  const std::vector<StringRef> left{{"a", 1}, {"bb", 2}};
  const std::vector<StringRef> right{{"ccc", 3}, {nullptr, 0}, {"d", 1}, {"e", 1}};
  const std::vector<std::int64_t> one_row{1, 2};
  const std::vector<std::int64_t> two_rows{2, 2};
  const std::vector<TensorView> one{{"s", DataType::kBytes, one_row, 2, left.data()}};
  const std::vector<TensorView> two{{"s", DataType::kBytes, two_rows, 4, right.data()}};
  Bound first;
  first.tensors = one;
  first.rows = 1;
  Bound second;
  second.tensors = two;
  second.rows = 2;
  REQUIRE(agree(first, second));
  const std::vector<const Bound*> parts{&first, &second};
  const Bound whole = merge(parts, arena);
  CHECK(whole.rows == 3);
  CHECK(whole.tensors[0].elements == 6);
  CHECK(whole.tensors[0].shape[0] == 3);
  CHECK(whole.tensors[0].strings()[1].view() == "bb");
  CHECK(whole.tensors[0].strings()[2].view() == "ccc");
  CHECK(whole.tensors[0].strings()[3].data == nullptr);
  const std::span<const TensorView> back = slice(whole.tensors, 3, 1, 2, arena);
  REQUIRE(back.size() == 1);
  CHECK(back[0].shape[0] == 2);
  CHECK(back[0].strings()[3].view() == "e");
  CHECK(slice(whole.tensors, 4, 0, 2, arena).empty());  // not a row for each row
  const std::vector<std::int64_t> wider{1, 3};
  const std::vector<StringRef> three{{"x", 1}, {"y", 1}, {"z", 1}};
  const std::vector<TensorView> other{{"s", DataType::kBytes, wider, 3, three.data()}};
  Bound third;
  third.tensors = other;
  third.rows = 1;
  CHECK_FALSE(agree(first, third));
}

TEST_CASE("a model whose outputs are no rows never shares a run") {
  class Total final : public executor::Executor {
   public:
    std::span<const TensorSpec> inputs() const noexcept override { return in_; }
    std::span<const TensorSpec> outputs() const noexcept override { return out_; }
    std::string describe() const override { return "a total"; }
    Status make_context(std::unique_ptr<executor::Context>* made) const override {
      *made = std::make_unique<executor::Context>();
      return Status::ok();
    }
    Status run(executor::Context&, std::span<const TensorView>, std::span<const std::uint32_t>, Arena&,
               executor::Results*) const override {
      return Status::ok();
    }

   private:
    std::vector<TensorSpec> in_{{"x", DataType::kFp64, {-1, 3}}};
    std::vector<TensorSpec> out_{{"total", DataType::kFp64, {1}}};
  };
  const std::shared_ptr<Version> version = version_of(std::make_shared<Total>());
  Schedule schedule;
  schedule.merges = true;
  version->set_schedule(schedule);
  CHECK_FALSE(version->has_rows());
  CHECK_FALSE(version->schedule().merges);
}
