// Snapshot: everything that is served at one moment. Immutable; published whole.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "base/text_map.h"
#include "engine/version.h"
#include "route/route.h"

namespace penstock::engine {

struct Hosted {
  std::string name;                        // the version's
  std::shared_ptr<const Version> version;  // null: known, not ready
  std::string reason;                      // why not
  std::vector<Lane*> lanes;                // one a serving thread
};

struct Model {
  route::Route route;
  std::vector<Hosted> hosted;  // in the order of the route's indices
};

struct Snapshot {
  TextMap<Model> models;
  bool ready = false;  // ServerReady

  struct Found {
    const Hosted* hosted = nullptr;
    route::Arm arm = route::Arm::kStable;
  };

  // NOT_FOUND for an unknown model or version; UNAVAILABLE, with the reason, for one that is known but not
  // ready.
  Status find(std::string_view model, std::string_view version, Found* found) const;
};

}  // namespace penstock::engine
