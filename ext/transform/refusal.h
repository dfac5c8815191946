// What a caller reads when a kernel refuses a row.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "base/status.h"
#include "transform/column.h"

namespace penstock::transform {

// INVALID_ARGUMENT with the step, the row (from 0) and that row of the first of `columns`, as in
// `one_hot(carrier) refused row 3: "ZZ"`. The kernel was called with `rows` rows, the first of which is row
// `first` of the whole, and refused `row` of them; one outside 0..rows-1, which no correct kernel gives, is
// INTERNAL. Long text is cut; control characters and what is not UTF-8 are escaped.
Status refusal(std::string_view step, std::span<const penstock_column> columns, std::int64_t row,
               std::int64_t rows, std::int64_t first);

}  // namespace penstock::transform
