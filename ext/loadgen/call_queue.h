// CallQueue: calls in order, linked through themselves. A call is in one queue at most.
#pragma once

#include <cstddef>

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

  // Takes the call out, wherever it stands; nothing where it is not here.
  void remove(const Call& call) noexcept {
    CallQueue rest;
    while (!empty())
      if (Call& each = pop(); &each != &call) rest.push(each);
    *this = rest;
  }

 private:
  Call* first_ = nullptr;
  Call* last_ = nullptr;
};

}  // namespace penstock::loadgen
