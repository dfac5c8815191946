#include "executor/lightgbm.h"

#include <array>
#include <cerrno>
#include <cstdio>
#include <system_error>

#include "executor/forest.h"
#include "executor/lightgbm_abi.h"
#include "executor/lightgbm_forest.h"
#include "executor/lightgbm_text.h"
#include "executor/matrix_model.h"

namespace penstock::executor {
namespace {

// Loading runs a parallel loop. With one thread here and now it starts no pool that would idle beside the
// event loops; the setting is the calling thread's own, so whoever trains in this process keeps all cores.
class OneOpenMpThread {
 public:
  explicit OneOpenMpThread(const SharedLibrary& library) {
    int (*get)() = nullptr;
    if (!library.find("omp_get_max_threads", &get).is_ok()) return;  // built without OpenMP
    if (!library.find("omp_set_num_threads", &set_).is_ok()) return;
    before_ = get();
    set_(1);
  }
  OneOpenMpThread(const OneOpenMpThread&) = delete;
  OneOpenMpThread& operator=(const OneOpenMpThread&) = delete;
  ~OneOpenMpThread() {
    if (set_ != nullptr) set_(before_);
  }

 private:
  void (*set_)(int) = nullptr;
  int before_ = 1;
};

Status read_file(const std::string& path, std::string* text) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rbe"), &std::fclose);
  bool failed = file == nullptr;
  int error = errno;
  std::array<char, 64 * 1024> block;
  while (!failed) {
    const std::size_t got = std::fread(block.data(), 1, block.size(), file.get());
    if (got == 0) {
      error = errno;
      failed = std::ferror(file.get()) != 0;
      break;
    }
    text->append(block.data(), got);
  }
  if (!failed) return Status::ok();
  return {Code::kNotFound, "cannot read the model '" + path + "': " + std::generic_category().message(error)};
}

// What one model is in the library: the handle and what to pass with every prediction.
struct Booster {
  lgbm::Api api;
  lgbm::BoosterHandle handle = nullptr;
  int predict_type = lgbm::kPredictNormal;
  int start_iteration = 0;
  int num_iterations = -1;
  int columns = 0;

  Booster() = default;
  Booster(const Booster&) = delete;
  Booster& operator=(const Booster&) = delete;
  ~Booster() {
    if (handle != nullptr) api.free_booster(handle);
  }

  Status failure(Code code, const std::string& doing) const {
    return {code, doing + ": " + one_line(api.last_error())};
  }
};

// One prediction handle for each element type, with a row buffer and a lock of its own, which no other thread
// touches. LightGBM also takes its booster's reader lock for each row, which all threads share: with two
// loops on one model that costs some 10 % of their throughput. A booster for each thread would cost its
// memory as often.
class LightgbmContext final : public Context {
 public:
  explicit LightgbmContext(const Booster& booster) noexcept : booster_(booster) {}
  LightgbmContext(const LightgbmContext&) = delete;
  LightgbmContext& operator=(const LightgbmContext&) = delete;
  ~LightgbmContext() override {
    if (float32_ != nullptr) booster_.api.fast_free(float32_);
    if (float64_ != nullptr) booster_.api.fast_free(float64_);
  }

  Status open() {
    PENSTOCK_RETURN_IF_ERROR(open(lgbm::kFloat32, &float32_));
    return open(lgbm::kFloat64, &float64_);
  }

  lgbm::FastConfigHandle handle(DataType dtype) const noexcept {
    return dtype == DataType::kFp32 ? float32_ : float64_;
  }

 private:
  Status open(lgbm::DataType type, lgbm::FastConfigHandle* made) const {
    // The parameter sizes the handle's buffers for one thread. The library also takes it as its default for
    // loops to come; every call that runs one sets its own first.
    if (booster_.api.fast_init(booster_.handle, booster_.predict_type, booster_.start_iteration,
                               booster_.num_iterations, type, booster_.columns, "num_threads=1", made) != 0) {
      return booster_.failure(Code::kInternal, "preparing LightGBM's prediction");
    }
    return Status::ok();
  }

  const Booster& booster_;
  lgbm::FastConfigHandle float32_ = nullptr;
  lgbm::FastConfigHandle float64_ = nullptr;
};

class LightgbmExecutor final : public Executor {
 public:
  // `why`: why it is not a forest; empty where none was asked for.
  LightgbmExecutor(std::unique_ptr<Booster> booster, std::int64_t values_a_row, std::string why)
      : booster_(std::move(booster)),
        values_a_row_(values_a_row),
        why_(std::move(why)),
        matrix_("a LightGBM model", DataType::kFp64, booster_->columns, values_a_row) {}

  std::span<const TensorSpec> inputs() const noexcept override { return matrix_.inputs(); }
  std::span<const TensorSpec> outputs() const noexcept override { return matrix_.outputs(); }

  std::string describe() const override {
    return "LightGBM C library, cpu" + (why_.empty() ? "" : ": " + why_);
  }

  Status make_context(std::unique_ptr<Context>* made) const override {
    auto context = std::make_unique<LightgbmContext>(*booster_);
    PENSTOCK_RETURN_IF_ERROR(context->open());
    *made = std::move(context);
    return Status::ok();
  }

  // Row by row, also for many rows: the library's call for a batch does the same inside a parallel loop, but
  // sets itself up anew each time (7 us), writes to the shared model while others read it, and takes its
  // number of threads from a variable of the whole process.
  Status run(Context& context, std::span<const TensorView> inputs, std::span<const std::uint32_t> wanted,
             Arena& arena, Results* results) const override {
    const auto predict = [&](std::uint32_t, const TensorView& features, std::span<double> prediction) {
      const std::size_t row_bytes =
          static_cast<std::size_t>(booster_->columns) * datatype_size(features.dtype);
      const lgbm::FastConfigHandle handle =
          static_cast<const LightgbmContext&>(context).handle(features.dtype);
      const auto* row = static_cast<const std::byte*>(features.data);
      double* into = prediction.data();
      for (std::int64_t i = 0; i < features.shape[0]; ++i, row += row_bytes, into += values_a_row_) {
        std::int64_t written = 0;
        if (booster_->api.fast_predict(handle, row, &written, into) != 0) {
          return booster_->failure(Code::kInternal, "LightGBM");
        }
      }
      return Status::ok();
    };
    return matrix_.run(inputs, wanted, arena, results, predict);
  }

 private:
  std::unique_ptr<const Booster> booster_;
  std::int64_t values_a_row_;
  std::string why_;
  MatrixModel matrix_;
};

Status load_library(const std::string& path, const std::string& text, const LightgbmOptions& options,
                    std::string why, std::unique_ptr<Executor>* made) {
  if (options.library.empty()) {
    return {
        Code::kFailedPrecondition,
        (why.empty() ? "the engine 'library' was asked for" : why) +
            ", and the LightGBM library, which runs such a model, is not installed: pip install lightgbm"};
  }
  const SharedLibrary* library = nullptr;
  PENSTOCK_RETURN_IF_ERROR(SharedLibrary::open(options.library, &library));
  auto booster = std::make_unique<Booster>();
  PENSTOCK_RETURN_IF_ERROR(booster->api.resolve(*library));
  int iterations = 0;
  {
    const OneOpenMpThread one_thread(*library);
    if (booster->api.load_from_string(text.c_str(), &iterations, &booster->handle) != 0) {
      booster->handle = nullptr;
      return booster->failure(Code::kInvalidArgument, "LightGBM refuses the model '" + path + "'");
    }
  }
  PENSTOCK_RETURN_IF_ERROR(check_start_iteration(options, static_cast<std::size_t>(iterations)));
  booster->predict_type = options.raw_score ? lgbm::kPredictRawScore : lgbm::kPredictNormal;
  booster->start_iteration = options.start_iteration;
  booster->num_iterations = options.num_iterations;
  std::int64_t values_a_row = 0;
  if (booster->api.feature_count(booster->handle, &booster->columns) != 0 ||
      booster->api.calc_num_predict(booster->handle, 1, booster->predict_type, options.start_iteration,
                                    options.num_iterations, &values_a_row) != 0) {
    return booster->failure(Code::kInternal, "asking LightGBM about the model '" + path + "'");
  }
  *made = std::make_unique<LightgbmExecutor>(std::move(booster), values_a_row, std::move(why));
  return Status::ok();
}

}  // namespace

Status load_lightgbm(const std::string& path, const LightgbmOptions& options,
                     std::unique_ptr<Executor>* made) {
  const bool library = options.engine == "library";
  if (!library && options.engine != "auto" && options.engine != "forest") {
    return invalid_argument("a LightGBM model has no engine '" + options.engine +
                            "'; expected one of auto, forest, library");
  }
  std::string text;
  PENSTOCK_RETURN_IF_ERROR(read_file(path, &text));
  if (const Status status = check_lightgbm_text(text); !status.is_ok()) {
    return {status.code(), "'" + path + "': " + status.message()};
  }
  if (library) return load_library(path, text, options, "", made);
  Forest forest;
  Status compiled = read_lightgbm_forest(text, options, &forest);
  if (compiled.is_ok()) compiled = load_forest(std::move(forest), made);
  if (compiled.code() != Code::kUnimplemented) return compiled;
  if (options.engine == "auto") return load_library(path, text, options, compiled.message(), made);
  return {compiled.code(),
          compiled.message() + ", and the engine is 'forest': 'auto' leaves such a model to the library"};
}

}  // namespace penstock::executor
