// trees: what one prediction takes, of Penstock's executor, LightGBM's C interface and ONNX Runtime, in turns
// on one thread. Prints one JSON object.
#include <getopt.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "base/arena.h"
#include "base/clock.h"
#include "executor/executor.h"
#include "executor/library.h"
#include "executor/lightgbm.h"
#include "executor/lightgbm_abi.h"
#include "executor/onnx.h"

namespace {

using namespace penstock;
using namespace penstock::executor;

constexpr const char* kUsage =
    R"(usage: trees --text FILE --lightgbm LIBRARY [--onnx FILE --onnxruntime LIBRARY] --rows FILE --columns N
             [--batch N] [--rounds N] [--seconds S] [--engine auto|forest|library]

Predicts with a LightGBM model (--text), through Penstock's executor, LightGBM's own C interface and, where --onnx
has the same model, ONNX Runtime. --rows holds FP32 rows; each call takes the next --batch of them, round and round.
In each of --rounds all take turns, each about --seconds long, on the same rows.

Prints by contender the median duration of a call in each round, in ns (processor time, where a call of each takes
more than 20 us), and the largest relative and absolute difference of its answers from LightGBM's.
)";

struct Options {
  std::string text;
  std::string lightgbm;
  std::string onnx;
  std::string onnxruntime;
  std::string rows;
  std::string engine = "auto";
  std::size_t columns = 0;
  std::size_t batch = 1;
  std::size_t rounds = 15;
  double seconds = 0.1;
};

struct UsageError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

void must(const Status& status) {
  if (!status.is_ok()) throw std::runtime_error(std::string(status.message()));
}

class Contender {
 public:
  explicit Contender(std::string name) : name_(std::move(name)) {}
  virtual ~Contender() = default;
  const std::string& name() const noexcept { return name_; }
  // Predicts `rows` [n, columns] into `predictions` [n].
  virtual void predict(std::span<const float> rows, std::span<double> predictions) = 0;

 private:
  std::string name_;
};

// As the server runs it: an arena that is used again, the answer left where the executor put it.
class ByExecutor final : public Contender {
 public:
  ByExecutor(std::string name, std::unique_ptr<Executor> executor, std::size_t columns)
      : Contender(std::move(name)), executor_(std::move(executor)), columns_(columns) {
    must(executor_->make_context(&context_));
    input_ = executor_->inputs().front().name;
  }

  std::string describe() const { return executor_->describe(); }

  void predict(std::span<const float> rows, std::span<double> predictions) override {
    const std::array<std::int64_t, 2> shape{static_cast<std::int64_t>(predictions.size()),
                                            static_cast<std::int64_t>(columns_)};
    const std::array<TensorView, 1> inputs{
        TensorView{input_, DataType::kFp32, shape, static_cast<std::int64_t>(rows.size()), rows.data()}};
    const std::array<std::uint32_t, 1> wanted{0};
    arena_.reset();
    must(executor_->run(*context_, inputs, wanted, arena_, &results_));
    const TensorView& given = results_.tensors.front();
    if (given.dtype == DataType::kFp64) {
      std::copy_n(static_cast<const double*>(given.data), predictions.size(), predictions.data());
    } else {
      std::copy_n(static_cast<const float*>(given.data), predictions.size(), predictions.data());
    }
  }

 private:
  std::unique_ptr<Executor> executor_;
  std::unique_ptr<Context> context_;
  std::size_t columns_;
  std::string input_;
  Arena arena_;
  Results results_;
};

using PredictForMat = int(lgbm::BoosterHandle, const void* data, int data_type, std::int32_t rows,
                          std::int32_t columns, int row_major, int predict_type, int start_iteration,
                          int num_iteration, const char* parameters, std::int64_t* values, double* result);

// A model in LightGBM's library.
class Booster {
 public:
  Booster(const std::string& library_path, const std::string& text, std::size_t columns)
      : columns_(static_cast<std::int32_t>(columns)) {
    const SharedLibrary* library = nullptr;
    must(SharedLibrary::open(library_path, &library));
    must(api_.resolve(*library));
    must(library->find("LGBM_BoosterPredictForMat", &predict_for_mat_));
    int iterations = 0;
    check(api_.load_from_string(text.c_str(), &iterations, &handle_));
    check(api_.fast_init(handle_, lgbm::kPredictNormal, 0, -1, lgbm::kFloat32, columns_, "num_threads=1",
                         &fast_));
  }
  Booster(const Booster&) = delete;
  Booster& operator=(const Booster&) = delete;
  ~Booster() {
    if (fast_ != nullptr) api_.fast_free(fast_);
    if (handle_ != nullptr) api_.free_booster(handle_);
  }

  void row(const float* features, double* prediction) const {
    std::int64_t written = 0;
    check(api_.fast_predict(fast_, features, &written, prediction));
  }

  void batch(std::span<const float> rows, std::span<double> predictions) const {
    std::int64_t written = 0;
    check(predict_for_mat_(handle_, rows.data(), lgbm::kFloat32,
                           static_cast<std::int32_t>(predictions.size()), columns_, 1, lgbm::kPredictNormal,
                           0, -1, "num_threads=1", &written, predictions.data()));
  }

 private:
  void check(int failed) const {
    if (failed != 0) throw std::runtime_error(std::string("LightGBM: ") + api_.last_error());
  }

  lgbm::Api api_;
  PredictForMat* predict_for_mat_ = nullptr;
  lgbm::BoosterHandle handle_ = nullptr;
  lgbm::FastConfigHandle fast_ = nullptr;
  std::int32_t columns_;
};

class LightgbmRows final : public Contender {
 public:
  LightgbmRows(const Booster& booster, std::size_t columns)
      : Contender("LightGBM, single-row fast"), booster_(booster), columns_(columns) {}

  void predict(std::span<const float> rows, std::span<double> predictions) override {
    const float* row = rows.data();
    for (double& prediction : predictions) {
      booster_.row(row, &prediction);
      row += columns_;
    }
  }

 private:
  const Booster& booster_;
  std::size_t columns_;
};

class LightgbmBatch final : public Contender {
 public:
  explicit LightgbmBatch(const Booster& booster) : Contender("LightGBM, batch"), booster_(booster) {}

  void predict(std::span<const float> rows, std::span<double> predictions) override {
    booster_.batch(rows, predictions);
  }

 private:
  const Booster& booster_;
};

// Hands out a table's rows, so many at a time, round and round.
class Rows {
 public:
  Rows(std::vector<float> values, std::size_t columns, std::size_t batch)
      : values_(std::move(values)), width_(columns * batch), batches_(values_.size() / width_) {
    if (batches_ == 0) throw UsageError("--rows holds fewer rows than one --batch");
  }

  std::size_t batches() const noexcept { return batches_; }
  std::span<const float> at(std::size_t index) const noexcept {
    return std::span(values_).subspan(index % batches_ * width_, width_);
  }

 private:
  std::vector<float> values_;
  std::size_t width_;
  std::size_t batches_;
};

std::string contents(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error("cannot read " + path);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

std::vector<float> floats(const std::string& path) {
  const std::string bytes = contents(path);
  std::vector<float> values(bytes.size() / sizeof(float));
  std::copy_n(bytes.data(), values.size() * sizeof(float), reinterpret_cast<char*>(values.data()));
  return values;
}

// Processor time of this thread, which whoever shares the core does not lengthen. A system call: for what
// takes much longer than one.
std::int64_t thread_ns() noexcept {
  timespec now{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return std::int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

using Clock = std::int64_t (*)() noexcept;
constexpr std::int64_t kLongCallNs = 20'000;

// The median duration of so many calls from the batch `first` on, in ns.
std::int64_t median_call(Clock clock, Contender& contender, const Rows& rows, std::size_t first,
                         std::size_t calls, std::span<double> predictions) {
  std::vector<std::int64_t> durations(calls);
  for (std::size_t i = 0; i < calls; ++i) {
    const std::span<const float> batch = rows.at(first + i);
    const std::int64_t began = clock();
    contender.predict(batch, predictions);
    durations[i] = clock() - began;
  }
  const auto middle = durations.begin() + static_cast<std::ptrdiff_t>(calls / 2);
  std::ranges::nth_element(durations, middle);
  return *middle;
}

// How far answers are from the reference's, of all rows: the largest |a - b| / |b|, and |a - b|.
struct Difference {
  double relative = 0;
  double absolute = 0;
};

Difference largest_difference(Contender& contender, Contender& reference, const Rows& rows,
                              std::size_t batch) {
  const auto grow = [](double* largest, double value) {
    if (!(value <= *largest)) *largest = value;  // NaN stays
  };
  std::vector<double> given(batch);
  std::vector<double> expected(batch);
  Difference largest;
  for (std::size_t i = 0; i < rows.batches(); ++i) {
    contender.predict(rows.at(i), given);
    reference.predict(rows.at(i), expected);
    for (std::size_t j = 0; j < batch; ++j) {
      const double difference = std::abs(given[j] - expected[j]);
      grow(&largest.absolute, difference);
      if (difference != 0) grow(&largest.relative, difference / std::abs(expected[j]));
    }
  }
  return largest;
}

void measure(const Options& options) {
  const Rows rows(floats(options.rows), options.columns, options.batch);
  const Booster booster(options.lightgbm, contents(options.text), options.columns);
  std::unique_ptr<Executor> executor;
  must(load_lightgbm(options.text, {.library = options.lightgbm, .engine = options.engine}, &executor));
  std::vector<std::unique_ptr<Contender>> contenders;
  const std::string description = executor->describe();
  contenders.push_back(std::make_unique<ByExecutor>("Penstock", std::move(executor), options.columns));
  contenders.push_back(std::make_unique<LightgbmRows>(booster, options.columns));
  contenders.push_back(std::make_unique<LightgbmBatch>(booster));
  if (!options.onnx.empty()) {
    must(load_onnx(options.onnx, {.library = options.onnxruntime}, &executor));
    contenders.push_back(std::make_unique<ByExecutor>("ONNX Runtime", std::move(executor), options.columns));
  }

  std::vector<double> predictions(options.batch);
  std::vector<std::int64_t> first;
  std::vector<Difference> differences;
  for (const auto& contender : contenders) {
    differences.push_back(largest_difference(*contender, *contenders[1], rows, options.batch));
    first.push_back(median_call(monotonic_ns, *contender, rows, 0, 64, predictions));
  }
  const auto [fastest, slowest] = std::ranges::minmax(first);
  const Clock clock = fastest < kLongCallNs ? monotonic_ns : thread_ns;
  const std::size_t calls =
      std::max<std::size_t>(16, static_cast<std::size_t>(options.seconds * 1e9) /
                                    static_cast<std::size_t>(std::max<std::int64_t>(slowest, 1)));
  std::vector<std::vector<std::int64_t>> medians(contenders.size());
  for (std::size_t round = 0; round < options.rounds; ++round) {
    for (std::size_t turn = 0; turn < contenders.size(); ++turn) {
      const std::size_t which = round % 2 == 0 ? turn : contenders.size() - 1 - turn;
      medians[which].push_back(
          median_call(clock, *contenders[which], rows, round * calls, calls, predictions));
    }
  }
  std::printf("{\"engine\": \"%s\", \"calls\": %zu, \"contenders\": {", description.c_str(), calls);
  for (std::size_t i = 0; i < contenders.size(); ++i) {
    std::printf("%s\"%s\": {\"relative\": %.3g, \"absolute\": %.3g, \"ns\": [", i == 0 ? "" : ", ",
                contenders[i]->name().c_str(), differences[i].relative, differences[i].absolute);
    for (std::size_t round = 0; round < options.rounds; ++round) {
      std::printf("%s%lld", round == 0 ? "" : ", ", static_cast<long long>(medians[i][round]));
    }
    std::printf("]}");
  }
  std::printf("}}\n");
}

std::size_t positive(const char* name, const char* text) {
  char* end = nullptr;
  const unsigned long value = std::strtoul(text, &end, 10);
  if (*text == '\0' || *end != '\0' || value == 0 || value > 1'000'000)
    throw UsageError(std::string(name) + " is '" + text + "', expected a whole number above 0");
  return value;
}

Options parse(int argc, char** argv) {
  Options options;
  const std::array<std::pair<const char*, std::string*>, 6> words{{{"text", &options.text},
                                                                   {"lightgbm", &options.lightgbm},
                                                                   {"onnx", &options.onnx},
                                                                   {"onnxruntime", &options.onnxruntime},
                                                                   {"rows", &options.rows},
                                                                   {"engine", &options.engine}}};
  const std::array<std::pair<const char*, std::size_t*>, 3> sizes{
      {{"columns", &options.columns}, {"batch", &options.batch}, {"rounds", &options.rounds}}};
  std::vector<option> known;
  for (const auto& [name, _] : words) known.push_back({name, required_argument, nullptr, 1});
  for (const auto& [name, _] : sizes) known.push_back({name, required_argument, nullptr, 2});
  known.push_back({"seconds", required_argument, nullptr, 3});
  known.push_back({"help", no_argument, nullptr, 4});
  known.push_back({nullptr, 0, nullptr, 0});
  int place = 0;
  for (int found; (found = ::getopt_long(argc, argv, "", known.data(), &place)) != -1;) {
    const auto at = static_cast<std::size_t>(place);
    if (found == 1) {
      *words[at].second = optarg;
    } else if (found == 2) {
      *sizes[at - words.size()].second = positive(known[at].name, optarg);
    } else if (found == 3) {
      options.seconds = std::strtod(optarg, nullptr);
      if (!(options.seconds > 0 && options.seconds < 60)) throw UsageError("--seconds must be from 0 to 60");
    } else if (found == 4) {
      std::fputs(kUsage, stdout);
      std::exit(0);
    } else {
      throw UsageError("");
    }
  }
  if (optind != argc) throw UsageError(std::string("unexpected: ") + argv[optind]);
  if (options.text.empty() || options.lightgbm.empty() || options.rows.empty() || options.columns == 0 ||
      options.onnx.empty() != options.onnxruntime.empty())
    throw UsageError(
        "--text, --lightgbm, --rows and --columns are needed; --onnx and --onnxruntime go together");
  return options;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    measure(parse(argc, argv));
    return 0;
  } catch (const UsageError& error) {
    if (*error.what() != '\0') std::fprintf(stderr, "trees: %s\n", error.what());
    std::fputs(kUsage, stderr);
    return 2;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "trees: %s\n", error.what());
    return 1;
  }
}
