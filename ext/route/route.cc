#include "route/route.h"

#include <algorithm>

namespace penstock::route {
namespace {

bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }

// Takes the run of digits, or of other characters, that `text` begins with.
std::string_view take_run(std::string_view* text, bool of_digits) noexcept {
  const auto end = std::ranges::find_if(*text, [&](char c) { return is_digit(c) != of_digits; });
  const std::string_view run = text->substr(0, static_cast<std::size_t>(end - text->begin()));
  text->remove_prefix(run.size());
  return run;
}

// Runs of digits are numbers: "9" comes before "10". As version_order() of repository/policy.py has it.
bool naturally_before(std::string_view left, std::string_view right) noexcept {
  const std::string_view whole_left = left;
  const std::string_view whole_right = right;
  for (bool digits = false; !left.empty() && !right.empty(); digits = !digits) {
    std::string_view a = take_run(&left, digits);
    std::string_view b = take_run(&right, digits);
    if (digits) {
      a.remove_prefix(std::min(a.find_first_not_of('0'), a.size()));
      b.remove_prefix(std::min(b.find_first_not_of('0'), b.size()));
      if (a.size() != b.size()) return a.size() < b.size();
    }
    if (a != b) return a < b;
  }
  if (left.empty() != right.empty()) return left.empty();
  return whole_left < whole_right;
}

}  // namespace

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
  std::ranges::sort(names, naturally_before);
  std::string text;
  for (const std::string_view name : names) {
    if (!text.empty()) text += ", ";
    text += name;
  }
  return text;
}

}  // namespace penstock::route
