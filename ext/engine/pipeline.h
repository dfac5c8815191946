// Pipeline: admitted requests to the bytes of their answers, on the thread that calls.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "base/arena.h"
#include "base/status.h"
#include "codec/infer_response.h"
#include "engine/admission.h"
#include "engine/version.h"

namespace penstock::engine {

// What goes out. The pieces live in the arena or in `execution`.
struct InferAnswer {
  // As new, but for the room that it has. Before the arena is reset, and the version let go.
  void clear() noexcept {
    pieces = {};
    bytes = 0;
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
  std::size_t bytes = 0;                                   // of all pieces
  const std::shared_ptr<const Version>* hosted = nullptr;  // in the snapshot, as long as that is kept
  std::shared_ptr<const Version> version;
  Execution execution;  // gives its memory back before the version goes
};

// Runs and encodes a request that was decoded.
Status answer(const Admitted& admitted, Arena& arena, InferAnswer* answer) noexcept;

// Given the answers to requests that run together.
class Receiver {
 public:
  virtual ~Receiver() = default;
  // Of the request at `index`. `answer` is empty where it failed, and lives during the call.
  virtual void receive(std::size_t index, Status status, InferAnswer& answer) noexcept = 0;
  // Another run follows: what came so far need not wait for it.
  virtual void pause() noexcept {}
};

// Runs requests of one version and one lane. Those that agree share runs, of at most `max_rows` rows and as
// many as its schedule wants at least; a run that fails is made again for each half of its requests, down to
// one, so that nobody gets an error for another's rows. What is late when its run begins is not in it. Calls
// `receiver` once for each; no piece of an answer is borrowed but from a request that ran by itself.
void answer_together(std::span<const Admitted> members, std::int64_t max_rows, Arena& arena,
                     Receiver& receiver) noexcept;

// admit() and answer() in one, where the request is; `version` must outlive the answer.
Status infer(const Version& version, Lane& lane, const InferCall& call, Arena& arena,
             InferAnswer* answer) noexcept;

}  // namespace penstock::engine
