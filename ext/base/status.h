// Status: the result of anything that can fail, with the gRPC code that a caller would see.
// An ok Status holds no memory; a failed one owns its message.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace penstock {

// Numbers are those of gRPC (grpc/status.h), so that a Code goes onto the wire as it is.
enum class Code : std::int32_t {
  kOk = 0,
  kCancelled = 1,
  kUnknown = 2,
  kInvalidArgument = 3,
  kDeadlineExceeded = 4,
  kNotFound = 5,
  kAlreadyExists = 6,
  kPermissionDenied = 7,
  kResourceExhausted = 8,
  kFailedPrecondition = 9,
  kAborted = 10,
  kOutOfRange = 11,
  kUnimplemented = 12,
  kInternal = 13,
  kUnavailable = 14,
  kDataLoss = 15,
  kUnauthenticated = 16,
};

class [[nodiscard]] Status {
 public:
  Status() noexcept = default;
  Status(Code code, std::string message) : code_(code), message_(std::move(message)) {}

  static Status ok() noexcept { return {}; }

  bool is_ok() const noexcept { return code_ == Code::kOk; }
  Code code() const noexcept { return code_; }
  const std::string& message() const noexcept { return message_; }

 private:
  Code code_ = Code::kOk;
  std::string message_;
};

inline Status invalid_argument(std::string message) { return {Code::kInvalidArgument, std::move(message)}; }

}  // namespace penstock

// Leaves the enclosing function with the Status of `expression` when that one failed.
#define PENSTOCK_RETURN_IF_ERROR(expression)                                             \
  do {                                                                                   \
    if (::penstock::Status penstock_status_ = (expression); !penstock_status_.is_ok()) { \
      return penstock_status_;                                                           \
    }                                                                                    \
  } while (false)
