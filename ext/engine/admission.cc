#include "engine/admission.h"

#include <algorithm>
#include <cstddef>
#include <string_view>
#include <variant>

#include "base/guarded.h"
#include "base/utf8.h"
#include "codec/parameters.h"
#include "codec/wire_reader.h"

namespace penstock::engine {
namespace {

// A message of more bytes is not decoded on a loop if the pool may do it: numbers that do not lie aligned are
// copied, and each string is looked at.
constexpr std::size_t kDecodeHereBytes = 256 * 1024;

bool wants_more(const Admitted& admitted) noexcept {
  const std::span<const TensorSpec> more = admitted.version->optional_outputs();
  return !more.empty() &&
         std::ranges::any_of(admitted.request.outputs, [&](const codec::RequestedOutput& output) {
           return std::ranges::find(more, output.name, &TensorSpec::name) != more.end();
         });
}

// Of the turn before; counts these to the present one.
std::int64_t rows_before(Lane& lane, std::uint64_t turn, std::int64_t rows) noexcept {
  if (lane.turn.number != turn) lane.turn = {turn, 0, lane.turn.rows};
  lane.turn.rows += rows;
  return lane.turn.rows_before;
}

// model_name, model_version, id and parameters alone. An id that is no UTF-8 is left to who decodes the rest.
Status decode_names(std::span<const std::byte> message, Arena& arena, codec::InferRequest* request) {
  constexpr std::uint32_t kModelName = codec::wire_tag(1, codec::WireType::kLength);
  constexpr std::uint32_t kModelVersion = codec::wire_tag(2, codec::WireType::kLength);
  constexpr std::uint32_t kId = codec::wire_tag(3, codec::WireType::kLength);
  constexpr std::uint32_t kParameters = codec::wire_tag(4, codec::WireType::kLength);
  *request = {};
  codec::WireReader reader(message);
  codec::WireField field;
  std::size_t parameters = 0;
  while (reader.next(&field)) {
    if (field.tag == kModelName) request->model_name = codec::as_text(field.bytes);
    if (field.tag == kModelVersion) request->model_version = codec::as_text(field.bytes);
    if (field.tag == kId && is_utf8(codec::as_text(field.bytes))) request->id = codec::as_text(field.bytes);
    if (field.tag == kParameters) ++parameters;
  }
  if (reader.failed()) return reader.error("ModelInferRequest");
  return codec::decode_parameters(codec::WireReader(message), kParameters, parameters, "ModelInferRequest",
                                  arena, &request->parameters);
}

}  // namespace

Status admit(const Snapshot& snapshot, std::size_t lane, std::uint64_t turn, const InferCall& call,
             Arena& arena, Admitted* admitted, Place* place) noexcept {
  const auto find = [&]() -> Status {
    Snapshot::Found found;
    PENSTOCK_RETURN_IF_ERROR(
        snapshot.find(admitted->request.model_name, admitted->request.model_version, &found));
    admitted->hosted = &found.hosted->version;
    admitted->version = found.hosted->version.get();
    admitted->lane = found.hosted->lanes[lane];
    admitted->arm = found.arm;
    return Status::ok();
  };
  const auto work = [&]() -> Status {
    admitted->call = call;
    admitted->started_ns = monotonic_ns();
    if (call.message.size() > kDecodeHereBytes) [[unlikely]] {
      PENSTOCK_RETURN_IF_ERROR(decode_names(call.message, arena, &admitted->request));
      PENSTOCK_RETURN_IF_ERROR(find());
      if (const Schedule& schedule = admitted->version->schedule(); schedule.uses_pool()) {
        admitted->rows = schedule.max_batch_rows;
        *place = Place::kPool;
        return Status::ok();
      }
    }
    Status status = codec::decode_infer_request(call.message, arena, &admitted->request);
    if (!status.is_ok()) {
      if (find().is_ok()) admitted->lane->counters.fail(monotonic_ns() - call.arrived_ns);
      return status;
    }
    PENSTOCK_RETURN_IF_ERROR(find());
    const Schedule& schedule = admitted->version->schedule();
    *place = Place::kHere;
    if (schedule.merges || schedule.uses_pool()) {
      admitted->rows = admitted->version->inputs().rows_of(admitted->request);
    }
    // What was measured is a run for the outputs that everybody gets.
    if (schedule.uses_pool() && (admitted->rows > schedule.inline_rows || wants_more(*admitted))) {
      *place = Place::kPool;
    } else if (schedule.shares_inline(admitted->rows) &&
               rows_before(*admitted->lane, turn, admitted->rows) >= schedule.min_batch_rows) {
      *place = Place::kTurn;
    }
    admitted->decoded_ns = monotonic_ns();
    return Status::ok();
  };
  return guarded(work, kNoMemory);
}

Status admit(const Version& version, Lane& lane, const InferCall& call, Arena& arena,
             Admitted* admitted) noexcept {
  const auto work = [&]() -> Status {
    admitted->call = call;
    admitted->version = &version;
    admitted->lane = &lane;
    admitted->started_ns = monotonic_ns();
    PENSTOCK_RETURN_IF_ERROR(codec::decode_infer_request(call.message, arena, &admitted->request));
    admitted->decoded_ns = monotonic_ns();
    return Status::ok();
  };
  return guarded(work, kNoMemory);
}

std::int64_t deadline_of(const Admitted& admitted) noexcept {
  const InferCall& call = admitted.call;
  std::int64_t deadline = call.deadline_ns;
  for (const codec::Parameter& parameter : admitted.request.parameters) {
    if (parameter.name != "timeout") continue;
    const auto* timeout = std::get_if<std::int64_t>(&parameter.value);
    if (timeout == nullptr || *timeout <= 0) continue;
    if (*timeout < (kNoDeadline - call.arrived_ns) / 1000) {
      deadline = std::min(deadline, call.arrived_ns + *timeout * 1000);
    }
  }
  return deadline;
}

}  // namespace penstock::engine
