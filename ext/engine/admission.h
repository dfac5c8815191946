// Admission: one ModelInferRequest decoded, the version that answers it, and where it is to run.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "base/arena.h"
#include "base/clock.h"
#include "base/status.h"
#include "codec/infer_request.h"
#include "engine/snapshot.h"
#include "engine/version.h"

namespace penstock::engine {

inline constexpr std::string_view kNoMemory = "out of memory for this request; send fewer rows at once";

// What came in: `message` is without gRPC's prefix. Times are monotonic nanoseconds.
struct InferCall {
  std::span<const std::byte> message;
  std::int64_t arrived_ns = 0;  // when the last byte of it was read
  std::int64_t deadline_ns = kNoDeadline;
  bool framed = false;    // with gRPC's prefix before the answer
  bool streamed = false;  // as one message of ModelStreamInfer
};

// A request whose version is known, before it runs. Lives as long as the message, the arena that it was
// decoded in and whatever keeps the version.
struct Admitted {
  InferCall call;
  codec::InferRequest request;
  const Version* version = nullptr;
  const std::shared_ptr<const Version>* hosted = nullptr;  // the same, to share in
  Lane* lane = nullptr;
  route::Arm arm = route::Arm::kPinned;
  std::int64_t rows = 0;        // as the request says, which nobody has checked
  std::int64_t started_ns = 0;  // when decoding began ...
  std::int64_t decoded_ns = 0;  // ... and ended
};

// Where a request runs.
enum class Place : unsigned char {
  kHere,  // on the loop that read it, at once
  // There too, together with what else that loop reads in the same turn. So where its last turn brought rows
  // enough for a shared run: who comes alone waits for nobody.
  kTurn,
  kPool,
};

// Decodes, picks the version from `snapshot` and lane `lane` of it, and says where the request is to run;
// `turn` is the number of the loop's turn. Of a message so large that decoding it would hold up a loop, and
// that the pool is to run, only names and parameters are decoded. What is refused counts as a failure of the
// version that it names, if that is known. Never throws; RESOURCE_EXHAUSTED when memory ran out.
Status admit(const Snapshot& snapshot, std::size_t lane, std::uint64_t turn, const InferCall& call,
             Arena& arena, Admitted* admitted, Place* place) noexcept;

// The caller's deadline: the call's, or the reserved request parameter `timeout` (int64 microseconds) if that
// is nearer.
std::int64_t deadline_of(const Admitted& admitted) noexcept;

// Decodes a request to `version`, whatever is published.
Status admit(const Version& version, Lane& lane, const InferCall& call, Arena& arena,
             Admitted* admitted) noexcept;

}  // namespace penstock::engine
