// Opens a model file in ONNX Runtime with the threads, optimisation and providers that a bundle asks for.
#pragma once

#include <string>

#include "base/status.h"
#include "executor/onnx.h"
#include "executor/onnx_runtime.h"

namespace penstock::executor {

struct OnnxSession {
  ort::Owned<ort::Session> session;
  std::string providers;  // those that run the model and those passed over, for people
};

// Errors as load_onnx() has them.
Status open_session(const OnnxRuntime& runtime, const std::string& path, const OnnxOptions& options,
                    OnnxSession* opened);

}  // namespace penstock::executor
