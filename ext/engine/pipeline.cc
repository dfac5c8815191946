#include "engine/pipeline.h"

#include <algorithm>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>

#include "base/guarded.h"
#include "codec/grpc_message.h"
#include "engine/merge.h"

namespace penstock::engine {
namespace {

// Raw contents of this size and more go to the socket from where the model put them.
constexpr std::size_t kBorrowBytes = 4096;

Status expired(const Admitted& admitted, std::string_view when, std::int64_t by_ns) {
  admitted.lane->counters.expired.add(1);
  return {Code::kDeadlineExceeded,
          "the deadline passed " + std::string(when) + " (" + std::to_string(by_ns / 1000) + " us ago)"};
}

// Whether a result is one of the request's own tensors, where they came: a model may hand an input on as an
// output, and the receive buffer is used again before the answer is sent.
bool lies_in(std::span<const std::byte> message, std::span<const TensorView> results) noexcept {
  const std::less_equal<const void*> not_after;
  return std::ranges::any_of(results, [&](const TensorView& tensor) {
    return not_after(message.data(), tensor.data) && not_after(tensor.data, message.data() + message.size());
  });
}

// The stages of one answered request; `ran` is when the run that it had a part in began.
void count(const Admitted& admitted, const Execution& execution, std::int64_t ran) noexcept {
  const std::int64_t encoded = monotonic_ns();
  const InferCall& call = admitted.call;
  Counters& counters = admitted.lane->counters;
  counters.requests.add(1);
  counters.rows.add(execution.rows);
  counters.request_ns.add(encoded - call.arrived_ns);
  counters.queue_ns.add(admitted.started_ns - call.arrived_ns + (ran - admitted.decoded_ns));
  counters.decode_ns.add(admitted.decoded_ns - admitted.started_ns);
  counters.transform_ns.add(execution.transformed_ns - ran);
  counters.execute_ns.add(execution.executed_ns - execution.transformed_ns);
  counters.encode_ns.add(encoded - execution.executed_ns);
  counters.last_ns.set(encoded);
}

// One run of the model, with all that was encoded of it.
void count_run(Lane& lane, const Execution& execution, std::int64_t ran, std::int64_t encoded) noexcept {
  lane.counters.executions.add(1);
  RunTally& tally = lane.counters.runs[Counters::run_size(execution.rows)];
  tally.runs.add(1);
  tally.transform_ns.add(execution.transformed_ns - ran);
  tally.execute_ns.add(execution.executed_ns - execution.transformed_ns);
  tally.encode_ns.add(encoded - execution.executed_ns);
}

Status too_large() {
  return {Code::kResourceExhausted,
          "the answer would be larger than a protobuf message can be (2 GiB); send fewer rows at once"};
}

Status encode(const Admitted& admitted, const Execution& execution, std::size_t borrow_at, Arena& arena,
              InferAnswer* answer) {
  const InferCall& call = admitted.call;
  answer->pieces =
      admitted.version->encode(admitted.request, admitted.arm, execution,
                               call.framed ? codec::kPrefixBytes : 0, borrow_at, call.streamed, arena);
  if (answer->pieces.empty()) return too_large();
  answer->bytes = 0;
  for (const codec::Piece& piece : answer->pieces) answer->bytes += piece.bytes.size();
  return Status::ok();
}

// Before its memory is taken.
Status check_size(const Version& version, const Bound& bound) {
  const double bytes = static_cast<double>(bound.rows) * version.row_bytes(bound.wanted);
  return bytes > static_cast<double>(codec::kMaxMessageBytes) ? too_large() : Status::ok();
}

Status check_deadline(const Admitted& admitted, std::int64_t now_ns, std::string_view when) {
  const std::int64_t deadline = deadline_of(admitted);
  return now_ns >= deadline ? expired(admitted, when, now_ns - deadline) : Status::ok();
}

// From what is bound to the answer.
Status run_alone(const Admitted& admitted, const Bound& bound, std::int64_t ran, Arena& arena,
                 InferAnswer* answer) {
  Lane& lane = *admitted.lane;
  Execution& execution = answer->execution;
  PENSTOCK_RETURN_IF_ERROR(check_size(*admitted.version, bound));
  PENSTOCK_RETURN_IF_ERROR(admitted.version->execute(lane, bound, arena, &execution));
  PENSTOCK_RETURN_IF_ERROR(check_deadline(admitted, execution.executed_ns, "while the model ran"));
  const bool handed_on = lies_in(admitted.call.message, execution.results.tensors);
  PENSTOCK_RETURN_IF_ERROR(encode(admitted, execution, handed_on ? SIZE_MAX : kBorrowBytes, arena, answer));
  count(admitted, execution, ran);
  count_run(lane, execution, ran, lane.counters.last_ns.get());
  return Status::ok();
}

Status counted(const Admitted& admitted, Status status) noexcept {
  if (!status.is_ok()) admitted.lane->counters.fail(monotonic_ns() - admitted.call.arrived_ns);
  return status;
}

}  // namespace

Status answer(const Admitted& admitted, Arena& arena, InferAnswer* answer) noexcept {
  const auto work = [&]() -> Status {
    answer->hosted = admitted.hosted;
    PENSTOCK_RETURN_IF_ERROR(check_deadline(admitted, admitted.decoded_ns, "before the model ran"));
    Bound bound;
    PENSTOCK_RETURN_IF_ERROR(admitted.version->bind(admitted.request, arena, &bound));
    return run_alone(admitted, bound, admitted.decoded_ns, arena, answer);
  };
  return counted(admitted, guarded(work, kNoMemory));
}

Status infer(const Version& version, Lane& lane, const InferCall& call, Arena& arena,
             InferAnswer* made) noexcept {
  Admitted admitted;
  PENSTOCK_RETURN_IF_ERROR(admit(version, lane, call, arena, &admitted));
  return answer(admitted, arena, made);
}

namespace {

// What answer_together() works on. Lives for the length of it.
class Together {
 public:
  Together(std::span<const Admitted> members, std::int64_t max_rows, Arena& arena, Receiver& receiver)
      : members_(members), max_rows_(max_rows), arena_(arena), receiver_(receiver) {}

  void run() noexcept {
    const Status roomy = guarded(
        [&] {
          bounds_ = arena_.array<Bound>(members_.size());
          left_ = arena_.uninitialised<std::size_t>(members_.size()).first(0);
          group_ = arena_.uninitialised<std::size_t>(members_.size());
          parts_ = arena_.uninitialised<const Bound*>(members_.size());
          return Status::ok();
        },
        kNoMemory);
    for (std::size_t i = 0; i < members_.size(); ++i) {
      Status status = guarded([&] { return roomy.is_ok() ? bind(i) : roomy; }, kNoMemory);
      if (!status.is_ok()) {
        fail(i, std::move(status));
      } else {
        left_ = std::span(left_.data(), left_.size() + 1);
        left_.back() = i;
      }
    }
    while (!left_.empty()) run_group();
  }

 private:
  Status bind(std::size_t member) {
    const Admitted& admitted = members_[member];
    return admitted.version->bind(admitted.request, arena_, &bounds_[member]);
  }

  void fail(std::size_t member, Status status) noexcept {
    status = counted(members_[member], std::move(status));
    answer_.clear();
    give(member, std::move(status));
  }

  void give(std::size_t member, Status status) noexcept {
    receiver_.receive(member, std::move(status), answer_);
    answer_.clear();
    answered_ = true;
  }

  // The first of those that are left, and what agrees with it and finds room; the others stay.
  void run_group() noexcept {
    const Bound& first = bounds_[left_[0]];
    std::int64_t rows = 0;
    std::size_t taken = 0;
    std::size_t stay = 0;
    for (const std::size_t member : left_) {
      const Bound& bound = bounds_[member];
      if (taken == 0 || (bound.rows <= max_rows_ - rows && agree(first, bound))) {
        rows += bound.rows;
        group_[taken++] = member;
      } else {
        left_[stay++] = member;
      }
    }
    left_ = left_.first(stay);
    run_members(group_.first(taken));
  }

  // Of those that are in time, in one run if that can be.
  void run_members(std::span<std::size_t> members) noexcept {
    members = in_time(members);
    if (std::exchange(answered_, false)) receiver_.pause();
    if (members.empty()) return;
    if (members.size() == 1) return run_one(members[0]);
    std::int64_t rows = 0;
    for (std::size_t i = 0; i < members.size(); ++i) {
      parts_[i] = &bounds_[members[i]];
      rows += parts_[i]->rows;
    }
    if (rows < members_[0].version->schedule().min_batch_rows) {
      for (std::size_t i = 0; i < members.size(); ++i) run_members(members.subspan(i, 1));
    } else if (!run_shared(members, rows)) {
      run_members(members.first(members.size() / 2));
      run_members(members.subspan(members.size() / 2));
    }
  }

  std::span<std::size_t> in_time(std::span<std::size_t> members) noexcept {
    const std::int64_t now = monotonic_ns();
    std::size_t kept = 0;
    for (const std::size_t member : members) {
      Status status =
          guarded([&] { return check_deadline(members_[member], now, "before the model ran"); }, kNoMemory);
      if (status.is_ok()) {
        members[kept++] = member;
      } else {
        fail(member, std::move(status));
      }
    }
    return members.first(kept);
  }

  void run_one(std::size_t member) noexcept {
    const Admitted& admitted = members_[member];
    const std::int64_t ran = monotonic_ns();
    answer_.hosted = admitted.hosted;
    Status status =
        guarded([&] { return run_alone(admitted, bounds_[member], ran, arena_, &answer_); }, kNoMemory);
    if (!status.is_ok()) return fail(member, std::move(status));
    give(member, Status::ok());
  }

  // With parts_ of each. False: nothing was answered.
  bool run_shared(std::span<const std::size_t> members, std::int64_t rows) noexcept {
    const std::size_t count = members.size();
    Execution whole;
    const std::int64_t ran = monotonic_ns();
    const Admitted& any = members_[members[0]];
    std::span<std::span<const TensorView>> slices;
    const Status status = guarded([&]() -> Status {
      const Bound merged = merge(parts_.first(count), arena_);
      PENSTOCK_RETURN_IF_ERROR(any.version->execute(*any.lane, merged, arena_, &whole));
      slices = arena_.uninitialised<std::span<const TensorView>>(count);
      std::int64_t first = 0;
      for (std::size_t i = 0; i < count; ++i) {
        slices[i] = slice(whole.results.tensors, rows, first, parts_[i]->rows, arena_);
        if (slices[i].empty()) return {Code::kInternal, "an output does not have the rows of the inputs"};
        first += parts_[i]->rows;
      }
      return Status::ok();
    });
    if (!status.is_ok()) return false;
    for (std::size_t i = 0; i < count; ++i) answer_one(members[i], whole, *parts_[i], slices[i], ran);
    count_run(*any.lane, whole, ran, monotonic_ns());
    return true;
  }

  void answer_one(std::size_t member, const Execution& whole, const Bound& bound,
                  std::span<const TensorView> results, std::int64_t ran) noexcept {
    const Admitted& admitted = members_[member];
    answer_.hosted = admitted.hosted;
    Execution& mine = answer_.execution;
    mine.results.tensors = results;
    mine.rows = bound.rows;
    mine.transformed_ns = whole.transformed_ns;
    mine.executed_ns = whole.executed_ns;
    Status status = guarded(
        [&]() -> Status {
          PENSTOCK_RETURN_IF_ERROR(check_deadline(admitted, whole.executed_ns, "while the model ran"));
          return encode(admitted, mine, SIZE_MAX, arena_, &answer_);
        },
        kNoMemory);
    if (!status.is_ok()) return fail(member, std::move(status));
    engine::count(admitted, mine, ran);
    give(member, Status::ok());
  }

  const std::span<const Admitted> members_;
  const std::int64_t max_rows_;
  Arena& arena_;
  Receiver& receiver_;
  std::span<Bound> bounds_;
  std::span<std::size_t> left_;
  std::span<std::size_t> group_;
  std::span<const Bound*> parts_;
  InferAnswer answer_;
  bool answered_ = false;  // one of them, since the last pause
};

}  // namespace

void answer_together(std::span<const Admitted> members, std::int64_t max_rows, Arena& arena,
                     Receiver& receiver) noexcept {
  Together(members, max_rows, arena, receiver).run();
}

}  // namespace penstock::engine
