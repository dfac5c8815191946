// ModelInferResponse written straight into the send buffer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/arena.h"
#include "base/tensor.h"
#include "codec/infer_request.h"

namespace penstock::codec {

inline constexpr std::size_t kMaxMessageBytes = INT32_MAX;  // of any protobuf message

struct InferResponse {
  // model_name, model_version and parameters as they stand on the wire, encoded once a version by
  // encode_response_head().
  std::span<const std::byte> head;
  std::string_view id;
  std::span<const TensorView> outputs;
  bool raw = true;  // raw_output_contents, or typed contents. FP16 and BF16 have no typed form: one of them
                    // among the outputs makes them all travel raw.
  bool stream = false;  // as one message of ModelStreamInfer: wrapped in a ModelStreamInferResponse
};

// The constant part of a version's answers.
std::string encode_response_head(std::string_view model_name, std::string_view model_version,
                                 std::span<const Parameter> parameters);

// A piece of an encoded message: bytes that were written, or bytes that stay where the tensor has them.
struct Piece {
  std::span<const std::byte> bytes;
  bool borrowed = false;  // true: these are a tensor's own bytes, which must outlive the sending
};

// Encodes the message, with `prefix` bytes of room before it. Room of kPrefixBytes is filled in with gRPC's
// prefix (not compressed), any other is the caller's to fill. Raw contents of at least `borrow_at` bytes are
// not copied: they come out as a piece of their own. Everything written, and the pieces, come from `arena`.
// The pieces together are prefix + message, in order. No piece at all: the message would be 2 GiB or more,
// which protobuf cannot carry.
std::span<const Piece> encode_infer_response(const InferResponse& response, std::size_t prefix,
                                             std::size_t borrow_at, Arena& arena);

// A ModelStreamInferResponse that reports the failure of one request of a stream, behind `prefix` bytes as
// above. `id` is the request's, so that the caller can tell which; "" leaves infer_response out. `message` is
// cut to what an error needs, and bytes that are not UTF-8 become '?'.
std::span<const std::byte> encode_stream_error(std::string_view message, std::string_view id,
                                               std::size_t prefix, Arena& arena);

}  // namespace penstock::codec
