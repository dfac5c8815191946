#include "executor/scores.h"

#include <array>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace penstock::executor {
namespace {

constexpr std::size_t kLanes = 8;

double total(const double* sums) noexcept {
  return ((sums[0] + sums[4]) + (sums[2] + sums[6])) + ((sums[1] + sums[5]) + (sums[3] + sums[7]));
}

// Adds the elements from `start` on, fewer than kLanes, to the partial sums; then all of these.
template <typename Element>
double finish(const Element* row, const double* weights, std::size_t start, std::size_t features,
              double* sums) noexcept {
  for (std::size_t i = start; i < features; ++i) sums[i - start] += static_cast<double>(row[i]) * weights[i];
  return total(sums);
}

template <typename Element>
void score_portable(const Element* rows, std::size_t count, const Coefficients& by, double* scores) noexcept {
  const std::size_t whole = by.features - by.features % kLanes;
  for (std::size_t r = 0; r < count; ++r) {
    const Element* row = rows + r * by.features;
    for (std::size_t o = 0; o < by.outputs; ++o) {
      const double* weights = by.coefficients + o * by.features;
      double sums[kLanes] = {};
      for (std::size_t i = 0; i < whole; i += kLanes) {
        for (std::size_t lane = 0; lane < kLanes; ++lane) {
          sums[lane] += static_cast<double>(row[i + lane]) * weights[i + lane];
        }
      }
      scores[r * by.outputs + o] = finish(row, weights, whole, by.features, sums) + by.intercepts[o];
    }
  }
}

#if defined(__x86_64__)

[[gnu::target("avx2")]] inline __m256d load4(const double* from) noexcept { return _mm256_loadu_pd(from); }
[[gnu::target("avx2")]] inline __m256d load4(const float* from) noexcept {
  return _mm256_cvtps_pd(_mm_loadu_ps(from));
}

// `kRows` rows against one output: enough sums in flight to hide how long an addition takes.
template <std::size_t kRows, typename Element>
[[gnu::target("avx2")]] void score_avx2(const Element* rows, const Coefficients& by, std::size_t output,
                                        double* scores) noexcept {
  const std::size_t features = by.features;
  const std::size_t whole = features - features % kLanes;
  const double* weights = by.coefficients + output * features;
  __m256d low[kRows];
  __m256d high[kRows];
  for (std::size_t r = 0; r < kRows; ++r) low[r] = high[r] = _mm256_setzero_pd();
  for (std::size_t i = 0; i < whole; i += kLanes) {
    const __m256d low_weights = load4(weights + i);
    const __m256d high_weights = load4(weights + i + 4);
    for (std::size_t r = 0; r < kRows; ++r) {
      const Element* row = rows + r * features + i;
      low[r] = _mm256_add_pd(low[r], _mm256_mul_pd(load4(row), low_weights));
      high[r] = _mm256_add_pd(high[r], _mm256_mul_pd(load4(row + 4), high_weights));
    }
  }
  for (std::size_t r = 0; r < kRows; ++r) {
    double sums[kLanes];
    _mm256_storeu_pd(sums, low[r]);
    _mm256_storeu_pd(sums + 4, high[r]);
    scores[r * by.outputs + output] =
        finish(rows + r * features, weights, whole, features, sums) + by.intercepts[output];
  }
}

// AVX-512 measured no faster: rows then come from the second-level cache.
template <typename Element>
[[gnu::target("avx2")]] void score_avx2(const Element* rows, std::size_t count, const Coefficients& by,
                                        double* scores) noexcept {
  constexpr std::size_t kBlock = 4;  // 8 of the 16 registers hold sums
  std::size_t r = 0;
  for (; r + kBlock <= count; r += kBlock) {
    for (std::size_t o = 0; o < by.outputs; ++o) {
      score_avx2<kBlock>(rows + r * by.features, by, o, scores + r * by.outputs);
    }
  }
  for (; r < count; ++r) {
    for (std::size_t o = 0; o < by.outputs; ++o) {
      score_avx2<1>(rows + r * by.features, by, o, scores + r * by.outputs);
    }
  }
}

#endif

constexpr std::array kKernels{
    ScoreKernel{"portable", &score_portable<double>, &score_portable<float>},
#if defined(__x86_64__)
    ScoreKernel{"avx2", &score_avx2<double>, &score_avx2<float>},
#endif
};

}  // namespace

std::span<const ScoreKernel> score_kernels() noexcept {
#if defined(__x86_64__)
  if (!__builtin_cpu_supports("avx2")) return std::span(kKernels).first(1);
#endif
  return kKernels;
}

}  // namespace penstock::executor
