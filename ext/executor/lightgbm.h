// LightGBM models: compiled as a forest, or through the C API of the installed wheel.
#pragma once

#include <memory>
#include <string>

#include "executor/executor.h"

namespace penstock::executor {

struct LightgbmOptions {
  std::string library;  // path of lib_lightgbm.so; empty: not installed
  // "auto": a forest, and the library where that does not cover the model. "forest", "library": that alone.
  std::string engine = "auto";
  int start_iteration = 0;
  int num_iterations = -1;  // -1: all (or what the model's best iteration was set to by the caller)
  bool raw_score = false;
};

// One input, `features`, FP64 or FP32 [-1, columns] (inputs() says FP64; run() takes either); one output,
// `prediction`, FP64, [-1] or [-1, classes]: what Booster.predict gives, to 1e-12 relative from a forest and
// to the last bit from the library. A forest whose model says how many rows reached each leaf gives
// `contributions` too (executor/forest.h). The library is loaded for a model that it runs, and for no other;
// describe() says why it does.
Status load_lightgbm(const std::string& path, const LightgbmOptions& options,
                     std::unique_ptr<Executor>* made);

}  // namespace penstock::executor
