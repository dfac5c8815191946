// Shared: what all loops of a server have in common.
#pragma once

#include <atomic>
#include <memory>

#include "base/published.h"
#include "engine/pool.h"
#include "engine/snapshot.h"
#include "net/bridge.h"
#include "net/budget.h"
#include "net/method.h"
#include "net/options.h"

namespace penstock::net {

// Outlives the loops. Constant but for what is published.
struct Shared {
  explicit Shared(Options given)
      : options(std::move(given)), methods(options.bridged), budget(options.max_total_buffered_bytes) {}

  const Options options;
  const Methods methods;
  Budget budget;
  Published<engine::Snapshot> snapshot;
  std::atomic<bool> draining{false};
  std::shared_ptr<Bridge> bridge;
  std::unique_ptr<engine::Pool> pool;  // from before the first connection on; null without a server, in tests
};

}  // namespace penstock::net
