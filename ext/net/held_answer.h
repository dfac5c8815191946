// HeldAnswer: what a large answer is made of. It keeps the arena that it lies in until it is sent.
#pragma once

#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

#include "base/arena.h"
#include "engine/pipeline.h"

namespace penstock::net {

struct HeldAnswer {
  Arena arena;
  engine::InferAnswer answer;
};

class SpareAnswers;

// Gives it back to where it came from, or destroys it.
struct GiveBack {
  GiveBack() noexcept : spare(nullptr) {}
  explicit GiveBack(SpareAnswers* from) noexcept : spare(from) {}
  inline void operator()(HeldAnswer* held) const noexcept;
  SpareAnswers* spare;
};

using HeldAnswerPtr = std::unique_ptr<HeldAnswer, GiveBack>;

// Those that were sent, and their arenas, to be used again. Owned by one loop; outlives what it gave out.
class SpareAnswers {
 public:
  SpareAnswers() { spare_.reserve(kMost); }

  HeldAnswerPtr take() {
    std::unique_ptr<HeldAnswer> held;
    if (spare_.empty()) {
      held = std::make_unique<HeldAnswer>();
    } else {
      held = std::move(spare_.back());
      spare_.pop_back();
    }
    return HeldAnswerPtr(held.release(), GiveBack(this));
  }

 private:
  friend struct GiveBack;
  static constexpr std::size_t kMost = 8;

  std::vector<std::unique_ptr<HeldAnswer>> spare_;
};

void GiveBack::operator()(HeldAnswer* held) const noexcept {
  std::unique_ptr<HeldAnswer> owner(held);
  if (spare == nullptr || spare->spare_.size() == SpareAnswers::kMost) return;
  owner->answer.clear();  // before the arena that it lies in
  owner->arena.reset();
  spare->spare_.push_back(std::move(owner));
}

}  // namespace penstock::net
