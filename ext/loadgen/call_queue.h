// CallQueue: calls in order, linked through themselves. A call is in one queue at most.
#pragma once

#include <utility>

#include "loadgen/call.h"

namespace penstock::loadgen {

class CallQueue {
 public:
  bool empty() const noexcept { return first_ == nullptr; }

  void push(Call& call) noexcept {
    call.next = nullptr;
    (last_ == nullptr ? first_ : last_->next) = &call;
    last_ = &call;
  }

  // Not of an empty one.
  Call& pop() noexcept {
    Call& call = *first_;
    first_ = call.next;
    if (first_ == nullptr) last_ = nullptr;
    return call;
  }

  // Takes the call out, wherever it stands; nothing where it is not here. It costs the way to its place.
  void remove(const Call& call) noexcept {
    Call* before = nullptr;
    for (Call* each = first_; each != nullptr; before = std::exchange(each, each->next)) {
      if (each != &call) continue;
      (before == nullptr ? first_ : before->next) = each->next;
      if (last_ == each) last_ = before;
      return;
    }
  }

 private:
  Call* first_ = nullptr;
  Call* last_ = nullptr;
};

}  // namespace penstock::loadgen
