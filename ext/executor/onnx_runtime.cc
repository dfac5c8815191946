#include "executor/onnx_runtime.h"

#include <cstdlib>
#include <map>
#include <mutex>
#include <utility>

#include "executor/library.h"

namespace penstock::executor {
namespace {

thread_local std::string logged;

// In place of lines on standard error: what went wrong reaches people through a Status.
void keep_logged(void* /*parameter*/, ort::LoggingLevel /*level*/, const char* /*category*/,
                 const char* /*id*/, const char* /*location*/, const char* message) noexcept {
  try {
    logged = one_line(message);
  } catch (...) {
    logged.clear();
  }
}

}  // namespace

std::string OnnxRuntime::take_logged() { return std::exchange(logged, {}); }

Status OnnxRuntime::open(const std::string& path, const OnnxRuntime** opened) {
  static std::mutex mutex;
  static auto& runtimes = *new std::map<std::string, std::unique_ptr<OnnxRuntime>>;  // outlives statics
  const std::lock_guard lock(mutex);
  auto found = runtimes.find(path);
  if (found == runtimes.end()) {
    std::unique_ptr<OnnxRuntime> loaded;
    PENSTOCK_RETURN_IF_ERROR(load(path, &loaded));
    found = runtimes.emplace(path, std::move(loaded)).first;
  }
  *opened = found->second.get();
  return Status::ok();
}

Status OnnxRuntime::load(const std::string& path, std::unique_ptr<OnnxRuntime>* loaded) {
  // The library reads this while it starts. Otherwise it opens a database in the user's cache folder.
  ::setenv("ORT_DISABLE_TELEMETRY", "1", /*overwrite=*/0);
  const SharedLibrary* library = nullptr;
  PENSTOCK_RETURN_IF_ERROR(SharedLibrary::open(path, &library));
  const ort::ApiBase* (*get_api_base)() noexcept = nullptr;
  PENSTOCK_RETURN_IF_ERROR(library->find("OrtGetApiBase", &get_api_base));
  const ort::ApiBase* base = get_api_base();
  const std::string version = base->get_version_string();
  const ort::Table table = base->get_api(ort::kApiVersion);
  if (table == nullptr) {
    return {Code::kFailedPrecondition, "ONNX Runtime " + version + " at '" + path +
                                           "' is too old: install onnxruntime 1." +
                                           std::to_string(ort::kApiVersion) + " or later"};
  }
  std::unique_ptr<OnnxRuntime> runtime(new OnnxRuntime(table));  // NOLINT: the constructor is private
  runtime->version = version;
  const ort::Api& api = runtime->api;
  ort::Env* env = nullptr;
  PENSTOCK_RETURN_IF_ERROR(
      runtime->status(api.CreateEnvWithCustomLogger(&keep_logged, nullptr, ort::kLogError, "penstock", &env),
                      "starting ONNX Runtime"));
  runtime->env = env;
  PENSTOCK_RETURN_IF_ERROR(
      runtime->status(api.DisableTelemetryEvents(env), "turning ONNX Runtime's telemetry off"));
  ort::MemoryInfo* memory = nullptr;
  PENSTOCK_RETURN_IF_ERROR(
      runtime->status(api.CreateCpuMemoryInfo(ort::kDeviceAllocator, ort::kDefaultMemory, &memory),
                      "describing CPU memory to ONNX Runtime"));
  runtime->memory = memory;
  PENSTOCK_RETURN_IF_ERROR(runtime->status(api.GetAllocatorWithDefaultOptions(&runtime->allocator),
                                           "asking ONNX Runtime for its allocator"));
  *loaded = std::move(runtime);
  return Status::ok();
}

Status OnnxRuntime::status(ort::Status* failed, std::string_view doing) const {
  if (failed == nullptr) return Status::ok();
  const ort::Owned<ort::Status> owned = ort::own(failed, api.ReleaseStatus);
  Code code = Code::kInternal;
  if (const ort::ErrorCode given = api.GetErrorCode(failed); given == ort::kInvalidArgument) {
    code = Code::kInvalidArgument;
  } else if (given == ort::kNoSuchFile) {
    code = Code::kNotFound;
  }
  return {code, std::string(doing) + ": " + one_line(api.GetErrorMessage(failed))};
}

}  // namespace penstock::executor
