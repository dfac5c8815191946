// The linear executor: its links, what it refuses, and that the same row gives the same bits however it
// comes.
#include <doctest/doctest.h>

#include <array>
#include <atomic>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <thread>

#include "allocations.h"
#include "executor/exponential.h"
#include "executor/linear.h"
#include "executor/scores.h"

using namespace penstock;
using namespace penstock::executor;

namespace {

std::unique_ptr<Executor> loaded(LinearModel model) {
  std::unique_ptr<Executor> made;
  const Status status = load_linear(std::move(model), &made);
  REQUIRE_MESSAGE(status.is_ok(), status.message());
  return made;
}

std::string refusal(LinearModel model) {
  std::unique_ptr<Executor> made;
  const Status status = load_linear(std::move(model), &made);
  CHECK(status.code() == Code::kInvalidArgument);
  CHECK(made == nullptr);
  return status.message();
}

template <typename Element>
Status run(const Executor& executor, std::span<const Element> features, std::int64_t width, Arena& arena,
           Results* results) {
  std::unique_ptr<Context> context;
  REQUIRE(executor.make_context(&context).is_ok());
  const auto count = static_cast<std::int64_t>(features.size());
  const std::array<std::int64_t, 2> shape{count / width, width};
  const DataType dtype = sizeof(Element) == 8 ? DataType::kFp64 : DataType::kFp32;
  const std::array<TensorView, 1> inputs{TensorView{"features", dtype, shape, count, features.data()}};
  const std::array<std::uint32_t, 1> wanted{0};
  return executor.run(*context, inputs, wanted, arena, results);
}

template <typename Element>
std::vector<double> predicted(const Executor& executor, std::span<const Element> features,
                              std::int64_t width) {
  Arena arena;
  Results results;
  REQUIRE(run(executor, features, width, arena, &results).is_ok());
  const auto* data = static_cast<const double*>(results.tensors[0].data);
  return {data, data + results.tensors[0].elements};
}

// One row of one feature, which with coefficients of 1 and these intercepts has the scores x + intercepts.
std::vector<double> linked(const std::string& link, std::vector<double> intercepts, double x) {
  const std::vector<double> ones(intercepts.size(), 1.0);
  const std::array<double, 1> row{x};
  return predicted<double>(*loaded({ones, std::move(intercepts), link}), row, 1);
}

bool same_bits(std::span<const double> a, std::span<const double> b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size_bytes()) == 0;
}

// Numbers of all sizes, some of them zero.
std::vector<double> numbers(std::size_t count, unsigned seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<double> normal;
  std::vector<double> made(count);
  for (double& value : made) {
    value = random() % 5 == 0 ? 0.0 : std::ldexp(normal(random), static_cast<int>(random() % 40) - 20);
  }
  return made;
}

// The order of scores.h, spelled out with no regard to speed.
template <typename Element>
double in_order(const Element* row, const double* weights, std::size_t features, double intercept) {
  std::array<double, 8> sums{};
  for (std::size_t i = 0; i < features; ++i) sums[i % 8] += static_cast<double>(row[i]) * weights[i];
  const double even = (sums[0] + sums[4]) + (sums[2] + sums[6]);
  const double odd = (sums[1] + sums[5]) + (sums[3] + sums[7]);
  return even + odd + intercept;
}

template <typename Element>
void check_kernel(const ScoreKernel& kernel, ScoreRows<Element> score, std::size_t features, std::size_t rows,
                  std::size_t outputs) {
  const std::vector<double> drawn = numbers(rows * features, 1);
  const std::vector<Element> matrix(drawn.begin(), drawn.end());
  const std::vector<double> weights = numbers(outputs * features, 2);
  const std::vector<double> intercepts = numbers(outputs, 3);
  std::vector<double> expected;
  for (std::size_t r = 0; r < rows; ++r) {
    for (std::size_t o = 0; o < outputs; ++o) {
      expected.push_back(in_order(&matrix[r * features], &weights[o * features], features, intercepts[o]));
    }
  }
  std::vector<double> scores(rows * outputs);
  score(matrix.data(), rows, {weights.data(), intercepts.data(), outputs, features}, scores.data());
  INFO(kernel.name << ", " << features << " features, " << rows << " rows, " << outputs << " outputs");
  CHECK(same_bits(scores, expected));
}

}  // namespace

TEST_CASE("every score kernel adds in the stated order, to the last bit, whatever the sizes") {
  CHECK(score_kernels().front().name == "portable");
  for (const ScoreKernel& kernel : score_kernels()) {
    for (std::size_t features : {1, 2, 7, 8, 9, 15, 16, 17, 31, 320, 323}) {
      for (std::size_t rows : {1, 2, 3, 4, 5, 8, 11}) {
        for (std::size_t outputs : {1, 2, 5}) {
          check_kernel<double>(kernel, kernel.fp64, features, rows, outputs);
          check_kernel<float>(kernel, kernel.fp32, features, rows, outputs);
        }
      }
    }
  }
}

TEST_CASE("the exponential is within one unit in the last place of the C library's") {
  std::mt19937_64 random(7);
  std::uniform_real_distribution<double> all(-745.0, 709.0);
  std::uniform_real_distribution<double> small(-2.0, 2.0);
  for (int i = 0; i < 200'000; ++i) {
    const double x = i % 2 == 0 ? all(random) : small(random);
    const double expected = std::exp(x);
    const double unit = std::nextafter(expected, std::numeric_limits<double>::infinity()) - expected;
    CHECK_MESSAGE(std::fabs(exponential(x) - expected) <= unit, x);
  }
}

TEST_CASE("the exponential's ends are those of the double") {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  CHECK(exponential(0.0) == 1.0);
  CHECK(exponential(-0.0) == 1.0);
  CHECK(exponential(kInfinity) == kInfinity);
  CHECK(exponential(-kInfinity) == 0.0);
  CHECK(std::isnan(exponential(std::numeric_limits<double>::quiet_NaN())));
  CHECK(std::isfinite(exponential(709.78)));
  CHECK(exponential(709.79) == kInfinity);
  CHECK(exponential(1e300) == kInfinity);
  CHECK(exponential(-745.0) == std::numeric_limits<double>::denorm_min());
  CHECK(exponential(-745.2) == 0.0);
  CHECK(exponential(-1e300) == 0.0);
}

TEST_CASE("each link turns scores into predictions") {
  CHECK(linked("identity", {0.5}, 2.0) == std::vector{2.5});
  CHECK(linked("identity", {0.5, -1.0}, 2.0) == std::vector{2.5, 1.0});
  CHECK(linked("log", {-2.0}, 2.0) == std::vector{1.0});
  CHECK(linked("logistic", {0.0}, 0.0) == std::vector{0.5});
  CHECK(linked("logistic", {0.0}, 3.0)[0] == doctest::Approx(1 / (1 + std::exp(-3.0))).epsilon(1e-15));
  CHECK(linked("logistic", {0.0}, -3.0)[0] == doctest::Approx(1 / (1 + std::exp(3.0))).epsilon(1e-15));
  CHECK(linked("softmax", {0.0, 0.0, 0.0, 0.0}, 5.0) == std::vector{0.25, 0.25, 0.25, 0.25});
  const std::vector<double> soft = linked("softmax", {0.0, std::log(3.0)}, 1.0);
  CHECK(soft[0] == doctest::Approx(0.25).epsilon(1e-15));
  CHECK(soft[1] == doctest::Approx(0.75).epsilon(1e-15));
  const std::vector<double> rest = linked("one_versus_rest", {0.0, -std::log(3.0)}, 0.0);
  CHECK(rest[0] == doctest::Approx(2.0 / 3).epsilon(1e-15));
  CHECK(rest[1] == doctest::Approx(1.0 / 3).epsilon(1e-15));
}

TEST_CASE("probabilities of scores that overflow are still probabilities") {
  CHECK(linked("logistic", {0.0}, 1e300) == std::vector{1.0});
  CHECK(linked("logistic", {0.0}, -1e300) == std::vector{0.0});
  CHECK(linked("logistic", {0.0}, -720.0)[0] > 0.0);
  CHECK(linked("softmax", {0.0, -1e308}, 1e308) == std::vector{1.0, 0.0});
  CHECK(linked("one_versus_rest", {0.0, 0.0}, -1e300) == std::vector{0.5, 0.5});
}

TEST_CASE("a row gives the same bits alone and in a batch, also with NaN and infinity, and FP32 as FP64") {
  constexpr std::int64_t kWidth = 37;
  constexpr std::size_t kRows = 23;
  for (const char* link : {"identity", "log", "softmax", "one_versus_rest"}) {
    const std::unique_ptr<Executor> executor = loaded({numbers(3 * kWidth, 4), numbers(3, 5), link});
    std::vector<double> drawn = numbers(kRows * kWidth, 6);
    drawn[3] = std::numeric_limits<double>::quiet_NaN();
    drawn[5 * kWidth + 1] = -std::numeric_limits<double>::quiet_NaN();
    drawn[5 * kWidth + 2] = std::numeric_limits<double>::infinity();
    drawn[9 * kWidth + 36] = -std::numeric_limits<double>::infinity();
    const std::vector<float> narrow(drawn.begin(), drawn.end());
    const std::vector<double> wide(narrow.begin(), narrow.end());
    const std::span<const double> rows(wide);
    const std::vector<double> batch = predicted<double>(*executor, rows, kWidth);
    CHECK(same_bits(predicted<float>(*executor, narrow, kWidth), batch));
    CHECK(std::isnan(batch[0]));
    for (std::size_t r = 0; r < kRows; ++r) {
      const std::vector<double> alone =
          predicted<double>(*executor, rows.subspan(r * kWidth, kWidth), kWidth);
      CHECK(same_bits(alone, std::span(batch).subspan(r * 3, 3)));
    }
  }
}

TEST_CASE("one output is a vector, several are a matrix, no rows are no predictions") {
  const std::unique_ptr<Executor> one = loaded({{1.0, 2.0}, {0.0}, "logistic"});
  const std::unique_ptr<Executor> several = loaded({{1.0, 2.0}, {0.0, 1.0}, "identity", DataType::kFp32});
  CHECK(one->inputs()[0].shape == std::vector<std::int64_t>{-1, 2});
  CHECK(one->inputs()[0].dtype == DataType::kFp64);
  CHECK(one->outputs()[0].shape == std::vector<std::int64_t>{-1});
  CHECK(several->inputs()[0].shape == std::vector<std::int64_t>{-1, 1});
  CHECK(several->inputs()[0].dtype == DataType::kFp32);
  CHECK(several->outputs()[0].shape == std::vector<std::int64_t>{-1, 2});
  Arena arena;
  Results results;
  REQUIRE(run<double>(*several, {}, 1, arena, &results).is_ok());
  CHECK(results.tensors[0].elements == 0);
  CHECK(results.tensors[0].shape[0] == 0);
  CHECK(results.tensors[0].shape[1] == 2);
}

TEST_CASE("what no fit could have made is refused") {
  constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  CHECK(refusal({{}, {}, "identity"}).find("0 coefficients and 0 intercepts") != std::string::npos);
  CHECK(refusal({{}, {1.0}, "identity"}).find("0 coefficients and 1 intercepts") != std::string::npos);
  CHECK(refusal({{1.0}, {}, "identity"}).find("1 coefficients and 0 intercepts") != std::string::npos);
  CHECK(refusal({{1.0, 2.0, 3.0}, {1.0, 2.0}, "identity"}).find("3 coefficients") != std::string::npos);
  CHECK(refusal({{1.0, 2.0}, {0.0, 0.0}, "logistic"}).find("2 outputs; expected one") != std::string::npos);
  CHECK(refusal({{1.0}, {0.0}, "softmax"}).find("1 outputs; expected two or more") != std::string::npos);
  CHECK(refusal({{1.0}, {0.0}, "one_versus_rest"}).find("two or more") != std::string::npos);
  CHECK(refusal({{1.0}, {0.0}, "probit"}).find("no link 'probit'; expected one of identity, log,") !=
        std::string::npos);
  CHECK(refusal({{1.0, kNan}, {0.0}, "identity"}).find("coefficient 1 is nan") != std::string::npos);
  CHECK(refusal({{-kInfinity}, {0.0}, "log"}).find("coefficient 0 is -inf") != std::string::npos);
  CHECK(refusal({{1.0}, {kInfinity}, "log"}).find("intercept 0 is inf") != std::string::npos);
  CHECK(refusal({{1.0}, {0.0}, "log", DataType::kInt64}).find("not INT64") != std::string::npos);
}

TEST_CASE("features that do not fit the model or their own shape are refused before they are read") {
  const std::unique_ptr<Executor> executor = loaded({{1.0, 2.0, 3.0}, {0.0}, "identity"});
  std::unique_ptr<Context> context;
  REQUIRE(executor->make_context(&context).is_ok());
  Arena arena;
  Results results;
  const std::array<double, 3> row{};
  const std::array<std::uint32_t, 1> wanted{0};
  for (const std::array<std::int64_t, 2> shape :
       {std::array<std::int64_t, 2>{2, 3}, {1, 4}, {3, 1}, {-1, 3}, {INT64_MAX, 3}, {1, -3}}) {
    const std::array<TensorView, 1> inputs{TensorView{"features", DataType::kFp64, shape, 3, row.data()}};
    CHECK(executor->run(*context, inputs, wanted, arena, &results).code() == Code::kInvalidArgument);
  }
  const std::array<std::int64_t, 2> shape{1, 3};
  const std::array<TensorView, 1> integers{TensorView{"features", DataType::kInt64, shape, 3, row.data()}};
  CHECK(executor->run(*context, integers, wanted, arena, &results).code() == Code::kInvalidArgument);
  const std::array<TensorView, 1> inputs{TensorView{"features", DataType::kFp64, shape, 3, row.data()}};
  const std::array<std::uint32_t, 1> unknown{1};
  CHECK(executor->run(*context, inputs, unknown, arena, &results).code() == Code::kInternal);
  CHECK(executor->run(*context, {}, wanted, arena, &results).code() == Code::kInternal);
  REQUIRE(executor->run(*context, inputs, {}, arena, &results).is_ok());
  CHECK(results.tensors.empty());
}

TEST_CASE("a run allocates nothing once the arena is warm") {
  constexpr std::int64_t kWidth = 320;
  const std::unique_ptr<Executor> executor = loaded({numbers(4 * kWidth, 1), numbers(4, 2), "softmax"});
  std::unique_ptr<Context> context;
  REQUIRE(executor->make_context(&context).is_ok());
  Arena arena;
  Results results;
  const std::vector<double> matrix = numbers(256 * kWidth, 3);
  const std::array<std::uint32_t, 1> wanted{0};
  const auto run_rows = [&](std::int64_t rows) {
    arena.reset();
    const std::array<std::int64_t, 2> shape{rows, kWidth};
    const std::array<TensorView, 1> inputs{
        TensorView{"features", DataType::kFp64, shape, rows * kWidth, matrix.data()}};
    return executor->run(*context, inputs, wanted, arena, &results).is_ok();
  };
  REQUIRE(run_rows(256));
  const std::int64_t before = testing::allocations();
  bool all = true;
  for (std::int64_t rows : {1, 256, 7, 256, 1}) all = run_rows(rows) && all;
  CHECK(testing::allocations() == before);
  CHECK(all);
}

TEST_CASE("threads share one linear model") {
  constexpr std::int64_t kWidth = 19;
  const std::unique_ptr<Executor> executor = loaded({numbers(kWidth, 1), numbers(1, 2), "logistic"});
  const std::vector<double> matrix = numbers(50 * kWidth, 3);
  const std::vector<double> expected = predicted<double>(*executor, matrix, kWidth);
  std::atomic<int> wrong = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int turn = 0; turn < 50; ++turn) {
        wrong += same_bits(predicted<double>(*executor, matrix, kWidth), expected) ? 0 : 1;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == 0);
}
