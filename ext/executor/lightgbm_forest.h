// Reads a LightGBM model text as a forest.
#pragma once

#include <cstddef>
#include <string_view>

#include "base/status.h"
#include "executor/forest.h"
#include "executor/lightgbm.h"

namespace penstock::executor {

// `text` is what check_lightgbm_text() found in order. The forest answers as Booster.predict does with these
// options: the semantics are those of LightGBM's Tree::Predict and of each objective's ConvertOutput.
// UNIMPLEMENTED, with the reason, for what a forest does not cover: linear trees, and objectives that the
// library may know and this does not. INVALID_ARGUMENT as check_start_iteration() says.
Status read_lightgbm_forest(std::string_view text, const LightgbmOptions& options, Forest* forest);

// INVALID_ARGUMENT for a start_iteration that a model of so many has not.
Status check_start_iteration(const LightgbmOptions& options, std::size_t iterations);

}  // namespace penstock::executor
