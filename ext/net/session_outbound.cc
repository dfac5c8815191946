// The way out: response headers, messages into DATA frames, trailers.
#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "codec/grpc_message.h"
#include "net/session.h"

namespace penstock::net {
namespace {

// A part of a held message this large goes to the socket from where it lies.
constexpr std::size_t kBorrowBytes = 1024;
constexpr std::size_t kSpareBuffers = 64;
// Clients bound the size of trailers (grpc: 8 KiB); percent-encoding may triple a message.
constexpr std::size_t kMaxMessageBytes = 2000;

constexpr std::array<std::string_view, 17> kCodes{"0", "1",  "2",  "3",  "4",  "5",  "6",  "7", "8",
                                                  "9", "10", "11", "12", "13", "14", "15", "16"};

// Not copied by nghttp2: for literals, and what outlives the submit.
nghttp2_nv constant(std::string_view name, std::string_view value) noexcept {
  return {reinterpret_cast<std::uint8_t*>(const_cast<char*>(name.data())),  // nghttp2 only reads
          reinterpret_cast<std::uint8_t*>(const_cast<char*>(value.data())), name.size(), value.size(),
          NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE};
}

nghttp2_nv copied(std::string_view name, std::string_view value) noexcept {
  nghttp2_nv header = constant(name, value);
  header.flags = NGHTTP2_NV_FLAG_NO_COPY_NAME;
  return header;
}

// No longer than a trailer may be, and no part of a UTF-8 character at the end.
std::string_view cut(std::string_view message) noexcept {
  if (message.size() <= kMaxMessageBytes) return message;
  std::size_t size = kMaxMessageBytes;
  while (size > 0 && (static_cast<unsigned char>(message[size]) & 0xC0) == 0x80) --size;
  return message.substr(0, size);
}

}  // namespace

// For requests that are no gRPC: the HTTP status tells, and the gRPC status tells clients that look for it.
void Session::reject(Stream& stream, std::string_view http_status, Status status) {
  stream.finished = true;
  stream.headers_sent = true;
  stream.status = std::move(status);
  submit_status(stream, http_status);
}

void Session::send(Stream& stream, Message message) {
  if (stream.finished) return;
  account(stream, static_cast<std::ptrdiff_t>(message.memory()));
  queued_ += message.remaining();
  stream.queue.push(std::move(message));
  if (!stream.headers_sent) {
    submit_headers(stream);
  } else if (stream.deferred) {
    stream.deferred = false;
    submitted(nghttp2_session_resume_data(session_.get(), stream.id));
  }
}

void Session::finish(Stream& stream, Status status) {
  if (stream.finished) return;
  stream.finished = true;
  stream.status = std::move(status);
  if (!stream.headers_sent) {
    stream.headers_sent = true;
    submit_status(stream, "200");
  } else if (stream.deferred) {
    stream.deferred = false;
    submitted(nghttp2_session_resume_data(session_.get(), stream.id));
  }
}

void Session::expire(Stream& stream) {
  if (!stream.headers_sent || stream.queue.empty()) {
    return finish(stream, {Code::kDeadlineExceeded,
                           stream.job == nullptr
                               ? "the deadline passed before the call was complete"
                               : "the deadline passed while it waited for the pool, or ran there, " +
                                     std::to_string((monotonic_ns() - stream.arrived_ns) / 1'000'000) +
                                     " ms after it came"});
  }
  // Trailers stand behind what is queued, and the peer's window may hold that back for ever.
  stream.finished = true;
  submitted(nghttp2_submit_rst_stream(session_.get(), NGHTTP2_FLAG_NONE, stream.id, NGHTTP2_CANCEL));
}

void Session::submit_headers(Stream& stream) {
  static constexpr std::string_view kStatus = "200";
  const std::array<nghttp2_nv, 2> headers{constant(":status", kStatus),
                                          constant("content-type", "application/grpc")};
  stream.headers_sent = true;
  nghttp2_data_provider provider{};
  provider.source.ptr = &stream;
  provider.read_callback = data_reader();
  submitted(nghttp2_submit_response(session_.get(), stream.id, headers.data(), headers.size(), &provider));
}

void Session::submit_status(Stream& stream, std::string_view http_status) {
  std::array<nghttp2_nv, 6> headers;
  std::size_t count = 0;
  std::string message;
  std::string retry_ms;
  if (!http_status.empty()) {
    headers[count++] = constant(":status", http_status);
    headers[count++] = constant("content-type", "application/grpc");
  }
  headers[count++] = constant("grpc-status", kCodes[static_cast<std::size_t>(stream.status.code())]);
  if (!stream.status.message().empty()) {
    message = codec::percent_encode(cut(stream.status.message()));
    headers[count++] = copied("grpc-message", message);
  }
  if (stream.retry_ns > 0) {  // gRFC A6
    retry_ms = std::to_string(1 + stream.retry_ns / 1'000'000);
    headers[count++] = copied("grpc-retry-pushback-ms", retry_ms);
  }
  if (stream.status.code() == Code::kUnimplemented && stream.names_encoding) {
    headers[count++] = constant("grpc-accept-encoding", "identity");
  }
  submitted(http_status.empty()
                ? nghttp2_submit_trailer(session_.get(), stream.id, headers.data(), count)
                : nghttp2_submit_response(session_.get(), stream.id, headers.data(), count, nullptr));
}

ssize_t Session::read_length(Stream& stream, std::size_t room, std::uint32_t* flags) {
  *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
  const std::size_t queued = stream.queue.bytes();
  if (queued == 0 && !stream.finished) {
    stream.deferred = true;
    return NGHTTP2_ERR_DEFERRED;
  }
  if (stream.finished && queued <= room) {
    *flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
    submit_status(stream, {});
  }
  return static_cast<ssize_t>(std::min(queued, room));
}

int Session::write_data(Stream& stream, std::span<const std::byte, 9> head, std::size_t length) {
  outbox_.append(head);
  while (length > 0) {
    const std::size_t part = std::min(length, stream.queue.front().remaining());
    stream.queue.consume(part, [this](std::span<const std::byte> bytes, bool stays) {
      if (stays && bytes.size() >= kBorrowBytes) {
        outbox_.borrow(bytes);
      } else {
        outbox_.append(bytes);
      }
    });
    queued_ -= part;
    framed_ += part;
    length -= part;
    if (stream.queue.front().remaining() > 0) continue;
    Message sent = stream.queue.pop();
    account(stream, -static_cast<std::ptrdiff_t>(sent.memory()));
    if (sent.held()) {
      outbox_.keep(std::move(sent));
    } else if (buffers_.size() < kSpareBuffers && sent.memory() <= Message::kCopyBelow) {
      buffers_.push_back(sent.take_buffer());
    }
  }
  return outbox_.full() ? NGHTTP2_ERR_PAUSE : 0;
}

}  // namespace penstock::net
