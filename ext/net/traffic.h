// Traffic: what one loop counts.
#pragma once

#include <atomic>
#include <cstdint>

namespace penstock::net {

// What a loop counts. Written by its thread alone, read by any.
struct Traffic {
  std::atomic<std::int64_t> open_streams{0};
  std::atomic<std::int64_t> open_connections{0};
  std::atomic<std::int64_t> streams{0};
  std::atomic<std::int64_t> connections{0};
  std::atomic<std::int64_t> bytes_in{0};
  std::atomic<std::int64_t> bytes_out{0};
  std::atomic<std::int64_t> offenders{0};    // connections closed for what their peer did
  std::atomic<std::int64_t> turned_away{0};  // connections over max_connections
  std::atomic<std::int64_t> aborted{0};      // connections closed because there was no memory to go on

  static void add(std::atomic<std::int64_t>& count, std::int64_t amount) noexcept {
    count.store(count.load(std::memory_order_relaxed) + amount, std::memory_order_relaxed);
  }

  template <typename Visit>
  void each(Visit&& visit) const {
    visit("open_streams", open_streams);
    visit("open_connections", open_connections);
    visit("streams", streams);
    visit("connections", connections);
    visit("bytes_in", bytes_in);
    visit("bytes_out", bytes_out);
    visit("offenders", offenders);
    visit("turned_away", turned_away);
    visit("aborted", aborted);
  }
};

}  // namespace penstock::net
