// Desk: a pool, and what a server's loops do for it.
#pragma once

#include <doctest/doctest.h>

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "codec/wire_reader.h"
#include "engine/gate.h"
#include "engine/pool.h"
#include "engine/requests.h"
#include "engine/row_sums.h"

namespace penstock::engine::testing {

inline constexpr std::int64_t kMs = 1'000'000;

inline Schedule merging() {
  Schedule schedule;
  schedule.inline_rows = 0;
  schedule.merges = true;
  schedule.max_batch_rows = 8;
  return schedule;
}

// What a server's loops do for the pool.
struct Desk {
  explicit Desk(std::size_t threads = 1) {
    const Status status =
        Pool::start(threads, [this](std::size_t loop, Jobs& jobs) { take_back(loop, jobs); }, &pool);
    REQUIRE(status.is_ok());
  }
  ~Desk() { pool->stop(); }

  // Null where it was refused; why stands in `refusal`.
  Job* push(const std::shared_ptr<Version>& version, double first = 1,
            std::size_t level = Line::kDefaultLevel, std::int64_t deadline_ns = kNoDeadline,
            std::size_t loop = 0, std::size_t padding = 0) {
    Lane*& origin = origins[version.get()];
    if (origin == nullptr) REQUIRE(version->add_lane(true, &origin).is_ok());
    Request request;
    request.id = std::to_string(first);
    std::vector<double> row(columns);
    row[0] = first;
    request.inputs = {matrix(1, row)};
    std::string message = request.encode();
    if (padding > 0) message += field(15, std::string(padding, 'x'));  // unknown, and skipped
    Jobs made(1);
    Job& job = made.front();
    if (damaged) message += '\xff';
    const auto view = std::as_bytes(std::span(message));
    job.bytes.assign(view.begin(), view.end());
    job.id = id_in(job.bytes);
    job.streamed = streamed;
    job.version = version;
    job.origin = origin;
    job.rows = 1;
    job.level = level;
    job.arrived_ns = monotonic_ns() - ago_ns;
    job.deadline_ns = deadline_ns;
    job.loop = loop;
    refusal = pool->push(made);
    return refusal.is_ok() ? &job : nullptr;
  }

  void take_back(std::size_t loop, Jobs& jobs) {
    const std::lock_guard lock(mutex);
    for (const Job& job : jobs) CHECK(job.loop == loop);
    ++deliveries;
    done.splice(done.end(), jobs);
    changed.notify_all();
  }
  bool wait(std::size_t count) {
    std::unique_lock lock(mutex);
    return changed.wait_for(lock, std::chrono::seconds(20), [&] { return done.size() >= count; });
  }
  // What each request asked first with, in the order of the answers.
  std::vector<double> answers() {
    const std::lock_guard lock(mutex);
    std::vector<double> values;
    for (Job& job : done) {
      if (!job.status.is_ok()) continue;
      const std::string bytes(reinterpret_cast<const char*>(job.reply.data()), job.reply.size());
      const Answer answer = decode_answer(std::string_view(bytes).substr(5));
      CHECK(answer.id == std::to_string(answer.doubles().at(0)));
      values.push_back(answer.doubles().at(0));
    }
    return values;
  }
  std::vector<Code> codes() {
    const std::lock_guard lock(mutex);
    std::vector<Code> found;
    for (const Job& job : done) found.push_back(job.status.code());
    return found;
  }

  static std::string_view id_in(std::span<const std::byte> message) {
    codec::WireReader reader(message);
    codec::WireField part;
    while (reader.next(&part)) {
      if (part.tag >> 3 == 3) return codec::as_text(part.bytes);
    }
    return {};
  }

  // Of what is pushed.
  std::size_t columns = 3;
  bool streamed = false;
  bool damaged = false;     // what comes is no request
  std::int64_t ago_ns = 0;  // that it came

  std::map<const Version*, Lane*> origins;
  std::mutex mutex;
  std::condition_variable changed;
  Jobs done;
  std::size_t deliveries = 0;
  Status refusal;
  std::unique_ptr<Pool> pool;
};

inline std::int64_t counter(const Version& version, std::string_view name) {
  for (const auto& [key, value] : version.counters()) {
    if (key == name) return value;
  }
  return -1;
}

}  // namespace penstock::engine::testing
