#include "loadgen/outcome.h"

#include <algorithm>

namespace penstock::loadgen {

Outcome::Outcome(const std::vector<Body>& bodies, std::int64_t deadline_ns, bool trace)
    : first_(bodies.data()), deadline_ns_(deadline_ns), traced_(trace) {
  for (const Body& body : bodies) answers_.emplace_back(std::max<std::size_t>(body.answers.size(), 1), 0);
}

void Outcome::ended(const Call& call, std::uint32_t error_code, std::int64_t now_ns) {
  const Answer& answer = call.answer;
  const std::int64_t latency = now_ns - call.due_ns;
  if (traced_) trace_.push_back({call.due_ns, call.late_ns, latency});
  if (error_code != 0) return failed(Failure::kStreamError, error_code);
  if (answer.http_status != 200)
    return failed(Failure::kHttpStatus, static_cast<std::uint32_t>(answer.http_status));
  if (answer.grpc_status == Answer::kNone) return failed(Failure::kNoGrpcStatus);
  if (answer.grpc_status != 0)
    return failed(Failure::kGrpcStatus, static_cast<std::uint32_t>(answer.grpc_status), answer.grpc_message);
  if (!answer.whole()) return failed(Failure::kNoMessage);
  std::size_t which = 0;
  if (!call.body->answers.empty()) {
    which = answer.which();
    if (which == kMostAnswers) return failed(Failure::kOtherAnswer);
  }
  if (deadline_ns_ != 0 && latency >= deadline_ns_) return failed(Failure::kTooLate);
  latency_.add(latency);
  ++answers_[static_cast<std::size_t>(call.body - first_)][which];
}

void Outcome::failed(Failure failure, std::uint32_t code, std::string_view example, std::uint64_t count) {
  if (count == 0) return;
  const auto found = std::ranges::find_if(
      failures_, [&](const FailureCount& each) { return each.failure == failure && each.code == code; });
  if (found != failures_.end())
    found->count += count;
  else
    failures_.push_back({failure, code, count, std::string(example)});
}

void Outcome::merge(const Outcome& other) {
  latency_.merge(other.latency_);
  late_.merge(other.late_);
  for (const FailureCount& each : other.failures_) failed(each.failure, each.code, each.example, each.count);
  for (std::size_t body = 0; body < answers_.size(); ++body)
    for (std::size_t place = 0; place < answers_[body].size(); ++place)
      answers_[body][place] += other.answers_[body][place];
  trace_.insert(trace_.end(), other.trace_.begin(), other.trace_.end());
}

}  // namespace penstock::loadgen
