// Service: what one loop does with calls: inference and the small RPCs at once, the rest through the bridge.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/arena.h"
#include "base/published.h"
#include "codec/small_messages.h"
#include "engine/snapshot.h"
#include "net/held_answer.h"
#include "net/session.h"
#include "net/shared.h"

namespace penstock::net {

// Owned by a loop, used by its thread alone.
class Service final : public Handler {
 public:
  Service(Shared& shared, std::size_t loop) : shared_(shared), loop_(loop), reader_(shared.snapshot) {}

  void on_message(Stream& stream, std::span<const std::byte> message) override;
  void on_half_close(Stream& stream) override;
  void on_closed(Stream& stream) noexcept override;

  // Python's answer to a bridged call.
  void answer(Stream& stream, Status status, std::string_view reply);
  // Lets the snapshot of before go, and tells the health watchers what changed. False: there are none.
  bool adopt();

 private:
  struct Clearing;  // of the answer and the arena, at the end of a request

  void infer(Stream& stream, std::span<const std::byte> message);
  void stream_infer(Stream& stream, std::span<const std::byte> message);
  void server_live(Stream& stream, std::span<const std::byte> message);
  void server_ready(Stream& stream, std::span<const std::byte> message);
  void model_ready(Stream& stream, std::span<const std::byte> message);
  void health_check(Stream& stream, std::span<const std::byte> message);
  void health_watch(Stream& stream, std::span<const std::byte> message);
  void bridge(Stream& stream, std::span<const std::byte> message);

  const engine::Snapshot& snapshot();
  bool ready();
  // A grpc.health.v1 ServingStatus for a service's name: "" and the inference service are the server, others
  // are models.
  codec::ServingStatus health_of(std::string_view service);
  void tell_watcher(Stream& stream);

  // Answers with one small message and OK.
  void reply(Stream& stream, const codec::FramedReply& framed);
  void send_framed(Stream& stream, std::span<const std::byte> framed);
  void send_answer(Stream& stream);

  Shared& shared_;
  const std::size_t loop_;
  Published<engine::Snapshot>::Reader reader_;
  Arena arena_;
  engine::InferAnswer answer_;  // of the request that is being answered; clear between two
  SpareAnswers spare_;
  std::vector<Stream*> watchers_;
};

}  // namespace penstock::net
