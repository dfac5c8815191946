// Where the splits of a forest find their answers in what was made of a row.
#pragma once

#include <cstdint>
#include <vector>

namespace penstock::executor {

// A numeric split goes right where bin `slot` is above `rank` (ForestBins); a categorical one where category
// bit `slot` is set (ForestCategories).
struct SplitPlace {
  std::uint32_t slot = 0;
  std::uint32_t rank = 0;
  bool categorical = false;
};

// One for each split of each tree.
using Places = std::vector<std::vector<SplitPlace>>;

}  // namespace penstock::executor
