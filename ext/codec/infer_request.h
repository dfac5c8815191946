// ModelInferRequest (inference, Open Inference Protocol v2) read straight from the wire.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <variant>

#include "base/arena.h"
#include "base/status.h"
#include "base/tensor.h"

namespace penstock::codec {

// The value of an InferParameter; monostate where the sender set none.
using ParameterValue =
    std::variant<std::monostate, bool, std::int64_t, std::string_view, double, std::uint64_t>;

struct Parameter {
  std::string_view name;
  ParameterValue value;
};

struct RequestedOutput {
  std::string_view name;
  std::span<const Parameter> parameters;
};

struct InputTensor {
  TensorView tensor;
  std::span<const Parameter> parameters;
};

// All views point into the message or into the arena: they live as long as the shorter-lived of the two.
struct InferRequest {
  std::string_view model_name;
  std::string_view model_version;
  std::string_view id;
  std::span<const Parameter> parameters;
  std::span<const InputTensor> inputs;
  std::span<const RequestedOutput> outputs;
  // How the answer's tensors travel: raw_output_contents if the request's inputs were raw, or none of them
  // had data in `contents`; typed contents otherwise.
  bool raw = true;
  // Where the rows are part of a larger table (in process only): which of its rows the first one is. Refusals
  // count from there.
  std::int64_t first_row = 0;
};

// Decodes one message (without gRPC's 5-byte prefix). Numbers are left where they are when they lie aligned
// (raw, and packed typed contents of the same width), otherwise copied into the arena once. INVALID_ARGUMENT
// says what came and what was expected, naming the tensor: not a protobuf message, unknown datatype, negative
// or overflowing shape, contents and raw together, raw entries missing or surplus, sizes that do not match
// the shape, values outside of their datatype. The caller checks names, ranks and row counts against the
// model.
Status decode_infer_request(std::span<const std::byte> message, Arena& arena, InferRequest* request);

}  // namespace penstock::codec
