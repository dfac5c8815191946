// Version, Pipeline and Snapshot, with a model of the tests' own and a program of one C kernel.
#include <doctest/doctest.h>

#include <string>
#include <thread>
#include <vector>

#include "allocations.h"
#include "base/clock.h"
#include "engine/pipeline.h"
#include "engine/requests.h"
#include "engine/row_sums.h"
#include "engine/scaled.h"

using namespace penstock;
using namespace penstock::engine;
using namespace penstock::engine::testing;

namespace {

std::int64_t counter(const Version& version, std::string_view name) {
  for (const auto& [key, value] : version.counters()) {
    if (key == name) return value;
  }
  return -1;
}

// A version with a lane, and one request at a time through infer().
struct Bench {
  explicit Bench(std::shared_ptr<const Version> given) : version(std::move(given)) {
    REQUIRE(version->add_lane(true, &lane).is_ok());
  }
  Status run(const Request& request) { return run(request.encode()); }
  Status run(std::string bytes) {
    answer = {};
    arena.reset();
    message = std::move(bytes);
    InferCall call{std::as_bytes(std::span(message)), monotonic_ns(), deadline_ns, false, false};
    return infer(*version, *lane, call, arena, &answer);
  }
  Answer decoded() const {
    std::string bytes;
    for (const codec::Piece& piece : answer.pieces) {
      bytes.append(reinterpret_cast<const char*>(piece.bytes.data()), piece.bytes.size());
    }
    CHECK(bytes.size() == answer.bytes);
    return decode_answer(bytes);
  }

  std::shared_ptr<const Version> version;
  Lane* lane = nullptr;
  Arena arena;
  std::string message;
  InferAnswer answer;
  std::int64_t deadline_ns = kNoDeadline;
};

Request two_rows() {
  Request request;
  request.id = "seven";
  request.inputs = {matrix(2, {1, 2, 3, 10, 5, 20})};
  return request;
}

Status make_with(std::shared_ptr<const transform::Program> program, std::int64_t model_columns,
                 std::shared_ptr<Version>* made) {
  return Version::make(
      {"rows", "1", "sha256:d1", std::make_shared<RowSums>(model_columns), std::move(program), false, {}, 0},
      made);
}

}  // namespace

TEST_CASE("a request is answered with all outputs, its id, the version and its digest") {
  Bench bench(version_of(std::make_shared<RowSums>(), "12"));
  REQUIRE(bench.run(two_rows()).is_ok());
  const Answer answer = bench.decoded();
  CHECK(answer.model == "rows");
  CHECK(answer.version == "12");
  CHECK(answer.id == "seven");
  CHECK(answer.names == std::vector<std::string>{"sum", "largest"});
  CHECK(answer.doubles(0) == std::vector<double>{6, 35});
  CHECK(answer.doubles(1) == std::vector<double>{3, 20});
  CHECK(answer.parameters.at("penstock_arm") == "pinned");
  CHECK(answer.parameters.at("penstock_digest") == "sha256:d1");
}

TEST_CASE("outputs come as asked for; unknown and doubled ones are refused") {
  Bench bench(version_of(std::make_shared<RowSums>()));
  Request request = two_rows();
  request.outputs = {"largest"};
  REQUIRE(bench.run(request).is_ok());
  CHECK(bench.decoded().names == std::vector<std::string>{"largest"});
  CHECK(bench.decoded().doubles() == std::vector<double>{3, 20});
  request.outputs = {"largest", "sum"};
  REQUIRE(bench.run(request).is_ok());
  CHECK(bench.decoded().names == request.outputs);
  request.outputs = {"median"};
  Status status = bench.run(request);
  CHECK(status.code() == Code::kInvalidArgument);
  CHECK(status.message() == "output 'median' is not one of this model's; expected: sum, largest");
  request.outputs = {"sum", "sum"};
  status = bench.run(request);
  CHECK(status.code() == Code::kInvalidArgument);
  CHECK(status.message() == "output 'sum' is asked for twice; each is expected once");
}

TEST_CASE("transforms run before the model, on columns and on a matrix alike") {
  std::shared_ptr<Version> version;
  REQUIRE(make_with(scaled(3), 3, &version).is_ok());
  Bench bench(version);
  Request columns;
  columns.inputs = {column("c0", {1, 10}), column("c1", {2, 20}), column("c2", {3, 30})};
  REQUIRE(bench.run(columns).is_ok());
  CHECK(bench.decoded().doubles() == std::vector<double>{1 + 4 + 9, 10 + 40 + 90});
  Request whole;
  whole.inputs = {{"features", "FP32", {2, 3}, raw_bytes<float>({1, 2, 3, 10, 20, 30})}};
  REQUIRE(bench.run(whole).is_ok());
  CHECK(bench.decoded().doubles() == std::vector<double>{1 + 4 + 9, 10 + 40 + 90});
  columns.inputs[1] = column("c1", {2, -20});
  const Status status = bench.run(columns);
  CHECK(status.code() == Code::kInvalidArgument);
  CHECK(status.message().find("scale(c1)") != std::string::npos);
  CHECK(status.message().find("row 1") != std::string::npos);
}

TEST_CASE("transforms that do not fit the model are refused when the version is made") {
  std::shared_ptr<Version> version;
  const Status status = make_with(scaled(2), 3, &version);
  CHECK(status.code() == Code::kInvalidArgument);
  CHECK(status.message() == "the transforms make FP64 [-1, 2], the model's input 'x' takes FP64 [-1, 3]");
  CHECK(version == nullptr);
  CHECK_FALSE(
      Version::make({"m", "1", "d", std::make_shared<RowSums>(), nullptr, true, {}, 0}, &version).is_ok());
}

TEST_CASE("a deadline that has passed refuses before the model runs; one that passes meanwhile, after") {
  auto model = std::make_shared<RowSums>();
  model->takes_ns = 3'000'000;
  Bench bench(version_of(model));
  bench.deadline_ns = monotonic_ns() - 1'000'000;
  Status status = bench.run(two_rows());
  CHECK(status.code() == Code::kDeadlineExceeded);
  CHECK(status.message().find("before the model ran") != std::string::npos);
  bench.deadline_ns = monotonic_ns() + 1'000'000;
  status = bench.run(two_rows());
  CHECK(status.code() == Code::kDeadlineExceeded);
  CHECK(bench.answer.pieces.empty());
  bench.deadline_ns = monotonic_ns() + 60'000'000'000;
  CHECK(bench.run(two_rows()).is_ok());
  SUBCASE("the request's own parameter counts where it is nearer") {
    Request request = two_rows();
    request.timeout_us = 1'000;
    CHECK(bench.run(request).code() == Code::kDeadlineExceeded);
    request.timeout_us = 60'000'000;
    CHECK(bench.run(request).is_ok());
    request.timeout_us = INT64_MAX;
    CHECK(bench.run(request).is_ok());
  }
}

TEST_CASE("an answer of more than a message holds is refused before the model takes memory for it") {
  class Wide final : public executor::Executor {
   public:
    std::span<const TensorSpec> inputs() const noexcept override { return inputs_; }
    std::span<const TensorSpec> outputs() const noexcept override { return outputs_; }
    std::string describe() const override { return "a wide one"; }
    Status make_context(std::unique_ptr<executor::Context>* made) const override {
      *made = std::make_unique<executor::Context>();
      return Status::ok();
    }
    Status run(executor::Context&, std::span<const TensorView>, std::span<const std::uint32_t>, Arena&,
               executor::Results*) const override {
      return {Code::kInternal, "it ran"};
    }

   private:
    std::vector<TensorSpec> inputs_{{"x", DataType::kFp64, {-1, 3}}};
    std::vector<TensorSpec> outputs_{{"wide", DataType::kFp64, {-1, 1 << 20}},  // 8 MiB a row
                                     {"open", DataType::kFp64, {-1, -1}}};
  };
  std::shared_ptr<Version> version;
  REQUIRE(
      Version::make({"wide", "1", "d", std::make_shared<Wide>(), nullptr, false, {}, 0}, &version).is_ok());
  Bench bench(version);
  const auto rows = [](std::int64_t count) {
    Request request;
    request.inputs = {matrix(count, std::vector<double>(static_cast<std::size_t>(3 * count), 1.0))};
    return request;
  };
  CHECK(bench.run(rows(255)).message() == "it ran");
  const Status status = bench.run(rows(256));
  CHECK(status.code() == Code::kResourceExhausted);
  CHECK(status.message().find("send fewer rows at once") != std::string::npos);
}

TEST_CASE("counters add up requests, rows and stages; failures count apart") {
  auto model = std::make_shared<RowSums>();
  model->takes_ns = 1'000'000;
  Bench bench(version_of(model));
  Lane* second = nullptr;
  REQUIRE(bench.version->add_lane(true, &second).is_ok());
  for (int i = 0; i < 3; ++i) REQUIRE(bench.run(two_rows()).is_ok());
  std::swap(bench.lane, second);
  REQUIRE(bench.run(two_rows()).is_ok());
  Request wrong = two_rows();
  wrong.inputs[0].datatype = "INT64";
  CHECK_FALSE(bench.run(wrong).is_ok());
  const Version& version = *bench.version;
  CHECK(counter(version, "requests") == 4);
  CHECK(counter(version, "failures") == 1);
  CHECK(counter(version, "rows") == 8);
  CHECK(counter(version, "executions") == 4);
  CHECK(counter(version, "execute_ns") >= 4'000'000);
  CHECK(counter(version, "failure_ns") > 0);
  const std::int64_t stages = counter(version, "decode_ns") + counter(version, "transform_ns") +
                              counter(version, "execute_ns") + counter(version, "encode_ns");
  CHECK(stages <= counter(version, "request_ns"));
  CHECK(counter(version, "last_unix_ms") > 1'500'000'000'000);
  CHECK(second->counters.requests.get() == 3);

  Lane* own = nullptr;
  REQUIRE(version.add_lane(false, &own).is_ok());
  std::swap(bench.lane, own);
  REQUIRE(bench.run(two_rows()).is_ok());
  CHECK(counter(version, "requests") == 4);  // a run in process is no caller's
}

TEST_CASE(
    "a model without memory is RESOURCE_EXHAUSTED, one that breaks INTERNAL; the next request is served") {
  auto model = std::make_shared<RowSums>();
  Bench bench(version_of(model));
  model->out_of_memory = true;
  Status status = bench.run(two_rows());
  CHECK(status.code() == Code::kResourceExhausted);
  CHECK(status.message().find("memory") != std::string::npos);
  model->out_of_memory = false;
  model->throws = true;
  status = bench.run(two_rows());
  CHECK(status.code() == Code::kInternal);
  CHECK(status.message() == "the model broke");
  model->throws = false;
  CHECK(bench.run(two_rows()).is_ok());
}

TEST_CASE("every cut of a request is refused or answered, never worse") {
  Bench bench(version_of(std::make_shared<RowSums>()));
  const std::string whole = two_rows().encode();
  for (std::size_t size = 0; size < whole.size(); ++size) {
    const Status status = bench.run(whole.substr(0, size));
    CHECK(status.code() == Code::kInvalidArgument);
  }
  CHECK(bench.run(whole).is_ok());
}

TEST_CASE("large results of a model's own memory are borrowed, and live as long as the answer") {
  auto model = std::make_shared<RowSums>(1);
  model->holds = true;
  const std::shared_ptr<Snapshot> snapshot = snapshot_of(version_of(model));
  Hosted& hosted = snapshot->models.at("rows").hosted[0];
  REQUIRE(hosted.version->add_lane(true, &hosted.lanes.emplace_back()).is_ok());
  Request request;
  request.inputs = {matrix(1000, std::vector<double>(1000, 2.0))};
  const std::string message = request.encode();
  Arena arena;
  InferAnswer answer;
  REQUIRE(infer(*snapshot, 0, {std::as_bytes(std::span(message)), monotonic_ns()}, arena, &answer).is_ok());
  CHECK(answer.version == nullptr);
  answer.keep_version();
  CHECK(answer.version == hosted.version);
  CHECK(std::ranges::count_if(answer.pieces, [](const codec::Piece& piece) { return piece.borrowed; }) == 2);
  const InferAnswer moved = std::move(answer);
  std::string bytes;
  for (const codec::Piece& piece : moved.pieces) {
    bytes.append(reinterpret_cast<const char*>(piece.bytes.data()), piece.bytes.size());
  }
  CHECK(decode_answer(bytes).doubles() == std::vector<double>(1000, 2.0));
}

namespace {

// Hands its input on as its output, where it lies.
class Echo final : public executor::Executor {
 public:
  std::span<const TensorSpec> inputs() const noexcept override { return specs_; }
  std::span<const TensorSpec> outputs() const noexcept override { return specs_; }
  std::string describe() const override { return "echo"; }
  Status make_context(std::unique_ptr<executor::Context>* made) const override {
    *made = std::make_unique<executor::Context>();
    return Status::ok();
  }
  Status run(executor::Context&, std::span<const TensorView> inputs, std::span<const std::uint32_t>,
             Arena& arena, executor::Results* results) const override {
    const std::span<TensorView> tensors = arena.array<TensorView>(1);
    tensors[0] = inputs[0];
    results->tensors = tensors;
    return Status::ok();
  }

 private:
  std::vector<TensorSpec> specs_{{"x", DataType::kFp64, {-1, 1}}};
};

}  // namespace

TEST_CASE("an output that is an input of the request does not depend on the message any more") {
  Bench bench(version_of(std::make_shared<Echo>()));
  const std::vector<double> values(2000, 4.25);
  for (std::size_t shift = 1; shift <= 8;
       ++shift) {  // in one of these the values lie aligned, and are not copied
    Request request;
    request.id = std::string(shift, 'i');
    request.inputs = {matrix(2000, values)};
    REQUIRE(bench.run(request).is_ok());
    std::ranges::fill(bench.message, '\xDD');
    CHECK((bench.decoded().doubles() == values));
  }
}

TEST_CASE("an answer gives its memory back before it lets the version go") {
  std::vector<std::string> order;
  auto model = std::make_shared<RowSums>();
  model->at_end = [&] { order.emplace_back("model"); };
  {
    InferAnswer answer;
    answer.version = version_of(std::move(model));
    answer.execution.results.hold(
        &order, [](void* list) { static_cast<std::vector<std::string>*>(list)->emplace_back("results"); });
  }
  CHECK(order == std::vector<std::string>{"results", "model"});
}

TEST_CASE("a snapshot finds the stable version, one by name, and says what is missing") {
  auto snapshot = snapshot_of(version_of(std::make_shared<RowSums>(), "3"));
  Model loading;
  REQUIRE(route::Route::make({"8", "9"}, "", {}, &loading.route).is_ok());
  loading.hosted.push_back({"8", nullptr, "its digest is wrong", {}});
  loading.hosted.push_back({"9", nullptr, "it is loading", {}});
  snapshot->models.emplace("loading", std::move(loading));
  Model empty;
  snapshot->models.emplace("empty", std::move(empty));

  Snapshot::Found found;
  REQUIRE(snapshot->find("rows", "", &found).is_ok());
  CHECK(found.arm == route::Arm::kStable);
  CHECK(found.hosted->version->version() == "3");
  REQUIRE(snapshot->find("rows", "3", &found).is_ok());
  CHECK(found.arm == route::Arm::kPinned);
  Status status = snapshot->find("nobody", "", &found);
  CHECK(status.code() == Code::kNotFound);
  CHECK(status.message().find("'nobody'") != std::string::npos);
  status = snapshot->find("rows", "4", &found);
  CHECK(status.code() == Code::kNotFound);
  CHECK(status.message() == "model 'rows' has no version or alias '4'; it has 3");
  status = snapshot->find("loading", "8", &found);
  CHECK(status.code() == Code::kUnavailable);
  CHECK(status.message() == "model 'loading' version '8' is not ready: its digest is wrong");
  CHECK(snapshot->find("loading", "", &found).code() == Code::kUnavailable);
  CHECK(snapshot->find("empty", "", &found).code() == Code::kUnavailable);
}

TEST_CASE("requests allocate nothing once the arena is warm") {
  std::shared_ptr<Version> version;
  REQUIRE(make_with(scaled(3), 3, &version).is_ok());
  const std::shared_ptr<Snapshot> snapshot = snapshot_of(version);
  Hosted& hosted = snapshot->models.at("rows").hosted[0];
  REQUIRE(hosted.version->add_lane(true, &hosted.lanes.emplace_back()).is_ok());
  Request request = two_rows();
  request.outputs = {"sum"};
  request.inputs = {column("c2", {1, 10}), column("c1", {2, 20}), column("c0", {3, 30})};
  const std::string columns = request.encode();
  request.inputs = {{"features", "FP32", {2, 3}, raw_bytes<float>({1, 2, 3, 10, 20, 30})}};
  const std::string whole = request.encode();
  Arena arena;
  const auto one = [&](const std::string& message) {
    arena.reset();
    InferAnswer answer;
    return infer(*snapshot, 0, {std::as_bytes(std::span(message)), monotonic_ns()}, arena, &answer).is_ok();
  };
  REQUIRE(one(columns));
  REQUIRE(one(whole));
  const std::int64_t before = penstock::testing::allocations();
  bool good = true;
  for (int i = 0; i < 1000; ++i) good = one(columns) && one(whole) && good;
  CHECK(penstock::testing::allocations() == before);
  CHECK(good);
}

TEST_CASE("threads with lanes of their own run one version at once") {
  auto version = version_of(std::make_shared<RowSums>());
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (int t = 0; t < 4; ++t) {
    Lane* lane = nullptr;
    REQUIRE(version->add_lane(true, &lane).is_ok());
    threads.emplace_back([&, lane, t] {
      Arena arena;
      Request request;
      request.inputs = {matrix(1, {static_cast<double>(t), 1, 1})};
      const std::string message = request.encode();
      for (int i = 0; i < 500; ++i) {
        arena.reset();
        InferAnswer answer;
        if (!infer(*version, *lane, {std::as_bytes(std::span(message)), monotonic_ns()}, arena, &answer)
                 .is_ok()) {
          ++wrong;
        }
      }
    });
  }
  while (counter(*version, "requests") < 2000) std::this_thread::yield();
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == 0);
}
