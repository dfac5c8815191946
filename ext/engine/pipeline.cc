#include "engine/pipeline.h"

#include <algorithm>
#include <cstdint>
#include <functional>
#include <string>

#include "base/guarded.h"
#include "codec/grpc_message.h"

namespace penstock::engine {
namespace {

// Raw contents of this size and more go to the socket from where the model put them.
constexpr std::size_t kBorrowBytes = 4096;
constexpr std::string_view kNoMemory = "out of memory for this request; send fewer rows at once";

Status expired(std::string_view when, std::int64_t by_ns) {
  return {Code::kDeadlineExceeded,
          "the deadline passed " + std::string(when) + " (" + std::to_string(by_ns / 1000) + " us ago)"};
}

// The caller's deadline: grpc-timeout, or the reserved request parameter `timeout` (int64 microseconds) if it
// is nearer.
std::int64_t deadline_of(const InferCall& call, const codec::InferRequest& request) noexcept {
  std::int64_t deadline = call.deadline_ns;
  for (const codec::Parameter& parameter : request.parameters) {
    if (parameter.name != "timeout") continue;
    const auto* timeout = std::get_if<std::int64_t>(&parameter.value);
    if (timeout == nullptr || *timeout <= 0) continue;
    if (*timeout < (kNoDeadline - call.arrived_ns) / 1000) {
      deadline = std::min(deadline, call.arrived_ns + *timeout * 1000);
    }
  }
  return deadline;
}

// Whether a result is one of the request's own tensors, where they came: a model may hand an input on as an
// output, and the receive buffer is used again before the answer is sent.
bool lies_in(std::span<const std::byte> message, std::span<const TensorView> results) noexcept {
  const std::less_equal<const void*> not_after;
  return std::ranges::any_of(results, [&](const TensorView& tensor) {
    return not_after(message.data(), tensor.data) && not_after(tensor.data, message.data() + message.size());
  });
}

Status run_and_encode(const Version& version, Lane& lane, route::Arm arm, const InferCall& call,
                      std::int64_t started, const codec::InferRequest& request, Arena& arena,
                      InferAnswer* answer) {
  const std::int64_t deadline = deadline_of(call, request);
  const std::int64_t decoded = monotonic_ns();
  if (decoded >= deadline) return expired("before the model ran", decoded - deadline);

  PENSTOCK_RETURN_IF_ERROR(version.run(lane, request, arena, &answer->execution));
  if (answer->execution.executed_ns >= deadline) {
    return expired("while the model ran", answer->execution.executed_ns - deadline);
  }
  const std::size_t borrow_at =
      lies_in(call.message, answer->execution.results.tensors) ? SIZE_MAX : kBorrowBytes;
  answer->pieces = version.encode(request, arm, answer->execution, call.framed ? codec::kPrefixBytes : 0,
                                  borrow_at, call.streamed, arena);
  if (answer->pieces.empty()) {
    return {Code::kResourceExhausted,
            "the answer would be larger than a protobuf message can be (2 GiB); "
            "send fewer rows at once"};
  }
  answer->bytes = 0;
  for (const codec::Piece& piece : answer->pieces) answer->bytes += piece.bytes.size();

  const std::int64_t encoded = monotonic_ns();
  Counters& counters = lane.counters;
  counters.requests.add(1);
  counters.rows.add(answer->execution.rows);
  counters.executions.add(1);
  counters.request_ns.add(encoded - call.arrived_ns);
  counters.queue_ns.add(started - call.arrived_ns);
  counters.decode_ns.add(decoded - started);
  counters.transform_ns.add(answer->execution.transformed_ns - decoded);
  counters.execute_ns.add(answer->execution.executed_ns - answer->execution.transformed_ns);
  counters.encode_ns.add(encoded - answer->execution.executed_ns);
  counters.last_ns.set(encoded);
  return Status::ok();
}

Status counted(const Version& version, Lane& lane, route::Arm arm, const InferCall& call,
               std::int64_t started, const codec::InferRequest& request, Arena& arena, InferAnswer* answer) {
  Status status = run_and_encode(version, lane, arm, call, started, request, arena, answer);
  if (!status.is_ok()) {
    lane.counters.failures.add(1);
    lane.counters.failure_ns.add(monotonic_ns() - call.arrived_ns);
  }
  return status;
}

}  // namespace

Status infer(const Snapshot& snapshot, std::size_t lane, const InferCall& call, Arena& arena,
             InferAnswer* answer) noexcept {
  const auto work = [&]() -> Status {
    const std::int64_t started = monotonic_ns();
    codec::InferRequest request;
    PENSTOCK_RETURN_IF_ERROR(codec::decode_infer_request(call.message, arena, &request));
    answer->id = request.id;
    Snapshot::Found found;
    PENSTOCK_RETURN_IF_ERROR(snapshot.find(request.model_name, request.model_version, &found));
    const Hosted& hosted = *found.hosted;
    answer->hosted = &hosted.version;
    return counted(*hosted.version, *hosted.lanes[lane], found.arm, call, started, request, arena, answer);
  };
  return guarded(work, kNoMemory);
}

Status infer(const Version& version, Lane& lane, const InferCall& call, Arena& arena,
             InferAnswer* answer) noexcept {
  const auto work = [&]() -> Status {
    const std::int64_t started = monotonic_ns();
    codec::InferRequest request;
    PENSTOCK_RETURN_IF_ERROR(codec::decode_infer_request(call.message, arena, &request));
    answer->id = request.id;
    return counted(version, lane, route::Arm::kPinned, call, started, request, arena, answer);
  };
  return guarded(work, kNoMemory);
}

}  // namespace penstock::engine
