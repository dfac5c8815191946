// Both executors with their real libraries: results, errors, and many threads on one model.
#include <doctest/doctest.h>

#include <array>
#include <atomic>
#include <cmath>
#include <thread>

#include "executor/libraries.h"
#include "executor/lightgbm.h"
#include "executor/models.h"
#include "executor/onnx.h"

using namespace penstock;
using namespace penstock::executor;
using penstock::testing::TemporaryFile;

namespace {

std::unique_ptr<Executor> loaded_onnx() {
  const TemporaryFile file(testing::onnx_model());
  OnnxOptions options;
  options.library = testing::onnxruntime();
  std::unique_ptr<Executor> made;
  const Status status = load_onnx(file.path(), options, &made);
  REQUIRE_MESSAGE(status.is_ok(), status.message());
  return made;
}

std::unique_ptr<Executor> loaded_lightgbm() {
  const TemporaryFile file(testing::lightgbm_text());
  LightgbmOptions options;
  options.library = testing::lightgbm();
  options.engine = "library";
  std::unique_ptr<Executor> made;
  const Status status = load_lightgbm(file.path(), options, &made);
  REQUIRE_MESSAGE(status.is_ok(), status.message());
  return made;
}

std::unique_ptr<Context> context_of(const Executor& executor) {
  std::unique_ptr<Context> made;
  const Status status = executor.make_context(&made);
  REQUIRE_MESSAGE(status.is_ok(), status.message());
  return made;
}

double expected(const double* row) {
  const double first = row[0] <= 0.5 ? -1 : row[1] <= 2 ? 10 : 20;
  return first + (row[2] == 1 || row[2] == 3 ? 0.5 : 0.25);
}

// One thread's runs of both kinds; the number of wrong answers.
int run_lightgbm(const Executor& executor, int seed, int turns) {
  const std::unique_ptr<Context> context = context_of(executor);
  Arena arena;
  Results results;
  int wrong = 0;
  for (int turn = 0; turn < turns; ++turn) {
    arena.reset();
    std::array<double, 12> rows{};
    for (std::size_t i = 0; i < rows.size(); ++i) {
      rows[i] = static_cast<double>((static_cast<std::size_t>(seed + turn) * 7 + i * 5) % 4);
    }
    const std::array<std::int64_t, 2> shape{1 + turn % 4, 3};
    const std::array<TensorView, 1> inputs{
        TensorView{"features", DataType::kFp64, shape, shape[0] * 3, rows.data()}};
    const std::array<std::uint32_t, 1> wanted{0};
    if (!executor.run(*context, inputs, wanted, arena, &results).is_ok()) return turns;
    const auto* prediction = static_cast<const double*>(results.tensors[0].data);
    for (std::int64_t i = 0; i < shape[0]; ++i)
      wrong += prediction[i] == expected(&rows[static_cast<std::size_t>(i) * 3]) ? 0 : 1;
  }
  return wrong;
}

int run_onnx(const Executor& executor, int seed, int turns) {
  const std::unique_ptr<Context> context = context_of(executor);
  Arena arena;
  Results results;
  int wrong = 0;
  for (int turn = 0; turn < turns; ++turn) {
    results.release();
    arena.reset();
    const auto base = static_cast<float>(seed + turn);
    const std::array<float, 4> x{base, base + 1, base + 2, base + 3};
    const std::array<StringRef, 2> s{{{"one", 3}, {"a\0b", 3}}};
    const std::array<std::int64_t, 2> matrix{2, 2};
    const std::array<std::int64_t, 1> vector{2};
    const std::array<TensorView, 2> inputs{TensorView{"x", DataType::kFp32, matrix, 4, x.data()},
                                           TensorView{"s", DataType::kBytes, vector, 2, s.data()}};
    const std::array<std::uint32_t, 2> wanted{1, 0};
    if (!executor.run(*context, inputs, wanted, arena, &results).is_ok()) return turns;
    const std::span<const StringRef> strings = results.tensors[0].strings();
    if (strings[0].view() != "one" || strings[1].view() != std::string_view("a\0b", 3)) ++wrong;
    const auto* y = static_cast<const float*>(results.tensors[1].data);
    for (std::size_t i = 0; i < x.size(); ++i) wrong += y[i] == 2 * x[i] ? 0 : 1;
  }
  return wrong;
}

template <typename Work>
int in_threads(const Work& work) {
  std::atomic<int> wrong = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) threads.emplace_back([&wrong, &work, i] { wrong += work(i); });
  for (std::thread& thread : threads) thread.join();
  return wrong;
}

}  // namespace

TEST_CASE("a LightGBM model gives its trees' sum, also for missing values and unknown categories") {
  const std::unique_ptr<Executor> executor = loaded_lightgbm();
  CHECK(run_lightgbm(*executor, 1, 100) == 0);
  const std::unique_ptr<Context> context = context_of(*executor);
  Arena arena;
  Results results;
  const std::array<float, 6> rows{1, 3, 1e9F, 1, 3, NAN};
  const std::array<std::int64_t, 2> shape{2, 3};
  const std::array<TensorView, 1> inputs{TensorView{"features", DataType::kFp32, shape, 6, rows.data()}};
  const std::array<std::uint32_t, 1> wanted{0};
  REQUIRE(executor->run(*context, inputs, wanted, arena, &results).is_ok());
  const auto* prediction = static_cast<const double*>(results.tensors[0].data);
  CHECK(prediction[0] == 20.25);
  CHECK(prediction[1] == 20.25);
}

TEST_CASE("an input that does not fit its own shape is refused before the library reads it") {
  const std::unique_ptr<Executor> executor = loaded_lightgbm();
  const std::unique_ptr<Context> context = context_of(*executor);
  Arena arena;
  Results results;
  const std::array<double, 3> row{};
  const std::array<std::uint32_t, 1> wanted{0};
  for (const std::array<std::int64_t, 2> shape :
       {std::array<std::int64_t, 2>{2, 3}, {1, 4}, {-1, 3}, {INT64_MAX, 3}, {1, -3}}) {
    const std::array<TensorView, 1> inputs{TensorView{"features", DataType::kFp64, shape, 3, row.data()}};
    CHECK(executor->run(*context, inputs, wanted, arena, &results).code() == Code::kInvalidArgument);
  }
}

TEST_CASE("threads with contexts of their own share one LightGBM model") {
  const std::unique_ptr<Executor> executor = loaded_lightgbm();
  CHECK(in_threads([&](int seed) {
          int wrong = 0;
          for (int round = 0; round < 10; ++round) wrong += run_lightgbm(*executor, seed, 50);
          return wrong;
        }) == 0);
}

TEST_CASE("threads with contexts of their own share one ONNX model") {
  const std::unique_ptr<Executor> executor = loaded_onnx();
  CHECK(in_threads([&](int seed) {
          int wrong = 0;
          for (int round = 0; round < 10; ++round) wrong += run_onnx(*executor, seed, 50);
          return wrong;
        }) == 0);
}

TEST_CASE("threads load, run and drop models of their own at once") {
  CHECK(in_threads([](int seed) {
          int wrong = 0;
          for (int round = 0; round < 5; ++round) {
            wrong += run_onnx(*loaded_onnx(), seed, 5);
            wrong += run_lightgbm(*loaded_lightgbm(), seed, 5);
          }
          return wrong;
        }) == 0);
}

TEST_CASE("an ONNX run that fails leaves the context ready for the next") {
  const std::unique_ptr<Executor> executor = loaded_onnx();
  const std::unique_ptr<Context> context = context_of(*executor);
  Arena arena;
  Results results;
  const std::array<float, 4> x{};
  const std::array<StringRef, 1> s{{{"a", 1}}};
  const std::array<std::int64_t, 2> too_wide{1, 4};
  const std::array<std::int64_t, 1> one{1};
  const std::array<std::uint32_t, 2> wanted{0, 1};
  const std::array<TensorView, 2> inputs{TensorView{"x", DataType::kFp32, too_wide, 4, x.data()},
                                         TensorView{"s", DataType::kBytes, one, 1, s.data()}};
  const Status status = executor->run(*context, inputs, wanted, arena, &results);
  CHECK(status.code() == Code::kInvalidArgument);
  CHECK(status.message().find("Expected: 2") != std::string::npos);
  const std::array<std::uint32_t, 1> unknown{7};
  CHECK(executor->run(*context, inputs, unknown, arena, &results).code() == Code::kInternal);
  CHECK(run_onnx(*executor, 3, 5) == 0);
}

TEST_CASE("results outlive the context's next run") {
  const std::unique_ptr<Executor> executor = loaded_onnx();
  const std::unique_ptr<Context> context = context_of(*executor);
  Arena first_arena;
  Arena second_arena;
  Results first;
  Results second;
  const std::array<StringRef, 1> s{{{"kept", 4}}};
  const std::array<std::int64_t, 2> matrix{1, 2};
  const std::array<std::int64_t, 1> one{1};
  const std::array<std::uint32_t, 2> wanted{0, 1};
  std::array<float, 2> x{1, 2};
  const std::array<TensorView, 2> inputs{TensorView{"x", DataType::kFp32, matrix, 2, x.data()},
                                         TensorView{"s", DataType::kBytes, one, 1, s.data()}};
  REQUIRE(executor->run(*context, inputs, wanted, first_arena, &first).is_ok());
  x = {10, 20};
  REQUIRE(executor->run(*context, inputs, wanted, second_arena, &second).is_ok());
  CHECK(static_cast<const float*>(first.tensors[0].data)[1] == 4);
  CHECK(static_cast<const float*>(second.tensors[0].data)[1] == 40);
  CHECK(first.tensors[1].strings()[0].view() == "kept");
}
