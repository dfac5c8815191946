#include "codec/infer_response.h"

#include <algorithm>
#include <limits>

#include "base/utf8.h"
#include "codec/grpc_message.h"
#include "codec/parameters.h"
#include "codec/tensor_contents.h"
#include "codec/wire_writer.h"

namespace penstock::codec {
namespace {

// ModelInferResponse
constexpr std::uint32_t kModelName = 1;
constexpr std::uint32_t kModelVersion = 2;
constexpr std::uint32_t kId = 3;
constexpr std::uint32_t kParameters = 4;
constexpr std::uint32_t kOutputs = 5;
constexpr std::uint32_t kRawOutputContents = 6;
// InferOutputTensor
constexpr std::uint32_t kName = 1;
constexpr std::uint32_t kDatatype = 2;
constexpr std::uint32_t kShape = 3;
constexpr std::uint32_t kContents = 5;
// ModelStreamInferResponse
constexpr std::uint32_t kErrorMessage = 1;
constexpr std::uint32_t kInferResponse = 2;

constexpr std::size_t kRawLengthBytes = 4;  // before each element of a raw BYTES tensor

// The sizes of one output's parts on the wire, found before anything is written.
struct OutputSize {
  std::size_t shape = 0;     // the packed dimensions
  std::size_t contents = 0;  // InferTensorContents, or the raw entry
  std::size_t packed = 0;    // the packed elements within InferTensorContents
  std::size_t message = 0;   // InferOutputTensor
};

// A number as the varint that its field of InferTensorContents takes: negative ones are extended to 64 bits.
template <typename T>
constexpr std::uint64_t varint_of(T value) {
  if constexpr (std::is_signed_v<T>) return static_cast<std::uint64_t>(static_cast<std::int64_t>(value));
  return value;
}

template <typename T>
std::span<const T> elements_of(const TensorView& tensor) {
  return {static_cast<const T*>(tensor.data), static_cast<std::size_t>(tensor.elements)};
}

// Calls `use` with the tensor's elements as the integers that travel as varints; BOOL as its bytes.
template <typename Use>
void with_varints(const TensorView& tensor, Use use) {
  switch (tensor.dtype) {
    case DataType::kBool:
    case DataType::kUint8:
      return use(elements_of<std::uint8_t>(tensor));
    case DataType::kUint16:
      return use(elements_of<std::uint16_t>(tensor));
    case DataType::kUint32:
      return use(elements_of<std::uint32_t>(tensor));
    case DataType::kUint64:
      return use(elements_of<std::uint64_t>(tensor));
    case DataType::kInt8:
      return use(elements_of<std::int8_t>(tensor));
    case DataType::kInt16:
      return use(elements_of<std::int16_t>(tensor));
    case DataType::kInt32:
      return use(elements_of<std::int32_t>(tensor));
    case DataType::kInt64:
      return use(elements_of<std::int64_t>(tensor));
    default:  // the fixed-width types and BYTES are no varints
      return;
  }
}

bool is_fixed(DataType type) { return type == DataType::kFp32 || type == DataType::kFp64; }

std::size_t raw_size(const TensorView& tensor) {
  if (tensor.dtype != DataType::kBytes) return tensor.byte_size();
  std::size_t size = 0;
  for (const StringRef& element : tensor.strings()) size += kRawLengthBytes + element.view().size();
  return size;
}

void measure_typed(const TensorView& tensor, OutputSize* size) {
  if (tensor.dtype == DataType::kBytes) {
    for (const StringRef& element : tensor.strings())
      size->contents += length_field_size(element.view().size());
    return;
  }
  if (is_fixed(tensor.dtype)) {
    size->packed = tensor.byte_size();
  } else {
    with_varints(tensor, [&](auto values) {
      for (const auto value : values) size->packed += varint_size(varint_of(value));
    });
  }
  size->contents = size->packed == 0 ? 0 : length_field_size(size->packed);
}

OutputSize measure(const TensorView& tensor, bool raw) {
  OutputSize size;
  for (const std::int64_t dim : tensor.shape) size.shape += varint_size(static_cast<std::uint64_t>(dim));
  size.message = text_field_size(tensor.name) + text_field_size(datatype_name(tensor.dtype));
  if (size.shape > 0) size.message += length_field_size(size.shape);
  if (raw) {
    size.contents = raw_size(tensor);
  } else {
    measure_typed(tensor, &size);
    size.message += length_field_size(size.contents);
  }
  return size;
}

void put_typed(const TensorView& tensor, const OutputSize& size, WireWriter* out) {
  out->put_header(kContents, size.contents);
  const auto kind = static_cast<std::uint32_t>(contents_kind(tensor.dtype));
  if (tensor.dtype == DataType::kBytes) {
    for (const StringRef& element : tensor.strings()) {
      out->put_header(kind, element.view().size());
      out->put_bytes(element.data, element.view().size());
    }
    return;
  }
  if (size.packed == 0) return;
  out->put_header(kind, size.packed);
  if (is_fixed(tensor.dtype)) {
    out->put_bytes(tensor.data, tensor.byte_size());
  } else {
    with_varints(tensor, [&](auto values) {
      for (const auto value : values) out->put_varint(varint_of(value));
    });
  }
}

void put_output(const TensorView& tensor, const OutputSize& size, bool raw, WireWriter* out) {
  out->put_header(kOutputs, size.message);
  out->put_text(kName, tensor.name);
  out->put_text(kDatatype, datatype_name(tensor.dtype));
  if (size.shape > 0) {
    out->put_header(kShape, size.shape);
    for (const std::int64_t dim : tensor.shape) out->put_varint(static_cast<std::uint64_t>(dim));
  }
  if (!raw) put_typed(tensor, size, out);
}

void put_raw(const TensorView& tensor, WireWriter* out) {
  if (tensor.dtype != DataType::kBytes) {
    out->put_bytes(tensor.data, tensor.byte_size());
    return;
  }
  for (const StringRef& element : tensor.strings()) {
    const auto length = static_cast<std::uint32_t>(element.view().size());
    out->put_bytes(&length, sizeof length);
    out->put_bytes(element.data, length);
  }
}

// A writer behind the room that the caller wants; gRPC's prefix is written into room of its size.
WireWriter start_message(std::span<std::byte> written, std::size_t prefix, std::size_t message) {
  if (prefix == kPrefixBytes) {
    write_prefix(written.first<kPrefixBytes>(), static_cast<std::uint32_t>(message));
  }
  return WireWriter(written.data() + prefix);
}

bool raw_only(const TensorView& tensor) { return contents_kind(tensor.dtype) == ContentsKind::kNone; }

}  // namespace

std::string encode_response_head(std::string_view model_name, std::string_view model_version,
                                 std::span<const Parameter> parameters) {
  std::size_t size = text_field_size(model_name) + text_field_size(model_version);
  for (const Parameter& parameter : parameters) size += length_field_size(parameter_entry_size(parameter));
  std::string head(size, '\0');
  WireWriter out(reinterpret_cast<std::byte*>(head.data()));
  out.put_text(kModelName, model_name);
  out.put_text(kModelVersion, model_version);
  for (const Parameter& parameter : parameters) {
    out.put_header(kParameters, parameter_entry_size(parameter));
    put_parameter_entry(parameter, &out);
  }
  return head;
}

std::span<const Piece> encode_infer_response(const InferResponse& response, std::size_t prefix,
                                             std::size_t borrow_at, Arena& arena) {
  const bool raw = response.raw || std::ranges::any_of(response.outputs, raw_only);
  const auto borrows = [&](const TensorView& tensor, const OutputSize& size) {
    return raw && tensor.dtype != DataType::kBytes && size.contents > 0 && size.contents >= borrow_at;
  };

  const std::span<OutputSize> sizes = arena.array<OutputSize>(response.outputs.size());
  std::size_t message = response.head.size() + text_field_size(response.id);
  std::size_t borrowed_bytes = 0;
  std::size_t borrowed = 0;
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    sizes[i] = measure(response.outputs[i], raw);
    message += length_field_size(sizes[i].message);
    if (raw) message += length_field_size(sizes[i].contents);
    if (borrows(response.outputs[i], sizes[i])) {
      borrowed_bytes += sizes[i].contents;
      ++borrowed;
    }
  }
  const std::size_t whole = response.stream ? length_field_size(message) : message;
  if (whole > kMaxMessageBytes) return {};

  const std::span<std::byte> written = arena.uninitialised<std::byte>(prefix + whole - borrowed_bytes);
  const std::span<Piece> pieces = arena.array<Piece>(2 * borrowed + 1);
  std::size_t count = 0;
  const std::byte* run = written.data();  // where the piece being written began
  WireWriter out = start_message(written, prefix, whole);
  if (response.stream) out.put_header(kInferResponse, message);
  out.put_bytes(response.head.data(), response.head.size());
  out.put_text(kId, response.id);
  for (std::size_t i = 0; i < sizes.size(); ++i) put_output(response.outputs[i], sizes[i], raw, &out);
  for (std::size_t i = 0; raw && i < sizes.size(); ++i) {
    out.put_header(kRawOutputContents, sizes[i].contents);
    if (!borrows(response.outputs[i], sizes[i])) {
      put_raw(response.outputs[i], &out);
      continue;
    }
    pieces[count++] = {{run, out.at()}, false};
    pieces[count++] = {response.outputs[i].bytes(), true};
    run = out.at();
  }
  if (run != out.at()) pieces[count++] = {{run, out.at()}, false};
  return pieces.first(count);
}

std::span<const std::byte> encode_stream_error(std::string_view message, std::string_view id,
                                               std::size_t prefix, Arena& arena) {
  constexpr std::size_t kLongest = 4096;
  const std::string_view kept = message.substr(0, kLongest);
  const std::size_t response = text_field_size(id);
  const std::size_t whole = text_field_size(kept) + (response == 0 ? 0 : length_field_size(response));
  const std::span<std::byte> written = arena.uninitialised<std::byte>(prefix + whole);
  WireWriter out = start_message(written, prefix, whole);
  out.put_text(kErrorMessage, kept);
  if (!is_utf8(kept)) {
    for (std::byte& byte : std::span(out.at() - kept.size(), kept.size())) {
      if (byte >= std::byte{0x80}) byte = std::byte{'?'};
    }
  }
  if (response > 0) {
    out.put_header(kInferResponse, response);
    out.put_text(kId, id);
  }
  return written;
}

}  // namespace penstock::codec
