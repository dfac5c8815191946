// Outbox: bytes that wait for the socket: small ones copied together, large ones left where they are.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <span>
#include <vector>

#include "net/message.h"
#include "net/transport.h"

namespace penstock::net {

// Owned by one connection, used by its loop.
class Outbox {
 public:
  // Above this the session stops making frames until the socket took some.
  static constexpr std::size_t kHigh = 256 * 1024;

  void append(std::span<const std::byte> bytes);
  // Refers to bytes whose owner is handed over with keep() at the latest when its message is complete or
  // given up.
  void borrow(std::span<const std::byte> bytes);
  // Destroys `message` when all that is in the outbox now has been written.
  void keep(Message message);
  // Drops all of it: there is no more to be written.
  void abandon() noexcept;

  std::size_t size() const noexcept { return size_; }
  bool full() const noexcept { return size_ >= kHigh; }
  std::uint64_t written() const noexcept { return written_; }  // so far
  // Bytes that kept messages hold.
  std::size_t kept() const noexcept { return kept_bytes_; }

  // Writes what the socket takes. kDone: all of it.
  Moved flush(Transport& transport);

 private:
  struct Segment {
    const std::byte* outside;  // null: `begin` is an offset into own_
    std::size_t begin;
    std::size_t size;
  };

  struct Kept {
    std::uint64_t until;  // of written_
    Message message;
  };

  void drop(std::size_t count) noexcept;
  void compact() noexcept;

  std::vector<std::byte> own_;
  std::vector<Segment> segments_;
  std::size_t first_ = 0;  // segments before it are written
  std::size_t size_ = 0;
  std::uint64_t written_ = 0;
  std::deque<Kept> kept_;
  std::size_t kept_bytes_ = 0;
};

}  // namespace penstock::net
