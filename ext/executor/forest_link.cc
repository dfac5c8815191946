#include "executor/forest_link.h"

#include <array>
#include <cmath>
#include <limits>
#include <string>
#include <string_view>

namespace penstock::executor {

struct ForestLink::Known {
  std::string_view name;
  Kind kind;
};

namespace {

// The C library's exponential, not executor/exponential.h: LightGBM's answers come from it, and these are to
// have their bits.
void softmax(std::span<double> sums) noexcept {
  double largest = -std::numeric_limits<double>::infinity();
  for (const double sum : sums) largest = sum > largest ? sum : largest;
  double total = 0;
  for (double& sum : sums) {
    sum = std::exp(sum - largest);
    total += sum;
  }
  for (double& sum : sums) sum /= total;
}

void normalise(std::span<double> sums) noexcept {
  double total = 0;
  for (const double sum : sums) total += sum;
  for (double& sum : sums) sum /= total;
}

template <typename Work>
void each(std::span<double> values, Work&& work) noexcept {
  for (double& value : values) value = work(value);
}

}  // namespace

Status ForestLink::make(const Link& link, std::size_t outputs, ForestLink* made) {
  static constexpr std::array<Known, 8> kLinks{{{"identity", Kind::kIdentity},
                                                {"sigmoid", Kind::kSigmoid},
                                                {"softmax", Kind::kSoftmax},
                                                {"exponential", Kind::kExponential},
                                                {"softplus", Kind::kSoftplus},
                                                {"signed_square", Kind::kSignedSquare},
                                                {"hinge", Kind::kHinge},
                                                {"normalised", Kind::kNormalised}}};
  if (!std::isfinite(link.scale) || !(link.scale > 0)) {
    return invalid_argument("a forest's link has the scale " + std::to_string(link.scale) +
                            "; a finite number above 0 is expected");
  }
  std::string expected;
  for (const Known& known : kLinks) {
    expected += (expected.empty() ? "" : ", ") + std::string(known.name);
    if (known.name != link.name) continue;
    if ((known.kind == Kind::kSoftmax || known.kind == Kind::kNormalised) && outputs < 2) {
      return invalid_argument("a forest of link '" + link.name + "' has one output; expected two or more");
    }
    made->kind_ = known.kind;
    made->scale_ = link.scale;
    made->outputs_ = outputs;
    return Status::ok();
  }
  return invalid_argument("a forest has no link '" + link.name + "'; expected one of " + expected);
}

void ForestLink::apply(std::span<double> sums) const noexcept {
  switch (kind_) {
    case Kind::kIdentity:
      return;
    case Kind::kSigmoid:
      return each(sums, [this](double s) { return 1.0 / (1.0 + std::exp(-scale_ * s)); });
    case Kind::kExponential:
      return each(sums, [](double s) { return std::exp(s); });
    case Kind::kSoftplus:
      return each(sums, [](double s) { return std::log1p(std::exp(s)); });
    case Kind::kSignedSquare:
      return each(sums, [](double s) { return s * std::fabs(s); });
    case Kind::kHinge:
      return each(sums, [](double s) { return s > 0 ? 1.0 : 0.0; });
    case Kind::kSoftmax:
    case Kind::kNormalised:
      for (std::size_t i = 0; i < sums.size(); i += outputs_) {
        const std::span<double> row = sums.subspan(i, outputs_);
        kind_ == Kind::kSoftmax ? softmax(row) : normalise(row);
      }
  }
}

}  // namespace penstock::executor
