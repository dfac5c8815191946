// ONNX Runtime through its C API, loaded at run time from the installed wheel.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "executor/executor.h"

namespace penstock::executor {

struct OnnxOptions {
  std::string library;                        // path of libonnxruntime.so.*
  std::vector<std::string> providers{"cpu"};  // cpu, cuda, tensorrt: in order of preference
  bool fallback = false;  // a missing provider is passed over (and said in describe()) instead of refused
  int intra_op_threads = 1;
  int inter_op_threads = 1;
  std::string optimization = "all";  // none, basic, extended, all
};

// INVALID_ARGUMENT for a file that is no model or an option that is none; FAILED_PRECONDITION, with what to
// install, for a provider or library that is missing.
Status load_onnx(const std::string& path, const OnnxOptions& options, std::unique_ptr<Executor>* made);

}  // namespace penstock::executor
