// Route: which of a model's versions answers a request. Pure: no clocks, no locks, no versions, just their
// indices.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "base/text_map.h"

namespace penstock::route {

// Why a version was picked; travels in the answer as `penstock_arm`.
enum class Arm : std::uint8_t { kStable = 0, kPinned = 1 };
inline constexpr std::size_t kArmCount = 2;

constexpr std::string_view arm_name(Arm arm) { return arm == Arm::kStable ? "stable" : "pinned"; }

struct Choice {
  std::uint32_t version = 0;  // index into the model's versions
  Arm arm = Arm::kStable;
};

// Immutable once made; read by any number of threads.
class Route {
 public:
  Route() = default;

  // `stable` is the version that "" picks ("" for none); `aliases` maps further names to versions.
  // INVALID_ARGUMENT for a repeated version, an alias that is also a version, or a name that stands for no
  // version.
  static Status make(const std::vector<std::string>& versions, std::string_view stable,
                     const std::vector<std::pair<std::string, std::string>>& aliases, Route* made);

  // The version for a request's model_version: "" is the stable one, the alias `stable` too; anything else is
  // pinned. Nothing where no version has that name.
  std::optional<Choice> pick(std::string_view requested) const noexcept;

  // The names that pick() knows, in natural order, for messages: "2, 10, champion".
  std::string known() const;

 private:
  TextMap<Choice> names_;
  std::optional<Choice> stable_;
};

}  // namespace penstock::route
