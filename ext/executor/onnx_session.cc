#include "executor/onnx_session.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>
#include <system_error>
#include <vector>

namespace penstock::executor {
namespace {

struct Accelerator {
  std::string_view name;      // in a bundle
  std::string_view ort_name;  // in the library
};
constexpr std::array<Accelerator, 2> kAccelerators{
    {{"cuda", "CUDAExecutionProvider"}, {"tensorrt", "TensorrtExecutionProvider"}}};

constexpr std::string_view kRemedy =
    ": install onnxruntime-gpu and the CUDA libraries that its release names, or set fallback in the bundle";

const Accelerator* find_accelerator(std::string_view name) {
  const auto* found = std::ranges::find(kAccelerators, name, &Accelerator::name);
  return found == kAccelerators.end() ? nullptr : found;
}

std::optional<ort::OptimizationLevel> optimization_level(std::string_view name) {
  if (name == "none") return ort::kDisableAll;
  if (name == "basic") return ort::kEnableBasic;
  if (name == "extended") return ort::kEnableExtended;
  if (name == "all") return ort::kEnableAll;
  return std::nullopt;
}

Status check_options(const OnnxOptions& options) {
  if (options.intra_op_threads < 1 || options.inter_op_threads < 1) {
    return invalid_argument("intra_op_threads and inter_op_threads must be at least 1, not " +
                            std::to_string(options.intra_op_threads) + " and " +
                            std::to_string(options.inter_op_threads));
  }
  if (!optimization_level(options.optimization)) {
    return invalid_argument("optimization '" + options.optimization +
                            "' is not one of none, basic, extended, all");
  }
  if (options.providers.empty()) {
    return invalid_argument("no provider is named: list cpu, cuda, tensorrt in order of preference");
  }
  for (std::size_t i = 0; i < options.providers.size(); ++i) {
    const std::string& name = options.providers[i];
    if (name != "cpu" && find_accelerator(name) == nullptr) {
      return invalid_argument("provider '" + name + "' is not one of cpu, cuda, tensorrt");
    }
    if (std::count(options.providers.begin(), options.providers.end(), name) > 1) {
      return invalid_argument("provider '" + name + "' is named twice");
    }
    if (name == "cpu" && i + 1 < options.providers.size()) {
      return invalid_argument("provider 'cpu' runs every operator, so '" + options.providers[i + 1] +
                              "' after it would never run: put cpu last");
    }
  }
  return Status::ok();
}

Status available_providers(const OnnxRuntime& runtime, std::vector<std::string>* names) {
  char** given = nullptr;
  int count = 0;
  PENSTOCK_RETURN_IF_ERROR(
      runtime.status(runtime.api.GetAvailableProviders(&given, &count), "listing the providers"));
  names->assign(given, given + count);
  return runtime.status(runtime.api.ReleaseAvailableProviders(given, count), "listing the providers");
}

std::string joined(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

// Why no memory arena and no memory patterns: an arena is one allocator with one lock for all threads of a
// session and keeps the peak of every session for good; patterns are kept for each distinct batch size that
// ever came, behind another lock. The C library's allocator has caches of its own for each thread. One row
// through a small model is faster so, and a thousand idle sessions hold their weights and little else.
Status make_options(const OnnxRuntime& runtime, const OnnxOptions& options,
                    ort::Owned<ort::SessionOptions>* made) {
  const ort::Api& api = runtime.api;
  ort::SessionOptions* raw = nullptr;
  constexpr std::string_view kDoing = "setting the session's options";
  PENSTOCK_RETURN_IF_ERROR(runtime.status(api.CreateSessionOptions(&raw), kDoing));
  *made = ort::own(raw, api.ReleaseSessionOptions);
  const auto set = [&](ort::Status* status) { return runtime.status(status, kDoing); };
  PENSTOCK_RETURN_IF_ERROR(set(api.DisableCpuMemArena(raw)));
  PENSTOCK_RETURN_IF_ERROR(set(api.DisableMemPattern(raw)));
  PENSTOCK_RETURN_IF_ERROR(
      set(api.SetSessionGraphOptimizationLevel(raw, *optimization_level(options.optimization))));
  PENSTOCK_RETURN_IF_ERROR(set(api.SetIntraOpNumThreads(raw, options.intra_op_threads)));
  PENSTOCK_RETURN_IF_ERROR(set(api.SetInterOpNumThreads(raw, options.inter_op_threads)));
  PENSTOCK_RETURN_IF_ERROR(set(
      api.SetSessionExecutionMode(raw, options.inter_op_threads > 1 ? ort::kParallel : ort::kSequential)));
  // Idle pool threads must sleep: they would spin on the cores that the event loops need.
  PENSTOCK_RETURN_IF_ERROR(set(api.AddSessionConfigEntry(raw, "session.intra_op.allow_spinning", "0")));
  PENSTOCK_RETURN_IF_ERROR(set(api.AddSessionConfigEntry(raw, "session.inter_op.allow_spinning", "0")));
  // A failed run is told to its caller; the log must not grow with every bad request.
  return set(api.SetSessionLogSeverityLevel(raw, ort::kLogFatal));
}

Status append_accelerator(const OnnxRuntime& runtime, std::string_view name, ort::SessionOptions* options) {
  const ort::Api& api = runtime.api;
  if (name == "cuda") {
    ort::CudaOptions* raw = nullptr;
    PENSTOCK_RETURN_IF_ERROR(runtime.status(api.CreateCUDAProviderOptions(&raw), name));
    const ort::Owned<ort::CudaOptions> cuda = ort::own(raw, api.ReleaseCUDAProviderOptions);
    return runtime.status(api.SessionOptionsAppendExecutionProvider_CUDA_V2(options, raw), name);
  }
  ort::TensorRtOptions* raw = nullptr;
  PENSTOCK_RETURN_IF_ERROR(runtime.status(api.CreateTensorRTProviderOptions(&raw), name));
  const ort::Owned<ort::TensorRtOptions> tensorrt = ort::own(raw, api.ReleaseTensorRTProviderOptions);
  return runtime.status(api.SessionOptionsAppendExecutionProvider_TensorRT_V2(options, raw), name);
}

// Appends the accelerators of `options` that can be had, in order; `missing` names those passed over.
Status append_accelerators(const OnnxRuntime& runtime, const OnnxOptions& options,
                           ort::SessionOptions* session_options, std::vector<std::string>* running,
                           std::vector<std::string>* missing) {
  std::vector<std::string> available;
  PENSTOCK_RETURN_IF_ERROR(available_providers(runtime, &available));
  for (const std::string& name : options.providers) {
    const Accelerator* accelerator = find_accelerator(name);
    if (accelerator == nullptr) continue;  // cpu: always there, always last
    std::string reason;
    if (std::ranges::find(available, accelerator->ort_name) == available.end()) {
      reason = "provider '" + name + "' is not in this ONNX Runtime " + runtime.version +
               " (available: " + joined(available) + ")";
    } else if (const Status status = append_accelerator(runtime, name, session_options); !status.is_ok()) {
      reason = "provider '" + name + "' cannot start: " + status.message();
      if (const std::string logged = OnnxRuntime::take_logged(); !logged.empty()) reason += ": " + logged;
    } else {
      running->push_back(name);
      continue;
    }
    if (!options.fallback) return {Code::kFailedPrecondition, reason + std::string(kRemedy)};
    missing->push_back(name);
  }
  return Status::ok();
}

Status create_session(const OnnxRuntime& runtime, const std::string& path, const ort::SessionOptions* options,
                      ort::Owned<ort::Session>* session) {
  ort::Session* raw = nullptr;
  const Status status = runtime.status(runtime.api.CreateSession(runtime.env, path.c_str(), options, &raw),
                                       "ONNX Runtime refuses the model '" + path + "'");
  if (!status.is_ok()) return invalid_argument(status.message());
  *session = ort::own(raw, runtime.api.ReleaseSession);
  return Status::ok();
}

}  // namespace

Status open_session(const OnnxRuntime& runtime, const std::string& path, const OnnxOptions& options,
                    OnnxSession* opened) {
  PENSTOCK_RETURN_IF_ERROR(check_options(options));
  if (::access(path.c_str(), R_OK) != 0) {
    const int error = errno;
    return {Code::kNotFound,
            "cannot read the model '" + path + "': " + std::generic_category().message(error)};
  }
  ort::Owned<ort::SessionOptions> session_options;
  PENSTOCK_RETURN_IF_ERROR(make_options(runtime, options, &session_options));
  std::vector<std::string> running;
  std::vector<std::string> missing;
  PENSTOCK_RETURN_IF_ERROR(append_accelerators(runtime, options, session_options.get(), &running, &missing));
  Status status = create_session(runtime, path, session_options.get(), &opened->session);
  if (!status.is_ok() && !running.empty()) {
    // A device is opened here and not before. Where the same file opens on the CPU, the device is at fault.
    PENSTOCK_RETURN_IF_ERROR(make_options(runtime, options, &session_options));
    PENSTOCK_RETURN_IF_ERROR(create_session(runtime, path, session_options.get(), &opened->session));
    if (!options.fallback) {
      return {Code::kFailedPrecondition, "provider '" + running.front() + "' cannot run the model: " +
                                             status.message() + std::string(kRemedy)};
    }
    missing.insert(missing.end(), running.begin(), running.end());
    running.clear();
    status = Status::ok();
  }
  if (!status.is_ok()) return status;
  running.emplace_back("cpu");  // takes what the accelerators leave
  opened->providers = joined(running);
  if (!missing.empty()) opened->providers += " (passed over: " + joined(missing) + ")";
  return Status::ok();
}

}  // namespace penstock::executor
