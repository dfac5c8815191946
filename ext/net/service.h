// Service: what one loop does with calls: inference and the small RPCs at once, the rest through the bridge.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/published.h"
#include "codec/small_messages.h"
#include "engine/job.h"
#include "engine/snapshot.h"
#include "net/inference.h"
#include "net/session.h"
#include "net/shared.h"

namespace penstock::net {

// Owned by a loop, used by its thread alone.
class Service final : public Handler {
 public:
  Service(Shared& shared, std::size_t loop)
      : shared_(shared), loop_(loop), reader_(shared.snapshot), inference_(shared, loop) {}

  void on_message(Stream& stream, std::span<const std::byte> message) override;
  void on_half_close(Stream& stream) override;
  void on_closed(Stream& stream) noexcept override;

  // Requests that wait for settle(), until when what was read of them must stay where it is.
  std::size_t gathered() const noexcept { return inference_.gathered(); }
  // Ends a turn of the loop: answers those.
  void settle() noexcept { inference_.settle(); }
  // What the pool did with a request.
  void complete(Stream& stream, engine::Job& job) { inference_.complete(stream, job); }
  // Python's answer to a bridged call.
  void answer(Stream& stream, Status status, std::string_view reply);
  // Lets the snapshot of before go, and tells the health watchers what changed. False: there are none.
  // Nothing may be gathered.
  bool adopt();

 private:
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

  Shared& shared_;
  const std::size_t loop_;
  Published<engine::Snapshot>::Reader reader_;
  Inference inference_;
  std::vector<Stream*> watchers_;
};

}  // namespace penstock::net
