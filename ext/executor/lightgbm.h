// LightGBM through the C API of the installed wheel, loaded at run time; single rows take its fast path.
#pragma once

#include <memory>
#include <string>

#include "executor/executor.h"

namespace penstock::executor {

struct LightgbmOptions {
  std::string library;  // path of lib_lightgbm.so
  int start_iteration = 0;
  int num_iterations = -1;  // -1: all (or what the model's best iteration was set to by the caller)
  bool raw_score = false;
};

// One input, `features`, FP64 or FP32 [-1, columns] (inputs() says FP64; run() takes either); one output,
// `prediction`, FP64,
// [-1] or [-1, classes]: what Booster.predict gives, to the last bit.
Status load_lightgbm(const std::string& path, const LightgbmOptions& options,
                     std::unique_ptr<Executor>* made);

}  // namespace penstock::executor
