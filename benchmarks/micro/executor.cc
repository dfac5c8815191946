// What a linear model costs: nanoseconds per run, best of several rounds, one thread. Each score kernel
// alone, then whole runs of the executor. make -C benchmarks/micro && taskset -c 1
// build/release/micro/executor
#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "base/arena.h"
#include "base/clock.h"
#include "executor/linear.h"
#include "executor/scores.h"

using namespace penstock;
using namespace penstock::executor;

namespace {

constexpr int kRounds = 200;
constexpr std::size_t kFeatures = 320;  // 20 numbers and 10 columns of 30 categories

template <typename Work>
void measure(const std::string& what, std::size_t rows, const Work& work) {
  const int calls = rows == 1 ? 1000 : 10;
  std::int64_t best = std::numeric_limits<std::int64_t>::max();
  for (int round = 0; round < kRounds; ++round) {
    const std::int64_t start = monotonic_ns();
    for (int i = 0; i < calls; ++i) work();
    best = std::min(best, monotonic_ns() - start);
  }
  std::printf("%-40s %4zu rows %10.1f ns\n", what.c_str(), rows, static_cast<double>(best) / calls);
}

template <typename Element>
std::vector<Element> numbers(std::size_t count) {
  std::vector<Element> made(count);
  for (std::size_t i = 0; i < count; ++i) made[i] = static_cast<Element>(i * 7919 % 1000) / 5000;
  return made;
}

template <typename Element>
void measure_kernel(const std::string& what, ScoreRows<Element> score, std::size_t rows) {
  const std::vector<Element> matrix = numbers<Element>(rows * kFeatures);
  const std::vector<double> weights = numbers<double>(kFeatures);
  const double intercept = 0.5;
  std::vector<double> scores(rows);
  measure(what, rows,
          [&] { score(matrix.data(), rows, {weights.data(), &intercept, 1, kFeatures}, scores.data()); });
}

void measure_run(const std::string& link, std::size_t outputs, std::size_t rows) {
  std::unique_ptr<Executor> executor;
  std::unique_ptr<Context> context;
  if (!load_linear({numbers<double>(outputs * kFeatures), numbers<double>(outputs), link}, &executor)
           .is_ok() ||
      !executor->make_context(&context).is_ok()) {
    std::exit(1);
  }
  const std::vector<double> matrix = numbers<double>(rows * kFeatures);
  const std::array<std::int64_t, 2> shape{static_cast<std::int64_t>(rows), kFeatures};
  const std::array<TensorView, 1> inputs{TensorView{"features", DataType::kFp64, shape,
                                                    static_cast<std::int64_t>(matrix.size()), matrix.data()}};
  const std::array<std::uint32_t, 1> wanted{0};
  Arena arena;
  Results results;
  measure("run, " + link + ", " + std::to_string(outputs) + " output(s)", rows, [&] {
    arena.reset();
    if (!executor->run(*context, inputs, wanted, arena, &results).is_ok()) std::exit(1);
  });
}

}  // namespace

int main() {
  for (const std::size_t rows : {std::size_t{1}, std::size_t{256}}) {
    for (const ScoreKernel& kernel : score_kernels()) {
      measure_kernel<double>("scores, FP64, " + std::string(kernel.name), kernel.fp64, rows);
      measure_kernel<float>("scores, FP32, " + std::string(kernel.name), kernel.fp32, rows);
    }
    measure_run("identity", 1, rows);
    measure_run("logistic", 1, rows);
    measure_run("softmax", 5, rows);
  }
}
