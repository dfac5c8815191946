// What turns the sums of a forest's leaves into predictions (Link of executor/forest.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/status.h"
#include "executor/forest.h"

namespace penstock::executor {

class ForestLink {
 public:
  // INVALID_ARGUMENT for an unknown name, a scale that is not finite and above 0, or outputs that it does not
  // fit.
  static Status make(const Link& link, std::size_t outputs, ForestLink* made);

  // In place: [rows, outputs].
  void apply(std::span<double> sums) const noexcept;

 private:
  enum class Kind : std::uint8_t {
    kIdentity,
    kSigmoid,
    kSoftmax,
    kExponential,
    kSoftplus,
    kSignedSquare,
    kHinge,
    kNormalised,
  };
  struct Known;

  Kind kind_ = Kind::kIdentity;
  double scale_ = 1;
  std::size_t outputs_ = 1;
};

}  // namespace penstock::executor
