// Pipeline: one ModelInferRequest from its bytes to the bytes of its answer, on the thread that calls.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "base/arena.h"
#include "base/clock.h"
#include "base/status.h"
#include "codec/infer_request.h"
#include "codec/infer_response.h"
#include "engine/snapshot.h"
#include "engine/version.h"

namespace penstock::engine {

// What came in: `message` is without gRPC's prefix and must outlive the answer's `id`. Times are monotonic
// nanoseconds.
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

// What goes out. The pieces live in the arena or in `execution`, `id` in the message.
struct InferAnswer {
  // As new, but for the room that it has. Before the arena is reset, and the version let go.
  void clear() noexcept {
    pieces = {};
    bytes = 0;
    id = {};
    hosted = nullptr;
    execution.clear();
    version.reset();
  }

  // Takes a share of the version where a piece may be the model's memory. Only for an answer that is kept:
  // the count of shares is one for all threads, which is too dear to write to on each request.
  void keep_version() {
    if (hosted != nullptr && execution.results.holds()) version = *hosted;
  }

  std::span<const codec::Piece> pieces;
  std::size_t bytes = 0;  // of all pieces
  std::string_view id;    // the request's, also where the call failed after decoding
  const std::shared_ptr<const Version>* hosted = nullptr;  // in the snapshot, as long as that is kept
  std::shared_ptr<const Version> version;
  Execution execution;  // gives its memory back before the version goes
};

// Decodes, picks the version from `snapshot` and lane `lane` of it, and says where the request is to run;
// `turn` is the number of the loop's turn. Of a message so large that decoding it would hold up a loop, and
// that the pool is to run, only names and parameters are decoded. Never throws; RESOURCE_EXHAUSTED when
// memory ran out.
Status admit(const Snapshot& snapshot, std::size_t lane, std::uint64_t turn, const InferCall& call,
             Arena& arena, Admitted* admitted, Place* place) noexcept;

// The caller's deadline: the call's, or the reserved request parameter `timeout` (int64 microseconds) if that
// is nearer.
std::int64_t deadline_of(const Admitted& admitted) noexcept;

// Runs and encodes a request that was decoded.
Status answer(const Admitted& admitted, Arena& arena, InferAnswer* answer) noexcept;

// Given the answers to requests that run together.
class Receiver {
 public:
  virtual ~Receiver() = default;
  // Of the request at `index`. `answer` is empty where it failed, and lives during the call.
  virtual void receive(std::size_t index, Status status, InferAnswer& answer) noexcept = 0;
};

// Runs requests of one version and one lane. Those that agree share runs, of at most `max_rows` rows and as
// many as its schedule wants at least; a run that fails is made again for each request by itself, so that
// nobody gets an error for another's rows. Calls `receiver` once for each; no piece of an answer is borrowed
// but from a request that ran by itself.
void answer_together(std::span<const Admitted> members, std::int64_t max_rows, Arena& arena,
                     Receiver& receiver) noexcept;

// Decodes a request to `version`, whatever is published.
Status admit(const Version& version, Lane& lane, const InferCall& call, Arena& arena,
             Admitted* admitted) noexcept;

// admit() and answer() in one, where the request is; `version` must outlive the answer.
Status infer(const Version& version, Lane& lane, const InferCall& call, Arena& arena,
             InferAnswer* answer) noexcept;

}  // namespace penstock::engine
