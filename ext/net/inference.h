// Inference: what one loop does with ModelInfer and ModelStreamInfer: it runs them at once, together at the
// end of its turn, or hands them to the pool.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/arena.h"
#include "engine/job.h"
#include "engine/pipeline.h"
#include "engine/snapshot.h"
#include "net/held_answer.h"
#include "net/session.h"
#include "net/shared.h"

namespace penstock::net {

// Owned by a loop's service, used by its thread alone.
class Inference final : private engine::Receiver {
 public:
  Inference(Shared& shared, std::size_t loop) : shared_(shared), loop_(loop) {}

  // One message of either RPC. Answers it now, within settle(), or when the pool gives it back.
  void take(Stream& stream, std::span<const std::byte> message, const engine::Snapshot& snapshot);
  // How many requests wait for settle(); what was read of them, and the snapshot, must stay as they are.
  std::size_t gathered() const noexcept { return gathered_.size(); }
  // Ends a turn: answers those. Their sessions have something to send then.
  void settle() noexcept;
  // A job of this stream is done.
  void complete(Stream& stream, engine::Job& job);
  // The stream is gone, and with it the interest in its request.
  void forget(Stream& stream) noexcept;

 private:
  struct Clearing;  // of the answer and the arena, at the end of a request

  void gather(Stream& stream, const engine::Admitted& admitted);
  void hand_over(Stream& stream, const engine::Admitted& admitted);
  void settle_one(Stream& stream, const engine::Admitted& admitted);
  void receive(std::size_t index, Status status, engine::InferAnswer& answer) noexcept override;

  void send_answer(Stream& stream);
  void send_copy(Stream& stream, const engine::InferAnswer& answer);
  void send_refusal(Stream& stream, const engine::Job& job, Status status);
  void send_failure(Stream& stream, Status status, std::string_view id);

  Shared& shared_;
  const std::size_t loop_;
  std::uint64_t turn_ = 1;
  Arena arena_;
  engine::InferAnswer answer_;  // of the request that is being answered; clear between two
  SpareAnswers spare_;

  // The requests of this turn that run at its end, and their streams; null where that is gone.
  std::vector<engine::Admitted> gathered_;
  std::vector<Stream*> streams_;
  // Those of one version, while they run.
  std::vector<engine::Admitted> together_;
  std::vector<Stream*> answered_;
};

}  // namespace penstock::net
