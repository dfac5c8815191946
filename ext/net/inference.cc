#include "net/inference.h"

#include <algorithm>
#include <utility>
#include <variant>

#include "codec/grpc_message.h"
#include "codec/infer_response.h"
#include "codec/wire_reader.h"
#include "engine/line.h"

namespace penstock::net {
namespace {

// Triton's request parameter: 1 is the most urgent, 0 the default, and what is beyond the last level counts
// as that.
std::size_t level_of(const codec::InferRequest& request) noexcept {
  for (const codec::Parameter& parameter : request.parameters) {
    if (parameter.name != "priority") continue;
    std::uint64_t priority = 0;
    if (const auto* plain = std::get_if<std::uint64_t>(&parameter.value)) priority = *plain;
    if (const auto* given = std::get_if<std::int64_t>(&parameter.value); given != nullptr && *given > 0) {
      priority = static_cast<std::uint64_t>(*given);
    }
    if (priority == 0) return engine::Line::kDefaultLevel;
    return static_cast<std::size_t>(std::min<std::uint64_t>(priority, engine::Line::kLevels) - 1);
  }
  return engine::Line::kDefaultLevel;
}

}  // namespace

// The arena of a turn's gathered requests is kept until they are answered.
struct Inference::Clearing {
  explicit Clearing(Inference& of) noexcept : inference(of) {}
  Clearing(const Clearing&) = delete;
  Clearing& operator=(const Clearing&) = delete;
  ~Clearing() {
    inference.answer_.clear();
    if (inference.gathered_.empty()) inference.arena_.reset();
  }
  Inference& inference;
};

void Inference::take(Stream& stream, std::span<const std::byte> message, const engine::Snapshot& snapshot) {
  const Clearing at_end(*this);
  const bool streamed = stream.method->takes_stream();
  const engine::InferCall call{message, stream.arrived_ns, stream.deadline_ns, true, streamed};
  engine::Admitted admitted;
  engine::Place place = engine::Place::kHere;
  Status status = engine::admit(snapshot, loop_, turn_, call, arena_, &admitted, &place);
  if (status.is_ok()) {
    // A stream's messages are answered in their order, one at a time.
    if (place == engine::Place::kTurn && !streamed) return gather(stream, admitted);
    if (place == engine::Place::kPool && shared_.pool != nullptr) return hand_over(stream, admitted);
    status = engine::answer(admitted, arena_, &answer_);
  }
  if (!status.is_ok()) return send_failure(stream, std::move(status), admitted.request.id);
  gathered_.empty() ? send_answer(stream) : send_copy(stream, answer_);
  if (!streamed) stream.session->finish(stream, Status::ok());
}

void Inference::gather(Stream& stream, const engine::Admitted& admitted) {
  if (gathered_.size() == gathered_.capacity()) {  // all room that settle() needs, as that cannot fail
    const std::size_t more = std::max<std::size_t>(2 * gathered_.size(), 64);
    streams_.reserve(more);
    together_.reserve(more);
    answered_.reserve(more);
    gathered_.reserve(more);
  }
  gathered_.push_back(admitted);
  streams_.push_back(&stream);
  stream.gathered = gathered_.size();
  ++stream.waiting;
}

void Inference::hand_over(Stream& stream, const engine::Admitted& admitted) {
  engine::Jobs made(1);
  engine::Job& job = made.front();
  job.loop = loop_;
  job.connection = stream.session->connection();
  job.stream = stream.id;
  job.version = *admitted.hosted;
  job.origin = admitted.lane;
  job.arm = admitted.arm;
  job.rows = admitted.rows;
  job.level = level_of(admitted.request);
  job.arrived_ns = admitted.call.arrived_ns;
  job.deadline_ns = engine::deadline_of(admitted);
  job.streamed = admitted.call.streamed;
  const std::span<const std::byte> id = std::as_bytes(std::span(admitted.request.id));
  const std::ptrdiff_t id_at = id.empty() ? 0 : id.data() - admitted.call.message.data();
  job.bytes = stream.session->keep(stream, admitted.call.message, &job.skip);
  job.charge = job.bytes.size();
  job.id = codec::as_text(job.message().subspan(static_cast<std::size_t>(id_at), id.size()));
  Status status = shared_.pool->push(made);
  if (!status.is_ok()) {
    stream.session->release(stream, job.charge);
    return send_refusal(stream, job, std::move(status));
  }
  stream.job = &job;
  ++stream.waiting;
  if (!job.streamed) stream.session->date(stream, job.deadline_ns);
}

void Inference::forget(Stream& stream) noexcept {
  if (stream.gathered > 0) streams_[stream.gathered - 1] = nullptr;
  if (stream.job != nullptr) shared_.pool->cancel(*stream.job, monotonic_ns());
}

void Inference::complete(Stream& stream, engine::Job& job) {
  const Clearing at_end(*this);
  stream.job = nullptr;
  --stream.waiting;
  stream.session->release(stream, job.charge);
  if (stream.finished) return;
  if (!job.status.is_ok()) {
    send_refusal(stream, job, std::move(job.status));
  } else {
    if (job.answer.pieces.empty()) {
      stream.session->send(stream, Message(std::move(job.reply)));
    } else {
      HeldAnswerPtr held = spare_.take();
      std::swap(held->arena, job.arena);
      std::swap(held->answer, job.answer);
      stream.session->send(stream, Message(std::move(held)));
    }
    if (!job.streamed) stream.session->finish(stream, Status::ok());
  }
  if (job.streamed) stream.session->resume(stream);
}

void Inference::settle() noexcept {
  ++turn_;
  if (gathered_.empty()) return;
  const std::size_t count = gathered_.size();
  for (std::size_t i = 0; i < count; ++i) {
    if (streams_[i] == nullptr) continue;
    const engine::Lane* const lane = gathered_[i].lane;
    for (std::size_t j = i; j < count; ++j) {
      if (streams_[j] == nullptr || gathered_[j].lane != lane) continue;
      together_.push_back(gathered_[j]);
      answered_.push_back(std::exchange(streams_[j], nullptr));
      answered_.back()->gathered = 0;
      --answered_.back()->waiting;
    }
    if (count == 1) {
      settle_one(*answered_[0], together_[0]);
    } else {
      engine::answer_together(together_, together_[0].version->schedule().shared_inline_rows(), arena_,
                              *this);
    }
    together_.clear();
    answered_.clear();
  }
  gathered_.clear();
  streams_.clear();
  answer_.clear();
  arena_.reset();
}

void Inference::settle_one(Stream& stream, const engine::Admitted& admitted) {
  try {
    Status status = engine::answer(admitted, arena_, &answer_);
    if (!status.is_ok()) {
      send_failure(stream, std::move(status), {});
    } else {
      send_answer(stream);
      stream.session->finish(stream, Status::ok());
    }
    stream.session->drop_request(stream);
  } catch (...) {  // no memory: as for a call that is answered at once, the connection goes
    stream.session->lose();
  }
}

void Inference::receive(std::size_t index, Status status, engine::InferAnswer& answer) noexcept {
  Stream& stream = *answered_[index];
  try {
    if (status.is_ok()) send_copy(stream, answer);
    stream.session->finish(stream, std::move(status));
    stream.session->drop_request(stream);
  } catch (...) {
    stream.session->lose();
  }
}

// Where nothing else lies in the arena.
void Inference::send_answer(Stream& stream) {
  if (answer_.bytes < Message::kCopyBelow) return send_copy(stream, answer_);
  // The answer keeps the arena that it lies in; the next request gets another one.
  HeldAnswerPtr held = spare_.take();
  std::swap(held->arena, arena_);
  std::swap(held->answer, answer_);
  held->answer.keep_version();
  stream.session->send(stream, Message(std::move(held)));
}

void Inference::send_copy(Stream& stream, const engine::InferAnswer& answer) {
  std::vector<std::byte> bytes = stream.session->buffer();
  bytes.reserve(answer.bytes);
  for (const codec::Piece& piece : answer.pieces) {
    bytes.insert(bytes.end(), piece.bytes.begin(), piece.bytes.end());
  }
  stream.session->send(stream, Message(std::move(bytes)));
}

// While the job is here, and its id with it.
void Inference::send_refusal(Stream& stream, const engine::Job& job, Status status) {
  if (!job.streamed) stream.retry_ns = job.retry_ns;
  send_failure(stream, std::move(status), job.id);
}

// In a stream a failure is an answer like others, and the stream goes on.
void Inference::send_failure(Stream& stream, Status status, std::string_view id) {
  if (!stream.method->takes_stream()) return stream.session->finish(stream, std::move(status));
  const std::span<const std::byte> framed =
      codec::encode_stream_error(status.message(), id, codec::kPrefixBytes, arena_);
  std::vector<std::byte> bytes = stream.session->buffer();
  bytes.assign(framed.begin(), framed.end());
  stream.session->send(stream, Message(std::move(bytes)));
}

}  // namespace penstock::net
