// CompiledForest: a forest in the layouts that this machine computes it by: all give the same bits for a row.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/arena.h"
#include "executor/forest.h"
#include "executor/forest_bins.h"
#include "executor/forest_categories.h"
#include "executor/forest_row.h"
#include "executor/forest_rows.h"
#include "executor/forest_walk.h"

namespace penstock::executor {

// Immutable; used by any number of threads.
class CompiledForest {
 public:
  // Which layouts may be made; for tests and benchmarks. Those that the machine or the forest does not allow
  // are left out, but for the walk, which always can be made.
  struct Choice {
    bool row = true;
    bool rows = true;
    std::string_view rows_kernel;          // the fastest, where empty
    std::optional<std::size_t> rows_from;  // measured, where none is given
  };

  // Of a checked forest, of which nothing is kept.
  explicit CompiledForest(const Forest& forest) : CompiledForest(forest, Choice()) {}
  CompiledForest(const Forest& forest, const Choice& choice);

  // rows [count, features] to sums [count, outputs]: the base and the leaves of all trees, in their order,
  // over the divisor. Scratch is of `arena`. Throws std::bad_alloc.
  template <typename Element>
  void sum(const Element* rows, std::size_t count, Arena& arena, double* sums) const;

  // So many rows, and more, are computed together; more than a block has: none are.
  std::size_t rows_from() const noexcept { return rows_from_; }
  // As in "avx512 from 24 rows on".
  std::string describe() const;

 private:
  // `places` are filled in by bins_ and categories_ and read by the layouts, and not needed any more then.
  CompiledForest(const Forest& forest, const Choice& choice, Places places);

  std::size_t measured_rows_from(const Forest& forest) const;
  template <typename Element>
  void sum_each(const Element* rows, std::size_t count, Arena& arena, double* sums) const;
  template <typename Element, typename Bin>
  void walk(const ForestWalk<Bin>& walk, const Element* rows, std::size_t count, Arena& arena,
            double* sums) const;
  template <typename Element>
  void sum_together(const Element* rows, std::size_t count, Arena& arena, double* sums) const;
  template <typename Element>
  void fill_block(const Element* rows, std::size_t count, std::uint64_t* words, std::uint8_t* bins,
                  std::uint64_t* masks) const noexcept;

  std::size_t features_;
  std::size_t outputs_;
  std::vector<double> base_;
  double divisor_;
  ForestBins bins_;
  ForestCategories categories_;
  std::optional<ForestRow> row_;
  std::optional<ForestWalk<std::uint16_t>> walk_;
  std::optional<ForestWalk<std::uint32_t>> wide_walk_;
  std::optional<ForestRows> rows_;
  ForestRows::Kernel kernel_{};
  std::size_t rows_from_ = ForestRows::kBlock + 1;
};

}  // namespace penstock::executor
