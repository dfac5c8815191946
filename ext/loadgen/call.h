// Call: one request under way, and what has come of its answer. Owned by the generator, which uses it again.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace penstock::loadgen {

// What a request carries. Outlives the calls.
struct Body {
  // As it stands in DATA frames: gRPC's prefix and the message.
  std::string framed;
  // The bodies that an answer may have, likewise; at most kMostAnswers. None: any whole message will do.
  std::vector<std::string> answers;
};

inline constexpr std::size_t kMostAnswers = 64;
inline constexpr std::size_t kPrefixBytes = 5;  // of a gRPC message: a flag, and 4 bytes of length

// What has come back. Compared as it comes, and not kept.
class Answer {
 public:
  void reset(const Body& body) noexcept {
    http_status = 0;
    grpc_status = kNone;
    grpc_message.clear();
    body_ = &body;
    received_ = 0;
    message_bytes_ = 0;
    const std::size_t count = body.answers.size();
    alike_ = count == 0 ? 0 : ~std::uint64_t{0} >> (kMostAnswers - count);
  }

  void take(std::span<const std::uint8_t> bytes) noexcept {
    for (std::size_t i = 0; i < bytes.size() && received_ + i < kPrefixBytes; ++i)
      message_bytes_ = message_bytes_ << 8U | bytes[i];  // the flag falls out on the left
    for (std::uint64_t left = alike_; left != 0; left &= left - 1) {
      const std::uint64_t lowest = left & -left;
      const std::string& expected = body_->answers[index_of(lowest)];
      if (expected.size() < received_ + bytes.size() ||
          std::memcmp(expected.data() + received_, bytes.data(), bytes.size()) != 0)
        alike_ &= ~lowest;
    }
    received_ += bytes.size();
  }

  // Whether one whole gRPC message has come, and no more.
  bool whole() const noexcept {
    return received_ >= kPrefixBytes && received_ - kPrefixBytes == message_bytes_;
  }
  // Which of the body's answers has come; kMostAnswers: none of them.
  std::size_t which() const noexcept {
    for (std::uint64_t left = alike_; left != 0; left &= left - 1) {
      const std::size_t index = index_of(left & -left);
      if (body_->answers[index].size() == received_) return index;
    }
    return kMostAnswers;
  }

  static constexpr int kNone = -1;

  int http_status = 0;      // 0: none came
  int grpc_status = kNone;  // as it stood in the trailers
  std::string grpc_message;

 private:
  static std::size_t index_of(std::uint64_t bit) noexcept {
    return static_cast<std::size_t>(__builtin_ctzll(bit));
  }

  const Body* body_ = nullptr;
  std::uint64_t received_ = 0;
  std::uint32_t message_bytes_ = 0;
  std::uint64_t alike_ = 0;  // a bit for each answer that begins with what has come
};

class Connection;

struct Call {
  std::int64_t due_ns = 0;  // when it was to be sent, by the monotonic clock
  // How long after that its connection had written what it could. What it could not waits for the peer.
  std::int64_t late_ns = 0;
  bool counted = false;  // due in the time that is measured
  bool resent = false;   // the server gave it back unprocessed once
  std::size_t client = 0;
  const Body* body = nullptr;
  Answer answer;
  Call* earlier = nullptr;  // in DueOrder
  Call* later = nullptr;

  // The session's, while the call is under way.
  Connection* connection = nullptr;  // nullptr: it has none now
  std::uint32_t stream = 0;          // 0: nothing of it was sent
  std::int64_t window = 0;           // bytes that the peer still takes
  std::size_t sent = 0;              // bytes of the body
  Call* next = nullptr;              // in the list that it waits in
};

}  // namespace penstock::loadgen
