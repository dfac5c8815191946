// Gate: a model whose runs wait until they are let through.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "engine/row_sums.h"
#include "engine/schedule.h"
#include "engine/version.h"

namespace penstock::engine::testing {

// A model that waits in its run for as long as the gate is shut, and says who ran.
struct Gate {
  void pass(std::int64_t rows) {
    std::unique_lock lock(mutex);
    runs.push_back(rows);
    changed.notify_all();
    changed.wait_for(lock, std::chrono::seconds(20), [&] { return open || tickets > 0; });
    if (tickets > 0) --tickets;
  }
  // Lets one run through.
  void admit_one() {
    const std::lock_guard lock(mutex);
    ++tickets;
    changed.notify_all();
  }
  void set(bool now_open) {
    const std::lock_guard lock(mutex);
    open = now_open;
    changed.notify_all();
  }
  bool wait_for_runs(std::size_t count) {
    std::unique_lock lock(mutex);
    return changed.wait_for(lock, std::chrono::seconds(20), [&] { return runs.size() >= count; });
  }
  std::vector<std::int64_t> seen() {
    const std::lock_guard lock(mutex);
    return runs;
  }

  std::mutex mutex;
  std::condition_variable changed;
  bool open = false;
  std::size_t tickets = 0;
  std::vector<std::int64_t> runs;  // their rows
};

inline std::shared_ptr<Version> gated(Gate& gate, const Schedule& schedule, std::string name = "1") {
  auto model = std::make_shared<RowSums>();
  model->at_run = [&gate](std::int64_t rows) { gate.pass(rows); };
  const std::shared_ptr<Version> version = version_of(std::move(model), std::move(name));
  version->set_schedule(schedule);
  return version;
}

}  // namespace penstock::engine::testing
