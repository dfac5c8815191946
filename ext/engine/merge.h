// Merge: requests of one version as one batch, and its results as theirs.
#pragma once

#include <cstdint>
#include <span>

#include "base/arena.h"
#include "base/tensor.h"
#include "engine/version.h"

namespace penstock::engine {

// Whether two requests of a version that has_rows() can be rows of one batch: they want the same outputs, and
// but for the rows their tensors have the same shapes.
bool agree(const Bound& one, const Bound& other) noexcept;

// The rows of all `parts`, which agree, in their order. Copied into `arena`; strings stay where they are.
// Throws std::bad_alloc.
Bound merge(std::span<const Bound* const> parts, Arena& arena);

// `rows` rows of a batch's results, from `first` on, where they lie. Empty where a tensor has not one row for
// each of the `total` of the batch. Throws std::bad_alloc.
std::span<const TensorView> slice(std::span<const TensorView> results, std::int64_t total, std::int64_t first,
                                  std::int64_t rows, Arena& arena);

}  // namespace penstock::engine
