#include "engine/version.h"

#include <algorithm>
#include <chrono>
#include <utility>

namespace penstock::engine {
namespace {

// A moment of the monotonic clock as milliseconds since 1970; 0 stays 0.
std::int64_t unix_ms(std::int64_t monotonic) noexcept {
  using namespace std::chrono;
  if (monotonic == 0) return 0;
  const auto then = system_clock::now() - nanoseconds(monotonic_ns() - monotonic);
  return duration_cast<milliseconds>(then.time_since_epoch()).count();
}

double bytes_of_row(const TensorSpec& tensor) noexcept {
  if (tensor.shape.empty() || tensor.shape[0] != -1) return 0;
  auto bytes = static_cast<double>(datatype_size(tensor.dtype));
  for (std::size_t d = 1; d < tensor.shape.size(); ++d) {
    bytes *= static_cast<double>(std::max<std::int64_t>(tensor.shape[d], 0));
  }
  return bytes;
}

}  // namespace

Status Version::make(Spec spec, std::shared_ptr<Version>* made) {
  const bool columns = spec.program != nullptr;
  const std::span<const TensorSpec> wants = spec.executor->inputs();
  if (columns) {
    const std::span<const TensorSpec> gives = spec.program->outputs();
    if (gives.size() != wants.size()) {
      return invalid_argument("the transforms make " + std::to_string(gives.size()) +
                              " tensors, the model takes " + std::to_string(wants.size()));
    }
    for (std::size_t i = 0; i < gives.size(); ++i) {
      bool fits = gives[i].dtype == wants[i].dtype && gives[i].shape.size() == wants[i].shape.size();
      for (std::size_t d = 1; fits && d < wants[i].shape.size(); ++d) {
        fits = wants[i].shape[d] == -1 || wants[i].shape[d] == gives[i].shape[d];
      }
      if (!fits) {
        return invalid_argument("the transforms make " + describe(gives[i].dtype, gives[i].shape) +
                                ", the model's input '" + wants[i].name + "' takes " +
                                describe(wants[i].dtype, wants[i].shape));
      }
    }
  } else if (spec.matrix_passthrough) {
    return invalid_argument("matrix_passthrough needs a program");
  }

  std::shared_ptr<Version> version(new Version(std::move(spec)));
  const Spec& kept = version->spec_;
  PENSTOCK_RETURN_IF_ERROR(Inputs::make(columns ? kept.program->inputs() : kept.executor->inputs(), columns,
                                        kept.empty_is_missing, kept.max_rows, &version->inputs_));
  const std::span<const TensorSpec> outputs = kept.executor->outputs();
  for (std::uint32_t i = 0; i < outputs.size(); ++i) {
    version->outputs_by_name_.emplace(outputs[i].name, i);
    version->row_bytes_.push_back(bytes_of_row(outputs[i]));
    if (i < kept.executor->default_outputs()) version->default_outputs_.push_back(i);
  }
  const auto by_row = [](const TensorSpec& tensor) { return !tensor.shape.empty() && tensor.shape[0] == -1; };
  version->has_rows_ =
      std::ranges::all_of(version->inputs_.specs(), by_row) && std::ranges::all_of(outputs, by_row);
  version->set_schedule(kept.schedule);
  for (std::size_t arm = 0; arm < route::kArmCount; ++arm) {
    const std::array<codec::Parameter, 2> parameters{
        {{"penstock_arm", route::arm_name(static_cast<route::Arm>(arm))},
         {"penstock_digest", std::string_view(kept.digest)}}};
    version->heads_[arm] = codec::encode_response_head(kept.model, kept.version, parameters);
  }
  *made = std::move(version);
  return Status::ok();
}

void Version::set_schedule(const Schedule& schedule) noexcept {
  spec_.schedule = schedule;
  if (!has_rows_) spec_.schedule.merges = false;
}

Status Version::add_lane(bool serves, Lane** made) const {
  auto lane = std::make_unique<Lane>();
  lane->serves = serves;
  PENSTOCK_RETURN_IF_ERROR(spec_.executor->make_context(&lane->context));
  const std::lock_guard lock(lanes_mutex_);
  lanes_.push_back(std::move(lane));
  *made = lanes_.back().get();
  return Status::ok();
}

Status Version::worker_lane(std::size_t worker, Lane** found) const {
  {
    const std::lock_guard lock(lanes_mutex_);
    if (worker < worker_lanes_.size() && worker_lanes_[worker] != nullptr) {
      *found = worker_lanes_[worker];
      return Status::ok();
    }
  }
  PENSTOCK_RETURN_IF_ERROR(add_lane(true, found));
  const std::lock_guard lock(lanes_mutex_);
  if (worker >= worker_lanes_.size()) worker_lanes_.resize(worker + 1);
  worker_lanes_[worker] = *found;
  return Status::ok();
}

Status Version::wanted_outputs(const codec::InferRequest& request, Arena& arena,
                               std::span<const std::uint32_t>* wanted) const {
  if (request.outputs.empty()) {
    *wanted = default_outputs_;
    return Status::ok();
  }
  const std::span<std::uint32_t> picked = arena.uninitialised<std::uint32_t>(request.outputs.size());
  const std::span<bool> seen = arena.array<bool>(spec_.executor->outputs().size());
  for (std::size_t i = 0; i < request.outputs.size(); ++i) {
    const codec::RequestedOutput& output = request.outputs[i];
    const auto found = outputs_by_name_.find(output.name);
    if (found == outputs_by_name_.end()) {
      std::string expected;
      for (const TensorSpec& spec : spec_.executor->outputs()) {
        expected += (expected.empty() ? "" : ", ") + spec.name;
      }
      return invalid_argument("output '" + std::string(output.name.substr(0, 200)) +
                              "' is not one of this model's; expected: " + expected);
    }
    if (std::exchange(seen[found->second], true)) {
      return invalid_argument("output '" + std::string(output.name) +
                              "' is asked for twice; each is expected once");
    }
    for (const codec::Parameter& parameter : output.parameters) {
      if (parameter.name == "classification") {
        return invalid_argument(
            "output '" + std::string(output.name) +
            "': the parameter 'classification' is not offered; ask for the scores and rank them");
      }
    }
    picked[i] = found->second;
  }
  *wanted = picked;
  return Status::ok();
}

Status Version::bind(const codec::InferRequest& request, Arena& arena, Bound* bound) const {
  PENSTOCK_RETURN_IF_ERROR(wanted_outputs(request, arena, &bound->wanted));
  bound->first_row = request.first_row;
  if (spec_.program == nullptr) return inputs_.bind_tensors(request, arena, &bound->tensors, &bound->rows);
  return inputs_.bind_columns(request, arena, &bound->columns, &bound->matrix, &bound->rows);
}

Status Version::execute(Lane& lane, const Bound& bound, Arena& arena, Execution* execution) const {
  execution->rows = bound.rows;
  std::span<const TensorView> tensors = bound.tensors;
  if (bound.matrix != nullptr && spec_.matrix_passthrough) {
    tensors = {bound.matrix, 1};
  } else if (spec_.program != nullptr) {
    std::span<const penstock_column> columns = bound.columns;
    if (bound.matrix != nullptr) {
      PENSTOCK_RETURN_IF_ERROR(inputs_.split_matrix(*bound.matrix, arena, &columns));
    }
    PENSTOCK_RETURN_IF_ERROR(spec_.program->run(columns, bound.rows, arena, &tensors, bound.first_row));
  }
  execution->transformed_ns = monotonic_ns();
  PENSTOCK_RETURN_IF_ERROR(
      spec_.executor->run(*lane.context, tensors, bound.wanted, arena, &execution->results));
  execution->executed_ns = monotonic_ns();
  return Status::ok();
}

Status Version::run(Lane& lane, const codec::InferRequest& request, Arena& arena,
                    Execution* execution) const {
  Bound bound;
  PENSTOCK_RETURN_IF_ERROR(bind(request, arena, &bound));
  return execute(lane, bound, arena, execution);
}

double Version::row_bytes(std::span<const std::uint32_t> wanted) const noexcept {
  double bytes = 0;
  for (const std::uint32_t output : wanted) bytes += row_bytes_[output];
  return bytes;
}

std::span<const codec::Piece> Version::encode(const codec::InferRequest& request, route::Arm arm,
                                              const Execution& execution, std::size_t prefix,
                                              std::size_t borrow_at, bool streamed, Arena& arena) const {
  const std::string& head = heads_[static_cast<std::size_t>(arm)];
  codec::InferResponse response;
  response.head = std::as_bytes(std::span(head));
  response.id = request.id;
  response.outputs = execution.results.tensors;
  response.raw = request.raw;
  response.stream = streamed;
  return codec::encode_infer_response(response, prefix, borrow_at, arena);
}

std::vector<std::pair<std::string, std::int64_t>> Version::counters() const {
  std::vector<std::pair<std::string, std::int64_t>> sums;
  std::int64_t last = 0;
  Counters none;
  none.each([&](const char* name, const Tally&) { sums.emplace_back(name, 0); });
  const std::lock_guard lock(lanes_mutex_);
  for (const std::unique_ptr<Lane>& lane : lanes_) {
    if (!lane->serves) continue;
    std::size_t i = 0;
    lane->counters.each([&](const char*, const Tally& tally) { sums[i++].second += tally.get(); });
    last = std::max(last, lane->counters.last_ns.get());
  }
  sums.emplace_back("last_unix_ms", unix_ms(last));
  sums.emplace_back("waiting", line_.waiting());
  return sums;
}

std::vector<Version::Runs> Version::runs() const {
  std::vector<Runs> found;
  const std::lock_guard lock(lanes_mutex_);
  for (std::size_t size = 0; size < Counters::kRunSizes; ++size) {
    Runs sum{std::int64_t{1} << size, 0, 0, 0, 0};
    for (const std::unique_ptr<Lane>& lane : lanes_) {
      if (!lane->serves) continue;
      const RunTally& tally = lane->counters.runs[size];
      sum.runs += tally.runs.get();
      sum.transform_ns += tally.transform_ns.get();
      sum.execute_ns += tally.execute_ns.get();
      sum.encode_ns += tally.encode_ns.get();
    }
    if (sum.runs > 0) found.push_back(sum);
  }
  return found;
}

}  // namespace penstock::engine
