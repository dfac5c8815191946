// The kernels of ForestRows for x86-64.
#include <array>
#include <bit>

#include "executor/forest_rows.h"

#if defined(__x86_64__)
#include <immintrin.h>
// GCC 12 takes the undefined sources of AVX-512 intrinsics for a mistake (GCC bug 105593).
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#define PENSTOCK_AVX2 [[gnu::target("avx2")]]
#define PENSTOCK_AVX512 [[gnu::target("avx512f,avx512bw,avx512vl,avx512dq,avx512bitalg")]]
#endif

namespace penstock::executor {

#if defined(__x86_64__)

namespace {

using Plane = ForestRows::Plane;
using View = ForestRows::View;
using Block = ForestRows::Block;
using Layout = ForestRows::Layout;

constexpr std::size_t kBlock = ForestRows::kBlock;

// Adds each row's leaf, [kRows] numbers of a tree's leaves, to its sums.
template <std::size_t kRows>
void add_leaves(const View& forest, const Layout& tree, const std::uint8_t* leaves, std::size_t first_row,
                double* sums) {
  const std::size_t width = forest.values_a_leaf;
  const double* values = forest.values + std::size_t{tree.first_plane} * 8 * width;
  for (std::size_t v = 0; v < width; ++v) {
    double* into = sums + (tree.output + v) * kBlock + first_row;
    for (std::size_t r = 0; r < kRows; ++r) into[r] += values[leaves[r] * width + v];
  }
}

// The leaves, of 8, that splits leave to 64 rows.
PENSTOCK_AVX512 inline __m512i kept_avx512(const View& forest, Plane from, Plane to, const Block& block) {
  const __m512i all = _mm512_set1_epi8(-1);
  __m512i kept = all;
  for (std::size_t i = from.numbers; i < to.numbers; ++i) {
    const ForestRows::Numbers& split = forest.numbers[i];
    const __m512i bins = _mm512_loadu_si512(block.bins + std::size_t{split.slot} * kBlock);
    const __mmask64 right = _mm512_cmpgt_epu8_mask(bins, _mm512_set1_epi8(static_cast<char>(split.rank)));
    kept = _mm512_and_si512(kept, _mm512_mask_set1_epi8(all, right, static_cast<char>(split.keep)));
  }
  for (std::size_t i = from.categories; i < to.categories; ++i) {
    const ForestRows::Categories& split = forest.categories[i];
    const __mmask64 right = block.masks[split.bit];
    kept = _mm512_and_si512(kept, _mm512_mask_set1_epi8(all, right, static_cast<char>(split.keep)));
  }
  return kept;
}

// The first leaf that is left of each row.
PENSTOCK_AVX512 inline __m512i leaves_avx512(const View& forest, const Layout& tree, const Block& block) {
  __m512i kept = _mm512_setzero_si512();
  __m512i before = _mm512_setzero_si512();
  Plane from = tree.first_plane == 0 ? Plane{0, 0} : forest.planes[tree.first_plane - 1];
  for (std::size_t i = 0; i < tree.planes; ++i) {
    const Plane to = forest.planes[tree.first_plane + i];
    const __m512i plane = kept_avx512(forest, from, to, block);
    const __mmask64 any = _mm512_test_epi8_mask(plane, plane);
    const std::size_t first_leaf = (tree.planes - 1 - i) * 8;
    kept = _mm512_mask_mov_epi8(kept, any, plane);
    before = _mm512_mask_set1_epi8(before, any, static_cast<char>(first_leaf));
    from = to;
  }
  // As many ones as there are zeros below the lowest one.
  const __m512i below = _mm512_andnot_si512(kept, _mm512_add_epi8(kept, _mm512_set1_epi8(-1)));
  return _mm512_add_epi8(before, _mm512_popcnt_epi8(below));
}

// Trees of one output and up to 32 leaves of one value: the sums and the leaves' values stay in registers.
PENSTOCK_AVX512 void add_small_avx512(const View& forest, std::size_t first, std::size_t last,
                                      const Block& block) {
  double* into = block.sums + forest.trees[first].output * kBlock;
  __m512d sums[8];
  for (std::size_t g = 0; g < 8; ++g) sums[g] = _mm512_loadu_pd(into + g * 8);
  for (std::size_t t = first; t < last; ++t) {
    const Layout& tree = forest.trees[t];
    const double* values = forest.values + std::size_t{tree.first_plane} * 8;
    __m512d table[4] = {};
    for (std::size_t i = 0; i < tree.planes; ++i) table[i] = _mm512_loadu_pd(values + i * 8);
    alignas(64) std::array<std::uint8_t, kBlock> leaves;
    _mm512_store_si512(leaves.data(), leaves_avx512(forest, tree, block));
    for (std::size_t g = 0; g < 8; ++g) {
      const __m512i leaf =
          _mm512_cvtepu8_epi64(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(leaves.data() + g * 8)));
      const __m512d low = _mm512_permutex2var_pd(table[0], leaf, table[1]);
      const __m512d high = _mm512_permutex2var_pd(table[2], leaf, table[3]);
      const __mmask8 upper = _mm512_test_epi64_mask(leaf, _mm512_set1_epi64(16));
      sums[g] = _mm512_add_pd(sums[g], _mm512_mask_mov_pd(low, upper, high));
    }
  }
  for (std::size_t g = 0; g < 8; ++g) _mm512_storeu_pd(into + g * 8, sums[g]);
}

PENSTOCK_AVX512 void add_avx512(const View& forest, std::size_t first, std::size_t last, const Block& block) {
  const auto small = [&](std::size_t t) { return forest.values_a_leaf == 1 && forest.trees[t].planes <= 4; };
  for (std::size_t t = first; t < last;) {
    std::size_t end = t;
    while (end < last && small(end) && forest.trees[end].output == forest.trees[t].output) ++end;
    if (end != t) {
      add_small_avx512(forest, t, end, block);
      t = end;
      continue;
    }
    alignas(64) std::array<std::uint8_t, kBlock> leaves;
    _mm512_store_si512(leaves.data(), leaves_avx512(forest, forest.trees[t], block));
    add_leaves<kBlock>(forest, forest.trees[t], leaves.data(), 0, block.sums);
    ++t;
  }
}

// 32 bits, each as a byte of ones or zeros.
PENSTOCK_AVX2 inline __m256i spread_avx2(std::uint32_t bits) {
  const __m256i byte_of = _mm256_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2,
                                           2, 2, 3, 3, 3, 3, 3, 3, 3, 3);
  const __m256i bit_of = _mm256_set1_epi64x(static_cast<long long>(0x8040201008040201ULL));
  const __m256i bytes = _mm256_shuffle_epi8(_mm256_set1_epi32(static_cast<int>(bits)), byte_of);
  return _mm256_cmpeq_epi8(_mm256_and_si256(bytes, bit_of), bit_of);
}

// The leaves, of 8, that splits leave to the 32 rows from `row` on.
PENSTOCK_AVX2 inline __m256i kept_avx2(const View& forest, Plane from, Plane to, const Block& block,
                                       std::size_t row) {
  __m256i kept = _mm256_set1_epi8(-1);
  for (std::size_t i = from.numbers; i < to.numbers; ++i) {
    const ForestRows::Numbers& split = forest.numbers[i];
    const __m256i bins = _mm256_loadu_si256(
        reinterpret_cast<const __m256i*>(block.bins + std::size_t{split.slot} * kBlock + row));
    const __m256i most = _mm256_min_epu8(bins, _mm256_set1_epi8(static_cast<char>(split.rank)));
    const __m256i left = _mm256_cmpeq_epi8(most, bins);
    kept = _mm256_and_si256(kept, _mm256_or_si256(left, _mm256_set1_epi8(static_cast<char>(split.keep))));
  }
  for (std::size_t i = from.categories; i < to.categories; ++i) {
    const ForestRows::Categories& split = forest.categories[i];
    const __m256i left = spread_avx2(static_cast<std::uint32_t>(~block.masks[split.bit] >> row));
    kept = _mm256_and_si256(kept, _mm256_or_si256(left, _mm256_set1_epi8(static_cast<char>(split.keep))));
  }
  return kept;
}

// The first leaf that is left of each of 32 rows.
PENSTOCK_AVX2 inline __m256i leaves_avx2(const View& forest, const Layout& tree, const Block& block,
                                         std::size_t row) {
  const __m256i zero = _mm256_setzero_si256();
  __m256i kept = zero;
  __m256i before = zero;
  Plane from = tree.first_plane == 0 ? Plane{0, 0} : forest.planes[tree.first_plane - 1];
  for (std::size_t i = 0; i < tree.planes; ++i) {
    const Plane to = forest.planes[tree.first_plane + i];
    const __m256i plane = kept_avx2(forest, from, to, block, row);
    const __m256i none = _mm256_cmpeq_epi8(plane, zero);
    const std::size_t first_leaf = (tree.planes - 1 - i) * 8;
    kept = _mm256_blendv_epi8(plane, kept, none);
    before = _mm256_blendv_epi8(_mm256_set1_epi8(static_cast<char>(first_leaf)), before, none);
    from = to;
  }
  // The zeros below the lowest one, of each half byte: 8 where it has none.
  const __m256i zeros =
      _mm256_broadcastsi128_si256(_mm_setr_epi8(8, 0, 1, 0, 2, 0, 1, 0, 3, 0, 1, 0, 2, 0, 1, 0));
  const __m256i half = _mm256_set1_epi8(15);
  const __m256i low = _mm256_shuffle_epi8(zeros, _mm256_and_si256(kept, half));
  const __m256i high = _mm256_shuffle_epi8(zeros, _mm256_and_si256(_mm256_srli_epi16(kept, 4), half));
  return _mm256_add_epi8(before, _mm256_min_epu8(low, _mm256_add_epi8(high, _mm256_set1_epi8(4))));
}

PENSTOCK_AVX2 void add_avx2(const View& forest, std::size_t first, std::size_t last, const Block& block) {
  for (std::size_t t = first; t < last; ++t) {
    for (std::size_t row = 0; row < kBlock; row += 32) {
      alignas(32) std::array<std::uint8_t, 32> leaves;
      _mm256_store_si256(reinterpret_cast<__m256i*>(leaves.data()),
                         leaves_avx2(forest, forest.trees[t], block, row));
      add_leaves<32>(forest, forest.trees[t], leaves.data(), row, block.sums);
    }
  }
}

constexpr std::array<ForestRows::Kernel, 2> kKernels{{{"avx2", &add_avx2}, {"avx512", &add_avx512}}};

}  // namespace

std::span<const ForestRows::Kernel> ForestRows::kernels() noexcept {
  if (!__builtin_cpu_supports("avx2")) return {};
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
                      __builtin_cpu_supports("avx512bitalg");
  return std::span(kKernels).first(avx512 ? 2 : 1);
}

#else

std::span<const ForestRows::Kernel> ForestRows::kernels() noexcept { return {}; }

#endif

}  // namespace penstock::executor
