// Whether a forest is whole: what reads it relies on what is checked here, and on nothing else.
#pragma once

#include "base/status.h"
#include "executor/forest.h"

namespace penstock::executor {

// Children form one tree of each list of splits, features and categories exist, thresholds are numbers, and
// sizes agree. INVALID_ARGUMENT with the tree and the split.
Status check_forest(const Forest& forest);

}  // namespace penstock::executor
