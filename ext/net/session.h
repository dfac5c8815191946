// Session: gRPC over HTTP/2 on one connection, without a socket: bytes in, bytes out.
// nghttp2 does HTTP/2; this class does what gRPC adds to it: paths, messages in DATA frames, status in
// trailers, deadlines.
#pragma once

#include <nghttp2/nghttp2.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "net/budget.h"
#include "net/method.h"
#include "net/options.h"
#include "net/outbox.h"
#include "net/stream.h"
#include "net/traffic.h"

namespace penstock::net {

// What is done with calls. All on the loop's thread; may answer at once, within the call, or later.
class Handler {
 public:
  virtual ~Handler() = default;
  // One whole message, without prefix, valid during the call. For a unary method only once the caller
  // half-closed.
  virtual void on_message(Stream& stream, std::span<const std::byte> message) = 0;
  // The caller of a streaming method has said all, and all of it went through on_message().
  virtual void on_half_close(Stream& stream) = 0;
  // The stream is gone: answered, cancelled or lost. Last call for it.
  virtual void on_closed(Stream& stream) noexcept = 0;
};

// Owned by a connection; used by its loop alone.
class Session {
 public:
  Session(const Options& options, const Methods& methods, Handler& handler, Deadlines& deadlines,
          Traffic& traffic, Budget& budget, std::uint64_t connection);
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;
  ~Session();

  // What a call is told that ends because the server does.
  static constexpr const char* kStopping = "the server is stopping";

  // Takes what was read. False: the connection cannot go on, and there is nothing more to say.
  // Afterwards flooded() may be true.
  bool feed(std::span<const std::byte> bytes, std::int64_t now_ns);
  // Makes frames until the outbox is full or there is nothing to send.
  bool fill();
  Outbox& outbox() noexcept { return outbox_; }

  // Queues a message of the answer; the first one sends the response headers.
  void send(Stream& stream, Message message);
  // Ends the answer: nothing is queued after it. A second call does nothing.
  void finish(Stream& stream, Status status);
  // Ends a call whose deadline passed, also one whose answer the peer does not take.
  void expire(Stream& stream);
  // To be called once what there was to send is sent: dates the calls with a deadline that are still open,
  // and tells the server's budget what is held.
  void end_turn();

  // Null when it is gone.
  Stream* find(std::int32_t id) noexcept;
  std::uint64_t connection() const noexcept { return connection_; }
  std::span<Stream* const> open() const noexcept { return open_; }
  // Bytes of answers that wait for the peer's window.
  std::size_t queued() const noexcept { return queued_; }
  // Bytes of answers that went into DATA frames so far.
  std::uint64_t framed() const noexcept { return framed_; }
  // Messages that were handled so far.
  std::uint64_t handled() const noexcept { return handled_; }
  // Bytes that unfinished requests and unsent answers hold.
  std::size_t buffered() const noexcept { return buffered_ + outbox_.kept(); }

  // Whether more frames of our own wait than a peer that reads makes us hold.
  bool flooded() const noexcept;
  // True when neither side has more to say.
  bool done() const noexcept;
  // Tells the peer to send nothing new here: first a notice, then, a round trip later, the last stream taken.
  void drain_notice();
  void drain();
  bool draining() const noexcept { return draining_; }
  void ping(std::int64_t now_ns);
  // From now on fill() says that the connection is over.
  void lose() noexcept { lost_ = true; }
  // Closes with a reason the peer can read.
  void terminate(std::uint32_t http2_error);

  // For the timeouts of the connection. 0: not so.
  std::int64_t headers_since() const noexcept { return headers_since_; }
  bool settled() const noexcept { return settled_; }  // the peer's preface and SETTINGS came
  std::int64_t ping_sent() const noexcept { return ping_sent_ns_; }
  // Handles what paused streams have in their backlog, as far as they may go on. False: none may.
  bool pump();
  // A call that waited for Python goes on.
  void resume(Stream& stream);

  // Takes over the message that is being handled, for one that is answered later: it lies behind `skip`
  // bytes, and the stream is charged with all of them until release().
  std::vector<std::byte> keep(Stream& stream, std::span<const std::byte> message, std::size_t* skip);
  void release(Stream& stream, std::size_t bytes) noexcept {
    account(stream, -static_cast<std::ptrdiff_t>(bytes));
  }
  // A unary call's message is not looked at any more.
  void drop_request(Stream& stream) noexcept;
  // Ends the call at that moment, unless it has a nearer deadline.
  void date(Stream& stream, std::int64_t deadline_ns);

  // A buffer for a small answer, from a message that was sent before.
  std::vector<std::byte> buffer();

 private:
  struct Callbacks;
  struct Free {
    void operator()(nghttp2_session* session) const noexcept { nghttp2_session_del(session); }
  };

  static constexpr std::uint32_t kMaxHeaderBytes = 32 * 1024;
  static constexpr std::size_t kSpareBody = 64 * 1024;  // what a stream keeps for its next request

  // session.cc
  // For what nghttp2 was asked to do. A stream that the peer reset meanwhile needs nothing; without memory
  // the connection cannot go on: throws std::bad_alloc.
  static void submitted(int result);
  static nghttp2_data_source_read_callback data_reader() noexcept;
  Stream* begin_stream(std::int32_t id);
  void close_stream(Stream& stream) noexcept;

  // session_inbound.cc
  void take_header(Stream& stream, std::string_view name, std::string_view value);
  void end_headers(Stream& stream);
  void take_data(Stream& stream, std::span<const std::byte> data);
  std::size_t take_messages(Stream& stream, std::span<const std::byte> data);
  bool check_prefix(Stream& stream, std::span<const std::byte, 5> prefix, std::size_t* length);
  void deliver(Stream& stream, std::span<const std::byte> message, bool in_receive_buffer);
  void half_close(Stream& stream);
  void settle_half_close(Stream& stream);
  void settle_views();
  bool account(Stream& stream, std::ptrdiff_t change) noexcept;
  bool over_limit() const noexcept {
    return buffered() > options_.max_buffered_bytes || (buffered() > 0 && share_.exceeded(buffered()));
  }
  void refuse_over_limit(Stream& stream);
  bool paused(const Stream& stream) const noexcept;
  bool take_backlog(Stream& stream);

  // session_outbound.cc
  void reject(Stream& stream, std::string_view http_status, Status status);
  void submit_headers(Stream& stream);
  // As the whole answer, or, without `http_status`, as the trailers of one that began.
  void submit_status(Stream& stream, std::string_view http_status);
  ssize_t read_length(Stream& stream, std::size_t room, std::uint32_t* flags);
  int write_data(Stream& stream, std::span<const std::byte, 9> head, std::size_t length);

  const Options& options_;
  const Methods& methods_;
  Handler& handler_;
  Deadlines& deadlines_;
  Traffic& traffic_;
  Budget& budget_;
  BudgetShare share_;
  const std::uint64_t connection_;
  std::unique_ptr<nghttp2_session, Free> session_;
  Outbox outbox_;

  std::vector<Stream*> open_;
  std::vector<std::unique_ptr<Stream>> streams_;  // open and spare
  std::vector<Stream*> spare_;
  std::vector<std::int32_t> viewing_;  // whose view lies in the receive buffer
  std::vector<std::int32_t> dated_;    // that came with a deadline since the last end_turn()
  std::vector<std::int32_t> paused_;   // with a backlog
  std::vector<std::vector<std::byte>> buffers_;
  std::size_t buffered_ = 0;  // bytes that open streams hold
  std::size_t queued_ = 0;
  std::uint64_t framed_ = 0;
  std::uint64_t handled_ = 0;
  std::uint64_t fed_ = 0;         // bytes that came
  std::uint64_t frames_end_ = 0;  // where the last frame that began ends in them
  bool header_block_ = false;     // whether more of a header block follows that frame
  std::int64_t now_ns_ = 0;
  std::int64_t headers_since_ = 0;
  std::int64_t ping_sent_ns_ = 0;
  bool settled_ = false;
  bool draining_ = false;
  bool lost_ = false;
};

}  // namespace penstock::net
