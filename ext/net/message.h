// Message: one gRPC message on its way out, prefix included, and the memory that it lies in.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <utility>
#include <vector>

#include "codec/infer_response.h"
#include "net/held_answer.h"

namespace penstock::net {

// Moves; owned by one loop.
class Message {
 public:
  // Small answers are copied, which leaves the arena to the next request.
  static constexpr std::size_t kCopyBelow = 16 * 1024;

  explicit Message(std::vector<std::byte> bytes) noexcept : bytes_(std::move(bytes)), size_(bytes_.size()) {}
  explicit Message(HeldAnswerPtr held) noexcept : held_(std::move(held)), size_(held_->answer.bytes) {}

  std::size_t remaining() const noexcept { return size_ - sent_; }
  bool begun() const noexcept { return sent_ > 0; }
  // Bytes that are held until the message is destroyed.
  std::size_t memory() const noexcept {
    if (!held_) return size_;
    return held_->arena.held() + (held_->answer.execution.results.holds() ? size_ : 0);
  }

  // Calls take(span, stays) for the next `count` bytes, in order. `stays` is true for memory that lives until
  // the message is destroyed and is large enough to be worth referring to.
  template <typename Take>
  void consume(std::size_t count, Take&& take) {
    sent_ += count;
    if (!held_) {
      take(std::span<const std::byte>(bytes_).subspan(sent_ - count, count), false);
      return;
    }
    while (count > 0) {
      const codec::Piece& piece = held_->answer.pieces[piece_];
      const std::size_t part = std::min(count, piece.bytes.size() - offset_);
      take(piece.bytes.subspan(offset_, part), true);
      offset_ += part;
      count -= part;
      if (offset_ == piece.bytes.size()) {
        ++piece_;
        offset_ = 0;
      }
    }
  }

  bool held() const noexcept { return held_ != nullptr; }
  // The small message's buffer, to be used again.
  std::vector<std::byte> take_buffer() noexcept { return std::move(bytes_); }

 private:
  std::vector<std::byte> bytes_;
  HeldAnswerPtr held_;
  std::size_t size_ = 0;
  std::size_t sent_ = 0;
  std::size_t piece_ = 0;
  std::size_t offset_ = 0;
};

// Messages in the order in which they go out. Keeps its room, so that a stream that is used again allocates
// nothing.
class MessageQueue {
 public:
  bool empty() const noexcept { return first_ == messages_.size(); }
  std::size_t size() const noexcept { return messages_.size() - first_; }
  // Of all messages, not yet sent.
  std::size_t bytes() const noexcept { return bytes_; }

  void push(Message message) {
    bytes_ += message.remaining();
    messages_.push_back(std::move(message));
  }
  Message& front() noexcept { return messages_[first_]; }

  // As Message::consume(), on the first one.
  template <typename Take>
  void consume(std::size_t count, Take&& take) {
    bytes_ -= count;
    front().consume(count, std::forward<Take>(take));
  }

  Message pop() noexcept {
    Message message = std::move(messages_[first_++]);
    bytes_ -= message.remaining();
    if (first_ == messages_.size()) {
      messages_.clear();
      first_ = 0;
    } else if (first_ >= kGone) {  // a queue that never runs empty
      messages_.erase(messages_.begin(), messages_.begin() + static_cast<std::ptrdiff_t>(first_));
      first_ = 0;
    }
    return message;
  }

 private:
  static constexpr std::size_t kGone = 64;

  std::vector<Message> messages_;
  std::size_t first_ = 0;
  std::size_t bytes_ = 0;
};

}  // namespace penstock::net
