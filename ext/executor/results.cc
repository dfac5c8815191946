#include <utility>

#include "executor/executor.h"

namespace penstock::executor {

Results::Results(Results&& other) noexcept
    : tensors(std::exchange(other.tensors, {})), held_(std::exchange(other.held_, {})) {}

Results& Results::operator=(Results&& other) noexcept {
  if (this == &other) return *this;
  release();
  tensors = std::exchange(other.tensors, {});
  held_.swap(other.held_);
  return *this;
}

void Results::hold(void* object, void (*give_back)(void*)) {
  try {
    held_.push_back({object, give_back});
  } catch (...) {
    give_back(object);  // the caller gave it away, whatever comes
    throw;
  }
}

void Results::release() noexcept {
  tensors = {};
  for (const Held& held : held_) held.release(held.object);
  held_.clear();
}

}  // namespace penstock::executor
