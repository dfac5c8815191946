// What the layouts of a compiled forest cost, and LightGBM's own library beside them: microseconds a row,
// medians of interleaved rounds, one thread. All but the library give the same bits, which is checked.
//
// make -C benchmarks/micro NAMES=forest && taskset -c 1 build/release/micro/forest MODEL.txt ROWS
// LIGHTGBM_LIBRARY
//
// ROWS holds FP32 [n, features] without a header; benchmarks/layouts.py writes it and runs this.
#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "base/arena.h"
#include "base/clock.h"
#include "executor/compiled_forest.h"
#include "executor/forest_check.h"
#include "executor/lightgbm.h"
#include "executor/lightgbm_forest.h"
#include "executor/lightgbm_text.h"

using namespace penstock;
using namespace penstock::executor;

namespace {

constexpr std::size_t kRounds = 9;
constexpr std::size_t kRows =
    2048;  // at most; many, so that neither caches nor branch predictors are flattered

std::string read_file(const char* path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    std::fprintf(stderr, "forest: cannot read %s\n", path);
    std::exit(1);
  }
  return {std::istreambuf_iterator<char>(file), {}};
}

void must(const Status& status) {
  if (status.is_ok()) return;
  std::fprintf(stderr, "forest: %s\n", status.message().c_str());
  std::exit(1);
}

// Rows `batch` at a time.
struct Candidate {
  std::string name;
  std::size_t batch;
  std::function<void(const float* rows, std::size_t count, double* sums)> work;
  std::vector<double> us_a_row;
};

class Library {
 public:
  Library(const char* model, const char* library) {
    LightgbmOptions options;
    options.library = library;
    options.raw_score = true;
    options.engine = "library";
    must(load_lightgbm(model, options, &executor_));
    must(executor_->make_context(&context_));
    features_ = executor_->inputs()[0].shape[1];
  }

  void sum(const float* rows, std::size_t count, double* sums) {
    const std::array<std::int64_t, 2> shape{static_cast<std::int64_t>(count), features_};
    const std::array<TensorView, 1> inputs{
        TensorView{"features", DataType::kFp32, shape, shape[0] * features_, rows}};
    const std::array<std::uint32_t, 1> wanted{0};
    must(executor_->run(*context_, inputs, wanted, arena_, &results_));
    std::memcpy(sums, results_.tensors[0].data, results_.tensors[0].byte_size());
    arena_.reset();
  }

 private:
  std::unique_ptr<Executor> executor_;
  std::unique_ptr<Context> context_;
  Arena arena_;
  Results results_;
  std::int64_t features_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "usage: forest MODEL.txt ROWS LIGHTGBM_LIBRARY\n");
    return 2;
  }
  const std::string text = read_file(argv[1]);
  const std::string bytes = read_file(argv[2]);
  must(check_lightgbm_text(text));
  LightgbmOptions options;
  options.raw_score = true;
  Forest forest;
  must(read_lightgbm_forest(text, options, &forest));
  must(check_forest(forest));
  const auto features = static_cast<std::size_t>(forest.features);
  const auto outputs = static_cast<std::size_t>(forest.outputs);
  std::vector<float> rows(std::min(bytes.size() / (features * sizeof(float)), kRows) / 256 * 256 * features);
  if (rows.empty()) {
    std::fprintf(stderr, "forest: 256 rows and more are needed\n");
    return 1;
  }
  std::memcpy(rows.data(), bytes.data(), rows.size() * sizeof(float));
  const std::size_t count = rows.size() / features;

  Library library(argv[1], argv[3]);
  std::vector<Candidate> candidates{
      {"LightGBM, single row fast",
       1,
       [&](const float* from, std::size_t n, double* to) { library.sum(from, n, to); },
       {}}};
  Arena arena;
  const auto add = [&](const std::string& name, std::size_t batch, const CompiledForest::Choice& choice) {
    const auto compiled = std::make_shared<CompiledForest>(forest, choice);
    candidates.push_back({name,
                          batch,
                          [compiled, &arena](const float* from, std::size_t n, double* to) {
                            compiled->sum(from, n, arena, to);
                            arena.reset();
                          },
                          {}});
  };
  add("walk", 1, {false, false, {}, {}});
  add("walk", 256, {false, false, {}, {}});
  add("splits of a tree at once (else walk)", 1, {true, false, {}, {}});
  for (const ForestRows::Kernel& kernel : ForestRows::kernels()) {
    add("bit vectors, " + std::string(kernel.name), 256, {true, true, kernel.name, 1});
  }
  const CompiledForest chosen(forest);

  std::vector<double> sums(count * outputs);
  std::vector<double> expected;
  for (std::size_t round = 0; round < kRounds; ++round) {
    for (Candidate& candidate : candidates) {
      const std::int64_t start = monotonic_ns();
      for (std::size_t r = 0; r < count; r += candidate.batch) {
        candidate.work(rows.data() + r * features, candidate.batch, sums.data() + r * outputs);
      }
      candidate.us_a_row.push_back(static_cast<double>(monotonic_ns() - start) / 1000 /
                                   static_cast<double>(count));
      if (expected.empty()) expected = sums;
      if (std::memcmp(sums.data(), expected.data(), sums.size() * sizeof(double)) != 0) {
        std::fprintf(stderr, "forest: %s gives other sums than LightGBM\n", candidate.name.c_str());
        return 1;
      }
    }
  }
  std::printf("%zu trees, %zu features; %zu rows; chosen: %s\n", forest.trees.size(), features, count,
              chosen.describe().c_str());
  double reference = 0;
  for (Candidate& candidate : candidates) {
    std::ranges::nth_element(candidate.us_a_row, candidate.us_a_row.begin() + kRounds / 2);
    const double median = candidate.us_a_row[kRounds / 2];
    if (reference == 0) reference = median;
    std::printf("%-38s %4zu rows %9.3f us a row %7.3f x\n", candidate.name.c_str(), candidate.batch, median,
                median / reference);
  }
}
