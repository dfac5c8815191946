#include "codec/infer_request.h"

#include <array>
#include <cstring>
#include <limits>
#include <string>

#include "base/utf8.h"
#include "codec/parameters.h"
#include "codec/quote.h"
#include "codec/tensor_contents.h"
#include "codec/wire_reader.h"

namespace penstock::codec {
namespace {

constexpr std::uint32_t length_tag(std::uint32_t number) { return wire_tag(number, WireType::kLength); }

// ModelInferRequest
constexpr std::uint32_t kModelName = length_tag(1);
constexpr std::uint32_t kModelVersion = length_tag(2);
constexpr std::uint32_t kId = length_tag(3);
constexpr std::uint32_t kParameters = length_tag(4);
constexpr std::uint32_t kInputs = length_tag(5);
constexpr std::uint32_t kOutputs = length_tag(6);
constexpr std::uint32_t kRawInputContents = length_tag(7);
// InferInputTensor
constexpr std::uint32_t kInputName = length_tag(1);
constexpr std::uint32_t kInputDatatype = length_tag(2);
constexpr std::uint32_t kInputShapePacked = length_tag(3);
constexpr std::uint32_t kInputShape = wire_tag(3, WireType::kVarint);
constexpr std::uint32_t kInputParameters = length_tag(4);
constexpr std::uint32_t kInputContents = length_tag(5);
// InferRequestedOutputTensor
constexpr std::uint32_t kOutputName = length_tag(1);
constexpr std::uint32_t kOutputParameters = length_tag(2);

// An empty input, output or parameter costs its sender two bytes, and us some seventy. No honest request
// comes near.
constexpr std::size_t kMaxEntries = 1 << 16;
constexpr std::size_t kMaxRank = 64;

Status read_text(Bytes bytes, std::string_view field, std::string_view* text) {
  if (!is_utf8(as_text(bytes))) {
    return invalid_argument(std::string(field) + " is not valid UTF-8, which protobuf strings must be");
  }
  *text = as_text(bytes);
  return Status::ok();
}

// The dimensions of one input as they come in; kept on the stack until their number is known.
class Shape {
 public:
  void add(std::uint64_t bits) noexcept {
    if (rank_ < kMaxRank) dims_[rank_] = static_cast<std::int64_t>(bits);
    ++rank_;
  }

  bool add_packed(Bytes packed) noexcept {
    const std::byte* at = packed.data();
    const std::byte* const end = at + packed.size();
    while (at != end) {
      std::uint64_t bits = 0;
      if (!read_varint(&at, end, &bits)) return false;
      add(bits);
    }
    return true;
  }

  // Sets the tensor's shape and number of elements.
  Status finish(Arena& arena, TensorView* tensor) const {
    if (rank_ > kMaxRank)
      return refuse(*tensor, std::to_string(rank_) + " dimensions came, expected at most 64");
    const std::span<std::int64_t> dims = arena.uninitialised<std::int64_t>(rank_);
    if (rank_ > 0) std::memcpy(dims.data(), dims_.data(), dims.size_bytes());
    tensor->shape = dims;
    // A zero makes the tensor empty but hides no overflow: strides are computed from the other dimensions.
    std::int64_t product = 1;
    bool empty = false;
    for (const std::int64_t dim : dims) {
      if (dim < 0) return refuse(*tensor, "shape " + quote(dims) + " has a negative dimension");
      if (dim == 0) {
        empty = true;
      } else if (__builtin_mul_overflow(product, dim, &product)) {
        return refuse(*tensor, "shape " + quote(dims) + " has more elements than 64 bits can count");
      }
    }
    tensor->elements = empty ? 0 : product;
    return Status::ok();
  }

 private:
  static Status refuse(const TensorView& tensor, const std::string& why) {
    return invalid_argument("input " + quote(tensor.name) + ": " + why);
  }

  std::array<std::int64_t, kMaxRank> dims_;  // NOLINT: the first rank_ are set
  std::size_t rank_ = 0;
};

// One request on its way from the wire; lives for the length of decode_infer_request().
class Decoder {
 public:
  Decoder(Bytes message, Arena& arena, InferRequest* request)
      : message_(message), arena_(arena), request_(request) {}

  Status decode();

 private:
  Status survey();
  Status take(std::size_t entries);
  Status decode_input(Bytes bytes, std::size_t index, InputTensor* input);
  Status decode_output(Bytes bytes, RequestedOutput* output);

  Bytes message_;
  Arena& arena_;
  InferRequest* request_;

  // What survey() counted.
  std::size_t parameters_ = 0;
  std::size_t inputs_ = 0;
  std::size_t outputs_ = 0;
  std::size_t raw_ = 0;

  std::size_t entries_left_ = kMaxEntries;
  std::span<Bytes> raw_contents_;
  bool typed_data_ = false;  // an input had elements in `contents`
};

Status Decoder::take(std::size_t entries) {
  if (entries > entries_left_) {
    return invalid_argument("the request has more than " + std::to_string(kMaxEntries) +
                            " inputs, outputs and parameters, which is the limit");
  }
  entries_left_ -= entries;
  return Status::ok();
}

// First pass: the singular fields, and how many there are of the repeated ones.
Status Decoder::survey() {
  WireReader reader(message_);
  WireField field;
  while (reader.next(&field)) {
    switch (field.tag) {
      case kModelName:
        PENSTOCK_RETURN_IF_ERROR(read_text(field.bytes, "model_name", &request_->model_name));
        break;
      case kModelVersion:
        PENSTOCK_RETURN_IF_ERROR(read_text(field.bytes, "model_version", &request_->model_version));
        break;
      case kId:
        PENSTOCK_RETURN_IF_ERROR(read_text(field.bytes, "id", &request_->id));
        break;
      case kParameters:
        ++parameters_;
        break;
      case kInputs:
        ++inputs_;
        break;
      case kOutputs:
        ++outputs_;
        break;
      case kRawInputContents:
        ++raw_;
        break;
      default:
        break;
    }
  }
  if (reader.failed()) return reader.error("ModelInferRequest");
  if (raw_ != 0 && raw_ != inputs_) {
    return invalid_argument("raw_input_contents has " + std::to_string(raw_) + " entries, expected " +
                            std::to_string(inputs_) + ": one an input, in the inputs' order");
  }
  return take(parameters_ + inputs_ + outputs_);
}

// Second pass: the repeated fields, into arrays of the right size.
Status Decoder::decode() {
  *request_ = {};
  PENSTOCK_RETURN_IF_ERROR(survey());
  const std::span<InputTensor> inputs = arena_.array<InputTensor>(inputs_);
  const std::span<RequestedOutput> outputs = arena_.array<RequestedOutput>(outputs_);
  const std::span<Bytes> input_bytes = arena_.uninitialised<Bytes>(inputs_);
  raw_contents_ = arena_.uninitialised<Bytes>(raw_);

  std::size_t input = 0;
  std::size_t output = 0;
  std::size_t raw = 0;
  WireReader reader(message_);
  WireField field;
  while (reader.next(&field)) {
    if (field.tag == kInputs) {
      input_bytes[input++] = field.bytes;
    } else if (field.tag == kRawInputContents) {
      raw_contents_[raw++] = field.bytes;
    } else if (field.tag == kOutputs) {
      PENSTOCK_RETURN_IF_ERROR(decode_output(field.bytes, &outputs[output++]));
    }
  }
  // The raw contents may stand before the inputs or behind them, so the inputs come last.
  for (std::size_t i = 0; i < inputs_; ++i) {
    PENSTOCK_RETURN_IF_ERROR(decode_input(input_bytes[i], i, &inputs[i]));
  }
  if (parameters_ > 0) {
    PENSTOCK_RETURN_IF_ERROR(decode_parameters(WireReader(message_), kParameters, parameters_,
                                               "ModelInferRequest", arena_, &request_->parameters));
  }
  request_->inputs = inputs;
  request_->outputs = outputs;
  request_->raw = raw_ > 0 || !typed_data_;
  return Status::ok();
}

Status Decoder::decode_input(Bytes bytes, std::size_t index, InputTensor* input) {
  constexpr std::string_view kWhat = "ModelInferRequest.inputs";
  TensorView& tensor = input->tensor;
  std::string_view datatype;
  Shape shape;
  std::size_t parameters = 0;
  bool contents = false;

  const WireReader start = WireReader(message_).nested(bytes);
  WireReader reader = start;
  WireField field;
  while (reader.next(&field)) {
    switch (field.tag) {
      case kInputName:
        PENSTOCK_RETURN_IF_ERROR(read_text(field.bytes, "inputs.name", &tensor.name));
        break;
      case kInputDatatype:
        PENSTOCK_RETURN_IF_ERROR(read_text(field.bytes, "inputs.datatype", &datatype));
        break;
      case kInputShapePacked:
        if (!shape.add_packed(field.bytes)) {
          return invalid_argument("malformed protobuf: inputs.shape ends within a number");
        }
        break;
      case kInputShape:
        shape.add(field.bits);
        break;
      case kInputParameters:
        ++parameters;
        break;
      case kInputContents:
        contents = true;
        break;
      default:
        break;
    }
  }
  if (reader.failed()) return reader.error(kWhat);

  const std::optional<DataType> dtype = datatype_from_name(datatype);
  if (!dtype) {
    return invalid_argument(
        "input " + quote(tensor.name) + ": unknown datatype " + quote(datatype) +
        ", expected one of BOOL, UINT8, UINT16, UINT32, UINT64, INT8, INT16, INT32, INT64, " +
        "FP16, FP32, FP64, BF16, BYTES");
  }
  tensor.dtype = *dtype;
  PENSTOCK_RETURN_IF_ERROR(shape.finish(arena_, &tensor));
  if (parameters > 0) {
    PENSTOCK_RETURN_IF_ERROR(take(parameters));
    PENSTOCK_RETURN_IF_ERROR(
        decode_parameters(start, kInputParameters, parameters, kWhat, arena_, &input->parameters));
  }
  if (raw_ > 0) {
    if (contents) {
      return invalid_argument("input " + quote(tensor.name) +
                              " has contents, and raw_input_contents came too: expected one or the other");
    }
    return decode_raw(raw_contents_[index], index, arena_, &tensor);
  }
  ContentsTally tally;
  if (contents) {
    WireReader again = start;
    while (again.next(&field)) {
      if (field.tag == kInputContents)
        PENSTOCK_RETURN_IF_ERROR(tally_contents(again.nested(field.bytes), &tally));
    }
    typed_data_ = typed_data_ || tally.has_elements();
  }
  return decode_typed(start, kInputContents, tally, arena_, &tensor);
}

Status Decoder::decode_output(Bytes bytes, RequestedOutput* output) {
  constexpr std::string_view kWhat = "ModelInferRequest.outputs";
  const WireReader start = WireReader(message_).nested(bytes);
  WireReader reader = start;
  WireField field;
  std::size_t parameters = 0;
  while (reader.next(&field)) {
    if (field.tag == kOutputName) {
      PENSTOCK_RETURN_IF_ERROR(read_text(field.bytes, "outputs.name", &output->name));
    } else if (field.tag == kOutputParameters) {
      ++parameters;
    }
  }
  if (reader.failed()) return reader.error(kWhat);
  if (parameters == 0) return Status::ok();
  PENSTOCK_RETURN_IF_ERROR(take(parameters));
  return decode_parameters(start, kOutputParameters, parameters, kWhat, arena_, &output->parameters);
}

}  // namespace

Status decode_infer_request(std::span<const std::byte> message, Arena& arena, InferRequest* request) {
  return Decoder(message, arena, request).decode();
}

}  // namespace penstock::codec
