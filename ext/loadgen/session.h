// Session: the client's side of one HTTP/2 connection without a socket, for many calls with the same headers.
// Bytes in, bytes out. Owned by one thread.
//
// nghttp2's session serves any client; this one serves a load generator, which shares the machine with the
// server under test: requests are copied from one that is encoded already, and answers are compared as they
// come. A warm session allocates nothing for a call. Header blocks of the peer go through nghttp2's HPACK
// decoder.
#pragma once

#include <nghttp2/nghttp2.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>

#include "loadgen/call.h"
#include "loadgen/call_queue.h"
#include "loadgen/frame.h"
#include "loadgen/header_block.h"
#include "loadgen/stream_table.h"

namespace penstock::loadgen {

// Takes calls that have ended.
class Ended {
 public:
  virtual ~Ended() = default;
  // The stream closed with that HTTP/2 error code (0: in good order; REFUSED_STREAM: the peer has not looked
  // at it); the call is the receiver's again, who may submit it anew at once.
  virtual void on_ended(Call& call, std::uint32_t error_code) = 0;
};

// The peer broke HTTP/2, or speaks something else.
class PeerError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

class Session {
 public:
  // Both outlive the session. Throws std::bad_alloc.
  Session(const HeaderBlock& headers, Ended& ended);

  // Queues a request for `call`, whose body is set. False when the connection takes no more of them: it is
  // going away, or its stream numbers are used up. Otherwise the call is the session's until it has ended.
  bool submit(Call& call) noexcept;

  // Appends what is to be sent now, as far as the peer's windows and stream limit allow, until `out` holds
  // `enough` bytes or a whole request more.
  void pull(std::string& out, std::size_t enough);

  // Takes the whole frames that `bytes` begin with; gives the number of bytes taken. PeerError.
  std::size_t push(std::span<const std::uint8_t> bytes);

  // Takes a call that is under way back; Ended does not hear of it. The peer is told, where it knows of it.
  void cancel(Call& call);

  // Gives all calls back: Ended hears of each, with the error code INTERNAL_ERROR, or REFUSED_STREAM where
  // nothing of it was sent. Nothing can be submitted after.
  void abandon();

  bool settled() const noexcept { return settled_; }  // the peer's first SETTINGS have come
  bool takes() const noexcept { return !going_away_ && streams_left_ != 0; }     // more requests
  bool idle() const noexcept { return queue_.empty() && streams_.size() == 0; }  // no call is under way

 private:
  struct InflaterDeleter {
    void operator()(nghttp2_hd_inflater* inflater) const noexcept { nghttp2_hd_inflate_del(inflater); }
  };
  using Payload = std::span<const std::uint8_t>;

  void start(Call& call, std::string& out);
  void put_headers(std::string& out, std::uint32_t stream);
  // As much of the body as the windows allow; what is left waits in sending_.
  void send_body(Call& call, std::string& out);

  void take_frame(const FrameHeader& header, Payload payload);
  void take_data(const FrameHeader& header, Payload payload);
  void take_headers(const FrameHeader& header, Payload payload);
  void take_continuation(const FrameHeader& header, Payload payload);
  void take_block(std::uint32_t stream, Payload block, bool ends);
  void take_settings(const FrameHeader& header, Payload payload);
  void set(std::uint32_t id, std::uint32_t value);
  void take_window_update(const FrameHeader& header, Payload payload);
  void take_goaway(Payload payload);
  void end(Call& call, std::uint32_t error_code);

  const HeaderBlock& headers_;
  Ended& ended_;
  std::unique_ptr<nghttp2_hd_inflater, InflaterDeleter> inflater_;
  StreamTable streams_;
  CallQueue queue_;      // submitted, no stream yet
  CallQueue sending_;    // a part of the body waits for a window
  std::string control_;  // frames that go before all others

  std::uint32_t next_stream_ = 1;
  std::uint32_t streams_left_ = 1U << 30U;  // numbers that no call has been given
  bool going_away_ = false;
  bool settled_ = false;
  bool widened_ = false;  // a window has grown, so that some of sending_ may go on

  // The peer's settings and windows.
  std::size_t max_streams_ = 100;  // until its settings come; then there is no limit unless they name one
  std::size_t max_frame_ = kDefaultFrameBytes;
  std::int64_t initial_window_ = kDefaultWindow;
  std::int64_t window_ = kDefaultWindow;
  std::uint32_t table_bytes_ = kDefaultTableBytes;  // that our header blocks may use
  bool table_changed_ = false;                      // and no block has said so
  bool table_filled_ = false;                       // it holds our headers

  std::int64_t unacknowledged_ = 0;  // bytes of DATA that the connection's window has not been given back
  std::uint32_t block_stream_ = 0;   // whose header block goes on in CONTINUATION frames; 0: none does
  bool block_ends_ = false;
  std::string block_;
};

}  // namespace penstock::loadgen
