#include "net/outbox.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace penstock::net {
namespace {

// Room for what is written already; beyond it a peer that reads slowly, but always, would make own_ grow
// without end.
constexpr std::size_t kCompactAbove = 1 << 20;
// What an outbox that is empty keeps for the next answers: there is one for each connection.
constexpr std::size_t kKeepCapacity = 64 * 1024;

}  // namespace

void Outbox::append(std::span<const std::byte> bytes) {
  if (bytes.empty()) return;
  const std::size_t begin = own_.size();
  own_.insert(own_.end(), bytes.begin(), bytes.end());
  size_ += bytes.size();
  if (segments_.size() > first_ && segments_.back().outside == nullptr) {
    segments_.back().size += bytes.size();  // own_ only grows, so the last own segment ends where this begins
  } else {
    segments_.push_back({nullptr, begin, bytes.size()});
  }
}

void Outbox::borrow(std::span<const std::byte> bytes) {
  if (bytes.empty()) return;
  segments_.push_back({bytes.data(), 0, bytes.size()});
  size_ += bytes.size();
}

void Outbox::keep(Message message) {
  if (size_ == 0) return;
  const std::size_t memory = message.memory();
  kept_.push_back({written_ + size_, std::move(message)});
  kept_bytes_ += memory;
}

void Outbox::drop(std::size_t count) noexcept {
  size_ -= count;
  written_ += count;
  while (count > 0) {
    Segment& segment = segments_[first_];
    const std::size_t part = std::min(count, segment.size);
    if (segment.outside != nullptr) segment.outside += part;
    segment.begin += part;
    segment.size -= part;
    count -= part;
    if (segment.size == 0) ++first_;
  }
  while (!kept_.empty() && kept_.front().until <= written_) {
    kept_bytes_ -= kept_.front().message.memory();
    kept_.pop_front();
  }
  if (size_ == 0) {
    segments_.clear();
    first_ = 0;
    own_.clear();
    if (own_.capacity() > kKeepCapacity) std::vector<std::byte>().swap(own_);
  } else if (own_.size() > kCompactAbove || first_ > 4096) {
    compact();
  }
}

void Outbox::abandon() noexcept {
  segments_.clear();
  first_ = 0;
  size_ = 0;
  own_.clear();
  kept_.clear();
  kept_bytes_ = 0;
}

void Outbox::compact() noexcept {
  segments_.erase(segments_.begin(), segments_.begin() + static_cast<std::ptrdiff_t>(first_));
  first_ = 0;
  std::size_t dead = own_.size();
  for (const Segment& segment : segments_) {
    if (segment.outside == nullptr) {
      dead = segment.begin;
      break;
    }
  }
  own_.erase(own_.begin(), own_.begin() + static_cast<std::ptrdiff_t>(dead));
  for (Segment& segment : segments_) {
    if (segment.outside == nullptr) segment.begin -= dead;
  }
}

Moved Outbox::flush(Transport& transport) {
  std::size_t total = 0;
  while (size_ > 0) {
    std::array<iovec, 64> vectors;
    std::size_t count = 0;
    for (std::size_t i = first_; i < segments_.size() && count < vectors.size(); ++i) {
      const Segment& segment = segments_[i];
      const std::byte* at = segment.outside != nullptr ? segment.outside : own_.data() + segment.begin;
      vectors[count++] = {const_cast<std::byte*>(at), segment.size};  // written from, never to
    }
    const Moved moved = transport.write({vectors.data(), count});
    if (moved.state != Io::kDone) return {moved.state, total};
    drop(moved.bytes);
    total += moved.bytes;
  }
  return {Io::kDone, total};
}

}  // namespace penstock::net
