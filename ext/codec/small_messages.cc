#include "codec/small_messages.h"

#include <string>

#include "base/utf8.h"
#include "codec/wire_reader.h"

namespace penstock::codec {
namespace {

// A message of strings: field i + 1 goes to *texts[i].
Status decode_texts(std::span<const std::byte> message, std::string_view what,
                    std::span<std::string_view* const> texts) {
  WireReader reader(message);
  WireField field;
  while (reader.next(&field)) {
    for (std::size_t i = 0; i < texts.size(); ++i) {
      if (field.tag != wire_tag(static_cast<std::uint32_t>(i + 1), WireType::kLength)) continue;
      if (!is_utf8(as_text(field.bytes))) {
        return invalid_argument(std::string(what) + " has a string that is not valid UTF-8 in field " +
                                std::to_string(i + 1));
      }
      *texts[i] = as_text(field.bytes);
    }
  }
  return reader.failed() ? reader.error(what) : Status::ok();
}

}  // namespace

Status decode_model_ready_request(std::span<const std::byte> message, ModelReadyRequest* request) {
  *request = {};
  const std::array<std::string_view*, 2> texts{&request->name, &request->version};
  return decode_texts(message, "ModelReadyRequest", texts);
}

Status decode_health_check_request(std::span<const std::byte> message, std::string_view* service) {
  *service = {};
  const std::array<std::string_view*, 1> texts{service};
  return decode_texts(message, "HealthCheckRequest", texts);
}

FramedReply::FramedReply(std::uint8_t value) noexcept {
  if (value != 0) {
    bytes_[kPrefixBytes] = static_cast<std::byte>(wire_tag(1, WireType::kVarint));
    bytes_[kPrefixBytes + 1] = static_cast<std::byte>(value);
    size_ = bytes_.size();
  }
  write_prefix(std::span<std::byte, kPrefixBytes>(bytes_.data(), kPrefixBytes),
               static_cast<std::uint32_t>(size_ - kPrefixBytes));
}

}  // namespace penstock::codec
