// Job: one request that runs in the pool rather than on the loop that read it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <new>
#include <span>
#include <string_view>
#include <vector>

#include "base/arena.h"
#include "base/clock.h"
#include "base/status.h"
#include "engine/pipeline.h"
#include "engine/version.h"

namespace penstock::engine {

struct Job;

// Jobs move between lists whole, so that none is lost for want of memory.
using Jobs = std::list<Job>;

// Made by a loop, which also ends it: the pool gives each one back, but for those that the loop cancels. In
// between, only the pool's lock or the worker that took it guards it.
struct Job {
  enum class State : unsigned char { kWaiting, kRunning, kDone };

  std::span<const std::byte> message() const noexcept { return std::span(bytes).subspan(skip); }
  // Once there is an answer. Keeps the id alone, where a stream's failure names it.
  void drop_message() noexcept {
    std::vector<std::byte> kept;
    if (streamed && !status.is_ok()) {
      try {
        const auto text = std::as_bytes(std::span(id));
        kept.assign(text.begin(), text.end());
      } catch (const std::bad_alloc&) {  // it is told without
      }
    }
    bytes.swap(kept);
    id = {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
    skip = 0;
  }

  // Whom the answer is for.
  std::size_t loop = 0;
  std::uint64_t connection = 0;
  std::int32_t stream = 0;

  std::shared_ptr<const Version> version;  // empty once it ran
  Lane* origin = nullptr;                  // the loop's, which counts what is dropped
  route::Arm arm = route::Arm::kStable;
  std::vector<std::byte> bytes;  // the request's message, behind `skip` bytes of something else
  std::size_t skip = 0;
  std::size_t charge = 0;  // what its stream is charged with until it is given back
  std::string_view id;     // of the request, in `bytes`
  std::int64_t rows = 0;   // about
  std::size_t level = 0;   // of priority, 0 the most urgent
  std::int64_t arrived_ns = 0;
  std::int64_t deadline_ns = kNoDeadline;
  bool streamed = false;

  // The answer. A small one, or one of a shared run, lies in `reply`, another one in `answer` and `arena`.
  Status status;
  std::int64_t retry_ns = 0;  // where there was no room: for how long there will not be much
  std::vector<std::byte> reply;
  Arena arena{0};
  InferAnswer answer;  // gives its memory back before the arena goes

  // The pool's.
  State state = State::kWaiting;
  Jobs::iterator place;
};

}  // namespace penstock::engine
