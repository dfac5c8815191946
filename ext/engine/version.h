// Version: one servable version of a model: its inputs, its transforms, its executor.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "base/arena.h"
#include "base/clock.h"
#include "base/status.h"
#include "base/tensor.h"
#include "base/text_map.h"
#include "codec/infer_request.h"
#include "codec/infer_response.h"
#include "engine/counters.h"
#include "engine/inputs.h"
#include "engine/line.h"
#include "engine/schedule.h"
#include "executor/executor.h"
#include "route/route.h"
#include "transform/program.h"

namespace penstock::engine {

// What one thread needs to run one version. Owned by the version, used by one thread at a time.
struct alignas(64) Lane {
  // The rows of requests in this turn of its loop, and in the last one before that had any: see Place::kTurn.
  struct Turn {
    std::uint64_t number = 0;
    std::int64_t rows = 0;
    std::int64_t rows_before = 0;
  };

  bool serves = false;  // callers' requests, rather than runs in process: those are not counted
  Turn turn;
  std::unique_ptr<executor::Context> context;
  Counters counters;
};

// A request's inputs and outputs matched with a version's, checked. Views into the request and an arena.
struct Bound {
  std::span<const std::uint32_t> wanted;     // indices into outputs()
  std::span<const TensorView> tensors;       // without a program: the model's inputs
  std::span<const penstock_column> columns;  // with one: its columns ...
  const TensorView* matrix = nullptr;        // ... or all of them as one tensor
  std::int64_t rows = 0;
  std::int64_t first_row = 0;  // as InferRequest has it
};

// One run's results and when its stages ended.
struct Execution {
  void clear() noexcept {
    results.release();
    rows = 0;
    transformed_ns = 0;
    executed_ns = 0;
  }

  executor::Results results;
  std::int64_t rows = 0;
  std::int64_t transformed_ns = 0;
  std::int64_t executed_ns = 0;
};

// Immutable but for its lanes and its line; run by any number of threads, each with a lane of its own.
class Version {
 public:
  struct Spec {
    std::string model;
    std::string version;
    std::string digest;
    std::shared_ptr<const executor::Executor> executor;
    std::shared_ptr<const transform::Program> program;  // null: the executor's inputs are the version's
    bool matrix_passthrough =
        false;  // a `features` tensor goes to the executor as it is: the program only casts
    std::vector<std::string> empty_is_missing;
    std::int64_t max_rows = 0;
    Schedule schedule = {};
  };

  static Status make(Spec spec, std::shared_ptr<Version>* made);

  const std::string& model() const noexcept { return spec_.model; }
  const std::string& version() const noexcept { return spec_.version; }
  const std::string& digest() const noexcept { return spec_.digest; }
  const Inputs& inputs() const noexcept { return inputs_; }
  // What a request gets that names no outputs, and what is given to those alone that name it.
  std::span<const TensorSpec> outputs() const noexcept {
    return spec_.executor->outputs().first(spec_.executor->default_outputs());
  }
  std::span<const TensorSpec> optional_outputs() const noexcept {
    return spec_.executor->outputs().subspan(spec_.executor->default_outputs());
  }

  // Whether requests can share a run at all: each input and each output has the rows as its first dimension.
  bool has_rows() const noexcept { return has_rows_; }
  const Schedule& schedule() const noexcept { return spec_.schedule; }
  // Before the version is published. What is measured of a version is known only once it runs.
  void set_schedule(const Schedule& schedule) noexcept;
  // The requests that wait for the pool. Used under the pool's lock.
  Line& line() const noexcept { return line_; }

  // A lane for one more thread, for as long as the version lives. From any thread, off the request path.
  Status add_lane(bool serves, Lane** made) const;
  // The lane of the pool's worker of that number, made when it is first asked for. From any thread.
  Status worker_lane(std::size_t worker, Lane** found) const;

  // Matches and checks. INVALID_ARGUMENT says what came and what is expected.
  Status bind(const codec::InferRequest& request, Arena& arena, Bound* bound) const;
  // Transforms and executes. Results live in `arena`, in `execution` or in what was bound.
  Status execute(Lane& lane, const Bound& bound, Arena& arena, Execution* execution) const;
  // Both.
  Status run(Lane& lane, const codec::InferRequest& request, Arena& arena, Execution* execution) const;

  // Of one row of these outputs, all together; without those whose size is known only from the run.
  double row_bytes(std::span<const std::uint32_t> wanted) const noexcept;
  // The whole answer on the wire, as codec::encode_infer_response() has it. Borrowed pieces live in
  // `execution`.
  std::span<const codec::Piece> encode(const codec::InferRequest& request, route::Arm arm,
                                       const Execution& execution, std::size_t prefix, std::size_t borrow_at,
                                       bool streamed, Arena& arena) const;

  // Sums over the lanes that serve, by name; `last_unix_ms` is when the latest request was answered,
  // `waiting` how many wait for the pool.
  std::vector<std::pair<std::string, std::int64_t>> counters() const;

  struct Runs {
    std::int64_t rows;  // of the largest run that is counted here
    std::int64_t runs;
    std::int64_t transform_ns;
    std::int64_t execute_ns;
    std::int64_t encode_ns;
  };
  // The runs of the lanes that serve by their size: see Counters. Without sizes that never came.
  std::vector<Runs> runs() const;

 private:
  explicit Version(Spec spec) : spec_(std::move(spec)) {}
  Status wanted_outputs(const codec::InferRequest& request, Arena& arena,
                        std::span<const std::uint32_t>* wanted) const;

  Spec spec_;
  Inputs inputs_;
  TextMap<std::uint32_t> outputs_by_name_;
  std::vector<std::uint32_t> default_outputs_;
  std::vector<double> row_bytes_;  // of each output
  std::array<std::string, route::kArmCount> heads_;
  bool has_rows_ = false;
  mutable Line line_;

  mutable std::mutex lanes_mutex_;
  mutable std::vector<std::unique_ptr<Lane>> lanes_;
  mutable std::vector<Lane*> worker_lanes_;  // null where that worker never ran this version
};

}  // namespace penstock::engine
