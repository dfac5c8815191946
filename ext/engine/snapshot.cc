#include "engine/snapshot.h"

namespace penstock::engine {

Status Snapshot::find(std::string_view model, std::string_view version, Found* found) const {
  const auto entry = models.find(model);
  if (entry == models.end()) {
    return {Code::kNotFound,
            "model '" + std::string(model) + "' is not hosted here; RepositoryIndex lists what is"};
  }
  const Model& known = entry->second;
  const std::optional<route::Choice> choice = known.route.pick(version);
  if (!choice) {
    if (version.empty()) {
      return {Code::kUnavailable, "model '" + std::string(model) + "' has no version ready" +
                                      (known.hosted.empty() ? "" : ": " + known.hosted.back().reason)};
    }
    return {Code::kNotFound, "model '" + std::string(model) + "' has no version or alias '" +
                                 std::string(version) + "'; it has " + known.route.known()};
  }
  const Hosted& hosted = known.hosted[choice->version];
  if (!hosted.version) {
    return {Code::kUnavailable, "model '" + std::string(model) + "' version '" + hosted.name +
                                    "' is not ready: " + hosted.reason};
  }
  *found = {&hosted, choice->arm};
  return Status::ok();
}

}  // namespace penstock::engine
