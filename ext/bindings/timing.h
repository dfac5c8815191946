// Timing: what one run of a program or a version takes, without Python in the measured part. For benchmarks,
// and for tests that count what a run allocates. No exceptions come out.
#pragma once

#include <cstdint>
#include <span>

#include "base/arena.h"
#include "base/clock.h"
#include "base/guarded.h"
#include "base/status.h"
#include "bindings/batch.h"
#include "bindings/serving.h"
#include "transform/program.h"

namespace penstock::bindings {

// Runs the program `count` times on decoded columns; durations[i] is what run i took, in nanoseconds.
inline Status time_program(const transform::Program& program, const Batch& batch, std::int64_t rows,
                           std::int64_t* durations, std::int64_t count) noexcept {
  return guarded([&]() -> Status {
    const std::vector<penstock_column> columns = batch.columns();
    Arena arena;
    for (std::int64_t i = 0; i < count; ++i) {
      arena.reset();
      std::span<const TensorView> made;
      const std::int64_t started = monotonic_ns();
      PENSTOCK_RETURN_IF_ERROR(program.run(columns, rows, arena, &made));
      durations[i] = monotonic_ns() - started;
    }
    return Status::ok();
  });
}

// The same of a version, from decoded tensors to the model's outputs.
inline Status time_version(Workspace& workspace, const Batch& batch, std::int64_t* durations,
                           std::int64_t count) noexcept {
  return guarded([&]() -> Status {
    const codec::InferRequest request = batch.request();
    for (std::int64_t i = 0; i < count; ++i) {
      workspace.execution.clear();
      workspace.arena.reset();
      const std::int64_t started = monotonic_ns();
      PENSTOCK_RETURN_IF_ERROR(
          workspace.version->run(*workspace.lane, request, workspace.arena, &workspace.execution));
      durations[i] = monotonic_ns() - started;
    }
    return Status::ok();
  });
}

}  // namespace penstock::bindings
