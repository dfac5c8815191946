#include "loadgen/outcome.h"

#include <algorithm>

namespace penstock::loadgen {

Outcome::Outcome(const std::vector<Body>& bodies, std::int64_t deadline_ns, bool trace)
    : first_(bodies.data()), deadline_ns_(deadline_ns), traced_(trace) {
  for (const Body& body : bodies) answers_.emplace_back(std::max<std::size_t>(body.answers.size(), 1), 0);
}

bool Outcome::ended(const Call& call, std::uint32_t error_code, std::int64_t now_ns) {
  const std::int64_t latency = now_ns - call.due_ns;
  if (traced_) trace_.push_back({call.due_ns, call.late_ns, latency});
  if (const auto fault = fault_of(call, error_code, now_ns)) {
    failed(fault->failure, fault->code, fault->example);
    return false;
  }
  latency_.add(latency);
  const std::size_t which = call.body->answers.empty() ? 0 : call.answer.which();
  ++answers_[static_cast<std::size_t>(call.body - first_)][which];
  return true;
}

std::optional<Outcome::Fault> Outcome::fault_of(const Call& call, std::uint32_t error_code,
                                                std::int64_t now_ns) const noexcept {
  const Answer& answer = call.answer;
  if (deadline_ns_ != 0 && now_ns - call.due_ns >= deadline_ns_) return Fault{Failure::kTooLate};
  if (error_code != 0) return Fault{Failure::kStreamError, error_code};
  if (answer.http_status != 200)
    return Fault{Failure::kHttpStatus, static_cast<std::uint32_t>(answer.http_status)};
  if (answer.grpc_status == Answer::kNone) return Fault{Failure::kNoGrpcStatus};
  if (answer.grpc_status != 0)
    return Fault{Failure::kGrpcStatus, static_cast<std::uint32_t>(answer.grpc_status), answer.grpc_message};
  if (!answer.whole()) return Fault{Failure::kNoMessage};
  if (!call.body->answers.empty() && answer.which() == kMostAnswers) return Fault{Failure::kOtherAnswer};
  return std::nullopt;
}

void Outcome::failed(Failure failure, std::uint32_t code, std::string_view example, std::uint64_t count) {
  if (count == 0) return;
  const auto counted = [&] {
    return std::ranges::find_if(
        failures_, [&](const FailureCount& each) { return each.failure == failure && each.code == code; });
  };
  auto found = counted();
  if (found == failures_.end() && failures_.size() >= kMostCodes) {
    code = kOtherCodes;
    found = counted();
  }
  if (found != failures_.end())
    found->count += count;
  else
    failures_.push_back({failure, code, count, std::string(example.substr(0, kMostExampleBytes))});
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
