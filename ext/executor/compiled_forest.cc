#include "executor/compiled_forest.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <numeric>
#include <utility>

#include "base/clock.h"

namespace penstock::executor {
namespace {

constexpr std::size_t kBlock = ForestRows::kBlock;
// Scratch of rows that are computed together, about: it is to stay in the processor's cache.
constexpr std::size_t kScratchBytes = 256 * 1024;

// Trees of one output behind each other, each output's in the order in which they are summed.
std::vector<std::uint32_t> order_of(const Forest& forest) {
  std::vector<std::uint32_t> order(forest.trees.size());
  std::iota(order.begin(), order.end(), 0U);
  std::ranges::stable_sort(order, {}, [&](std::uint32_t tree) { return forest.trees[tree].output; });
  return order;
}

Places empty_places(const Forest& forest) {
  Places places;
  places.reserve(forest.trees.size());
  for (const Tree& tree : forest.trees) places.emplace_back(tree.splits.size());
  return places;
}

// Each bit of a byte as a number, 0 or 1.
template <typename Bin>
constexpr std::array<std::array<Bin, 8>, 256> kBits = [] {
  std::array<std::array<Bin, 8>, 256> bits{};
  for (std::size_t byte = 0; byte < 256; ++byte) {
    for (std::size_t bit = 0; bit < 8; ++bit) bits[byte][bit] = static_cast<Bin>(byte >> bit & 1);
  }
  return bits;
}();

// The bits of whole words, lowest first, as numbers.
template <typename Bin>
void spread(std::span<const std::uint64_t> words, Bin* into) noexcept {
  for (std::uint64_t word : words) {
    for (std::size_t byte = 0; byte < 8; ++byte, word >>= 8, into += 8) {
      std::memcpy(into, kBits<Bin>[word & 0xff].data(), 8 * sizeof(Bin));
    }
  }
}

// Rows around the thresholds of the forest, so that all of its ways are taken.
std::vector<double> made_up_rows(const Forest& forest, std::size_t count) {
  constexpr std::size_t kMostSteps = 4096;  // a very wide row is sparse
  const auto features = static_cast<std::size_t>(forest.features);
  std::vector<double> rows(count * features);
  std::uint64_t state = 1;
  const auto random = [&state](std::size_t below) {  // Knuth's MMIX generator
    state = state * 6364136223846793005U + 1442695040888963407U;
    return static_cast<std::size_t>(state >> 33) % below;
  };
  for (std::size_t r = 0; r < count; ++r) {
    for (std::size_t i = 0; i < std::min(4 * features, kMostSteps); ++i) {
      const Tree& tree = forest.trees[random(forest.trees.size())];
      if (tree.splits.empty()) continue;
      const Split& split = tree.splits[random(tree.splits.size())];
      double value = split.threshold;
      if (split.categorical && split.last_category > split.first_category) {
        value = tree.categories[split.first_category + random(split.last_category - split.first_category)];
      }
      rows[r * features + static_cast<std::size_t>(split.feature)] = value;
    }
  }
  return rows;
}

}  // namespace

CompiledForest::CompiledForest(const Forest& forest, const Choice& choice)
    : CompiledForest(forest, choice, empty_places(forest)) {}

CompiledForest::CompiledForest(const Forest& forest, const Choice& choice, Places places)
    : features_(static_cast<std::size_t>(forest.features)),
      outputs_(static_cast<std::size_t>(forest.outputs)),
      base_(forest.base),
      divisor_(forest.divisor),
      bins_(forest, &places),
      categories_(forest, &places) {
  base_.resize(outputs_);
  const std::vector<std::uint32_t> order = order_of(forest);
  const std::size_t slots = bins_.slots();
  const std::size_t largest = bins_.largest_bin();
  if (choice.row && ForestRow::fits(forest, slots, largest)) {
    row_.emplace(forest, order, places, slots);
  } else if (ForestWalk<std::uint16_t>::fits(slots + categories_.words() * 64, largest)) {
    walk_.emplace(forest, order, places, slots);
  } else {
    wide_walk_.emplace(forest, order, places, slots);
  }
  for (const ForestRows::Kernel& kernel : ForestRows::kernels()) {
    if (choice.rows_kernel.empty() || kernel.name == choice.rows_kernel) kernel_ = kernel;
  }
  if (!choice.rows || kernel_.add == nullptr || !ForestRows::fits(forest, slots, largest)) return;
  rows_.emplace(forest, order, places);
  rows_from_ = choice.rows_from ? *choice.rows_from : measured_rows_from(forest);
  if (rows_from_ > kBlock) rows_.reset();
}

// A block costs the same however many rows it has: from how many on it costs less than one row after the
// other.
std::size_t CompiledForest::measured_rows_from(const Forest& forest) const {
  constexpr int kRounds = 3;
  constexpr std::size_t kOneByOne = 16;
  const std::vector<double> rows = made_up_rows(forest, kBlock);
  std::vector<double> sums(kBlock * outputs_);
  Arena arena;
  const auto best = [&](auto&& work) {
    std::int64_t least = INT64_MAX;
    for (int i = 0; i < kRounds; ++i) {
      const std::int64_t started = monotonic_ns();
      work();
      least = std::min(least, monotonic_ns() - started);
      arena.reset();
    }
    return static_cast<double>(std::max<std::int64_t>(least, 1));
  };
  const double one = best([&] { sum_each(rows.data(), kOneByOne, arena, sums.data()); }) / kOneByOne;
  const double block = best([&] { sum_together(rows.data(), kBlock, arena, sums.data()); });
  return std::min(static_cast<std::size_t>(block / one) + 1, kBlock + 1);
}

template <typename Element>
void CompiledForest::sum(const Element* rows, std::size_t count, Arena& arena, double* sums) const {
  if (count == 0) return;
  // What is left behind whole blocks is one more where it has enough rows.
  std::size_t together = 0;
  if (rows_) together = count % kBlock >= rows_from_ ? count : count - count % kBlock;
  if (together > 0) sum_together(rows, together, arena, sums);
  if (count > together) {
    sum_each(rows + together * features_, count - together, arena, sums + together * outputs_);
  }
  if (divisor_ == 1) return;
  for (std::size_t i = 0; i < count * outputs_; ++i) sums[i] /= divisor_;
}

template <typename Element>
void CompiledForest::sum_each(const Element* rows, std::size_t count, Arena& arena, double* sums) const {
  for (std::size_t r = 0; r < count; ++r) std::ranges::copy(base_, sums + r * outputs_);
  if (walk_) return walk(*walk_, rows, count, arena, sums);
  if (wide_walk_) return walk(*wide_walk_, rows, count, arena, sums);
  alignas(64) ForestRow::Bins bins;
  std::ranges::fill(std::span(bins).subspan(bins_.slots()), std::uint8_t{0});
  for (std::size_t r = 0; r < count; ++r) {
    bins_.fill(rows + r * features_, bins.data(), 1);
    row_->add(bins, sums + r * outputs_);
  }
}

template <typename Element, typename Bin>
void CompiledForest::walk(const ForestWalk<Bin>& walk, const Element* rows, std::size_t count, Arena& arena,
                          double* sums) const {
  const std::size_t stride = std::max<std::size_t>(bins_.slots() + categories_.words() * 64, 1);
  const std::size_t most = std::clamp<std::size_t>(kScratchBytes / (stride * sizeof(Bin)), 1, count);
  const std::span<Bin> bins = arena.uninitialised<Bin>(most * stride);
  const std::span<std::uint64_t> words = arena.uninitialised<std::uint64_t>(categories_.words());
  bins[0] = 0;  // read, whatever it is, where there is no slot
  for (std::size_t start = 0; start < count; start += most) {
    const std::size_t some = std::min(most, count - start);
    for (std::size_t r = 0; r < some; ++r) {
      const Element* row = rows + (start + r) * features_;
      Bin* into = bins.data() + r * stride;
      bins_.fill(row, into, 1);
      categories_.fill(row, words.data());
      spread<Bin>(words, into + bins_.slots());
    }
    walk.add(bins.data(), stride, some, sums + start * outputs_);
  }
}

// One block: `words` is scratch for the category bits of its rows.
template <typename Element>
void CompiledForest::fill_block(const Element* rows, std::size_t count, std::uint64_t* words,
                                std::uint8_t* bins, std::uint64_t* masks) const noexcept {
  if (count < kBlock) std::memset(bins, 0, bins_.slots() * kBlock);
  for (std::size_t r = 0; r < count; ++r) bins_.fill(rows + r * features_, bins + r, kBlock);
  const std::size_t width = categories_.words();
  if (width == 0) return;
  for (std::size_t r = 0; r < count; ++r) categories_.fill(rows + r * features_, words + r * width);
  for (std::size_t w = 0; w < width; ++w) {
    std::uint64_t* into = masks + w * 64;
    for (std::size_t r = 0; r < kBlock; ++r) into[r] = r < count ? words[r * width + w] : 0;
    transpose_bits(into);
  }
}

template <typename Element>
void CompiledForest::sum_together(const Element* rows, std::size_t count, Arena& arena, double* sums) const {
  const std::size_t bin_bytes = bins_.slots() * kBlock;
  const std::size_t mask_count = categories_.words() * 64;
  const std::size_t sum_count = outputs_ * kBlock;
  const std::size_t block_bytes = bin_bytes + (mask_count + sum_count) * sizeof(double);
  const std::size_t blocks_left = (count + kBlock - 1) / kBlock;
  const std::size_t most = std::clamp<std::size_t>(kScratchBytes / block_bytes, 1, blocks_left);
  const std::span<std::uint8_t> bins = arena.uninitialised<std::uint8_t>(most * bin_bytes);
  const std::span<std::uint64_t> masks = arena.uninitialised<std::uint64_t>(most * mask_count);
  const std::span<double> block_sums = arena.uninitialised<double>(most * sum_count);
  const std::span<ForestRows::Block> blocks = arena.uninitialised<ForestRows::Block>(most);
  const std::span<std::uint64_t> words = arena.uninitialised<std::uint64_t>(mask_count);
  for (std::size_t start = 0; start < count;) {
    const std::size_t begin = start;
    std::size_t used = 0;
    for (; used < most && start < count; ++used, start += kBlock) {
      std::uint8_t* block_bins = bins.data() + used * bin_bytes;
      std::uint64_t* block_masks = masks.data() + used * mask_count;
      fill_block(rows + start * features_, std::min(kBlock, count - start), words.data(), block_bins,
                 block_masks);
      double* into = block_sums.data() + used * sum_count;
      for (std::size_t o = 0; o < outputs_; ++o) std::fill_n(into + o * kBlock, kBlock, base_[o]);
      blocks[used] = {block_bins, block_masks, into};
    }
    rows_->add(kernel_, blocks.first(used));
    const std::size_t end = std::min(start, count);
    for (std::size_t r = begin; r < end; ++r) {
      const double* from = blocks[(r - begin) / kBlock].sums + (r - begin) % kBlock;
      for (std::size_t o = 0; o < outputs_; ++o) sums[r * outputs_ + o] = from[o * kBlock];
    }
    start = end;
  }
}

std::string CompiledForest::describe() const {
  if (!rows_) return row_ ? "avx512" : "portable";
  return std::string(kernel_.name) + " from " + std::to_string(rows_from_) + " rows on";
}

template void CompiledForest::sum(const float*, std::size_t, Arena&, double*) const;
template void CompiledForest::sum(const double*, std::size_t, Arena&, double*) const;

}  // namespace penstock::executor
