// The tiny messages that the data plane answers without Python: readiness and health.
// Replies come framed: gRPC's prefix and the message, ready to send.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "base/status.h"
#include "codec/grpc_message.h"

namespace penstock::codec {

// Views into the message.
struct ModelReadyRequest {
  std::string_view name;
  std::string_view version;
};

// INVALID_ARGUMENT: not a protobuf message, or a string that is not UTF-8.
Status decode_model_ready_request(std::span<const std::byte> message, ModelReadyRequest* request);

// HealthCheckRequest.service, a view into the message; errors as above.
Status decode_health_check_request(std::span<const std::byte> message, std::string_view* service);

// grpc.health.v1.HealthCheckResponse.ServingStatus
enum class ServingStatus : std::uint8_t { kUnknown = 0, kServing = 1, kNotServing = 2, kServiceUnknown = 3 };

class FramedReply {
 public:
  // ServerLiveResponse, ServerReadyResponse and ModelReadyResponse are one and the same on the wire: bool,
  // field 1.
  static FramedReply ready(bool is_ready) noexcept { return FramedReply(is_ready ? 1 : 0); }
  static FramedReply health(ServingStatus status) noexcept {
    return FramedReply(static_cast<std::uint8_t>(status));
  }

  std::span<const std::byte> bytes() const noexcept { return {bytes_.data(), size_}; }

 private:
  // Field 1 as a varint below 128; zero is proto3's default, which is not written.
  explicit FramedReply(std::uint8_t value) noexcept;

  std::array<std::byte, kPrefixBytes + 2> bytes_{};
  std::size_t size_ = kPrefixBytes;
};

}  // namespace penstock::codec
