// Stream: one call on a connection: what has come of its request, and what waits of its answer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "codec/small_messages.h"
#include "net/message.h"

namespace penstock::engine {
struct Job;
}

namespace penstock::net {

struct Method;
class Session;
struct Stream;

// Streams that wait for their deadline, by it. A loop's.
using Deadlines = std::multimap<std::int64_t, Stream*>;

// Owned by its session, which reuses it; used by the loop's thread alone.
struct Stream {
  std::int32_t id = 0;
  Session* session = nullptr;
  const Method* method = nullptr;
  std::size_t index = 0;  // in the session's list of open streams

  // The request's headers.
  bool is_post = false;
  bool is_grpc = false;
  bool names_encoding = false;  // grpc-encoding other than identity
  bool bad_timeout = false;
  std::size_t header_bytes = 0;
  std::string path;
  std::int64_t deadline_ns = kNoDeadline;
  std::optional<Deadlines::iterator> timer;

  // The request's body. A complete unary message is `view`: in the receive buffer, or in `body` once that is
  // reused.
  std::span<const std::byte> view;
  bool view_is_borrowed = false;
  std::vector<std::byte> body;     // prefix and message, while it is not complete
  std::vector<std::byte> backlog;  // bytes of a stream that is paused ...
  std::size_t backlog_taken = 0;   // ... of which these are handled
  std::size_t messages = 0;
  std::size_t buffered = 0;  // bytes of body and backlog, and what the queue's messages hold
  bool half_closed = false;  // the caller has said all
  std::int64_t heard_ns = 0;
  // When the message that is handled was read; of one that waited behind its stream's own answers, when its
  // turn came.
  std::int64_t arrived_ns = 0;

  // The answer.
  MessageQueue queue;
  bool headers_sent = false;
  bool deferred = false;  // nghttp2 waits for resume_data
  bool finished = false;  // nothing more will be queued; `status` goes out behind the queue
  Status status;
  std::int64_t retry_ns = 0;                    // when not 0, the trailers say to try again after that
  std::size_t waiting = 0;                      // messages that were taken and will be answered later
  std::size_t gathered = 0;                     // where it stands among those of its loop's turn, from 1
  engine::Job* job = nullptr;                   // of its that the pool has
  std::optional<codec::ServingStatus> watched;  // what a health watcher was told last
  std::size_t watcher = 0;                      // its place among the service's watchers

  // As new, but for the room that its buffers have. The queue is empty by then.
  void reset() noexcept {
    Stream fresh;
    fresh.path.swap(path);
    fresh.body.swap(body);
    std::swap(fresh.queue, queue);
    fresh.path.clear();
    fresh.body.clear();
    *this = std::move(fresh);
  }
};

}  // namespace penstock::net
