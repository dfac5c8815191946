// Pipeline: one ModelInferRequest from its bytes to the bytes of its answer, on the thread that calls.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "base/arena.h"
#include "base/status.h"
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

// Decodes, picks the version from `snapshot`, runs it on lane `lane`, encodes. Never throws;
// RESOURCE_EXHAUSTED when memory ran out.
Status infer(const Snapshot& snapshot, std::size_t lane, const InferCall& call, Arena& arena,
             InferAnswer* answer) noexcept;

// The same on one version, whatever is published; `version` must outlive the answer.
Status infer(const Version& version, Lane& lane, const InferCall& call, Arena& arena,
             InferAnswer* answer) noexcept;

}  // namespace penstock::engine
