// Guarded: where exceptions end. Our code throws only when memory ran out; libraries may throw what they
// like.
#pragma once

#include <exception>
#include <new>
#include <string>
#include <string_view>
#include <utility>

#include "base/status.h"

namespace penstock {

// The Status of `work`; RESOURCE_EXHAUSTED with `no_memory` where it ran out of memory, INTERNAL for any
// other exception.
template <typename Work>
Status guarded(Work&& work, std::string_view no_memory = "out of memory") noexcept {
  try {
    try {
      return std::forward<Work>(work)();
    } catch (const std::bad_alloc&) {
      return {Code::kResourceExhausted, std::string(no_memory)};
    } catch (const std::exception& error) {
      return {Code::kInternal, error.what()};
    }
  } catch (...) {
    return {Code::kResourceExhausted, std::string()};  // no memory even for the message
  }
}

}  // namespace penstock
