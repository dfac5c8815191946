#include "route/route.h"

#include <algorithm>

namespace penstock::route {

Status Route::make(const std::vector<std::string>& versions, std::string_view stable,
                   const std::vector<std::pair<std::string, std::string>>& aliases, Route* made) {
  Route route;
  for (std::uint32_t i = 0; i < versions.size(); ++i) {
    if (!route.names_.emplace(versions[i], Choice{i, Arm::kPinned}).second) {
      return invalid_argument("version '" + versions[i] + "' is listed twice");
    }
  }
  for (const auto& [alias, version] : aliases) {
    const auto target = std::find(versions.begin(), versions.end(), version);
    if (target == versions.end()) {
      return invalid_argument("alias '" + alias + "' stands for version '" + version +
                              "', which is not listed");
    }
    const auto index = static_cast<std::uint32_t>(target - versions.begin());
    const Arm arm = alias == "stable" ? Arm::kStable : Arm::kPinned;
    if (!route.names_.emplace(alias, Choice{index, arm}).second) {
      return invalid_argument("alias '" + alias + "' is already the name of a version or of another alias");
    }
  }
  if (!stable.empty()) {
    const auto found = route.names_.find(stable);
    if (found == route.names_.end()) {
      return invalid_argument("the stable version '" + std::string(stable) + "' is not listed");
    }
    route.stable_ = Choice{found->second.version, Arm::kStable};
  }
  *made = std::move(route);
  return Status::ok();
}

std::optional<Choice> Route::pick(std::string_view requested) const noexcept {
  if (requested.empty()) return stable_;
  const auto found = names_.find(requested);
  if (found == names_.end()) return std::nullopt;
  return found->second;
}

std::string Route::known() const {
  std::vector<std::string_view> names;
  names.reserve(names_.size());
  for (const auto& [name, choice] : names_) names.push_back(name);
  std::sort(names.begin(), names.end());
  std::string text;
  for (const std::string_view name : names) {
    if (!text.empty()) text += ", ";
    text += name;
  }
  return text;
}

}  // namespace penstock::route
