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
#include "executor/executor.h"
#include "route/route.h"
#include "transform/program.h"

namespace penstock::engine {

// What one thread needs to run one version. Owned by the version, used by one thread at a time.
struct alignas(64) Lane {
  bool serves = false;  // callers' requests, rather than runs in process: those are not counted
  std::unique_ptr<executor::Context> context;
  Counters counters;
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

// Immutable but for its lanes; run by any number of threads, each with a lane of its own.
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
  };

  static Status make(Spec spec, std::shared_ptr<Version>* made);

  const std::string& model() const noexcept { return spec_.model; }
  const std::string& version() const noexcept { return spec_.version; }
  const std::string& digest() const noexcept { return spec_.digest; }
  const Inputs& inputs() const noexcept { return inputs_; }
  std::span<const TensorSpec> outputs() const noexcept { return spec_.executor->outputs(); }

  // A lane for one more thread, for as long as the version lives. From any thread, off the request path.
  Status add_lane(bool serves, Lane** made) const;

  // Binds, transforms and executes. Results live in `arena`, in `execution` or in the request.
  Status run(Lane& lane, const codec::InferRequest& request, Arena& arena, Execution* execution) const;

  // The whole answer on the wire, as codec::encode_infer_response() has it. Borrowed pieces live in
  // `execution`.
  std::span<const codec::Piece> encode(const codec::InferRequest& request, route::Arm arm,
                                       const Execution& execution, std::size_t prefix, std::size_t borrow_at,
                                       bool streamed, Arena& arena) const;

  // Sums over the lanes that serve, by name; `last_unix_ms` is when the latest request was answered.
  std::vector<std::pair<std::string, std::int64_t>> counters() const;

 private:
  explicit Version(Spec spec) : spec_(std::move(spec)) {}
  Status wanted_outputs(const codec::InferRequest& request, Arena& arena,
                        std::span<const std::uint32_t>* wanted) const;

  Spec spec_;
  Inputs inputs_;
  TextMap<std::uint32_t> outputs_by_name_;
  std::vector<std::uint32_t> all_outputs_;
  std::array<std::string, route::kArmCount> heads_;

  mutable std::mutex lanes_mutex_;
  mutable std::vector<std::unique_ptr<Lane>> lanes_;
};

}  // namespace penstock::engine
