// DueOrder: calls in the order in which they were pushed, linked through themselves: that of their deadlines,
// as these are the same time after each was due.
#pragma once

#include "loadgen/call.h"

namespace penstock::loadgen {

class DueOrder {
 public:
  // nullptr: it is empty.
  Call* first() const noexcept { return first_; }

  void push(Call& call) noexcept {
    call.earlier = last_;
    call.later = nullptr;
    (last_ == nullptr ? first_ : last_->later) = &call;
    last_ = &call;
  }

  // Of a call that is here.
  void remove(Call& call) noexcept {
    (call.earlier == nullptr ? first_ : call.earlier->later) = call.later;
    (call.later == nullptr ? last_ : call.later->earlier) = call.earlier;
  }

 private:
  Call* first_ = nullptr;
  Call* last_ = nullptr;
};

}  // namespace penstock::loadgen
