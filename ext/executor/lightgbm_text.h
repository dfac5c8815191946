// Checks a LightGBM model text before the library sees it.
#pragma once

#include <string_view>

#include "base/status.h"

namespace penstock::executor {

// The library trusts its own files: text that was cut or altered makes it read outside its arrays, walk trees
// that never end, or ask for all memory. Ok means that none of these can happen: the header is whole, every
// tree lies where tree_sizes says, its arrays have the announced lengths, its splits use features that exist,
// and its children form one tree. INVALID_ARGUMENT names the tree and the field. The format is what
// LightGBM's own GBDT::SaveModelToString writes (version v3 or v4: releases since 2.2).
Status check_lightgbm_text(std::string_view text);

}  // namespace penstock::executor
