// The codec behind a C interface, for the tests that Python drives against Google's protobuf.
// Values cross in a plain form of their own: little-endian numbers, texts with their 32-bit length before
// them.
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/arena.h"
#include "codec/grpc_message.h"
#include "codec/infer_request.h"
#include "codec/infer_response.h"
#include "codec/small_messages.h"

using namespace penstock;

namespace {

std::string answer;  // of the last call; Python copies it before the next

class Dump {
 public:
  explicit Dump(std::string* out) : out_(out) { out_->clear(); }

  template <typename T>
  void number(T value) {
    out_->append(reinterpret_cast<const char*>(&value), sizeof value);
  }
  void text(std::string_view value) {
    number(static_cast<std::uint32_t>(value.size()));
    out_->append(value);
  }
  bool status(const Status& status) {
    number(static_cast<std::uint32_t>(status.code()));
    if (!status.is_ok()) text(status.message());
    return status.is_ok();
  }
  void parameters(std::span<const codec::Parameter> parameters) {
    number(static_cast<std::uint32_t>(parameters.size()));
    for (const codec::Parameter& parameter : parameters) {
      text(parameter.name);
      number(static_cast<std::uint32_t>(parameter.value.index()));
      if (const auto* flag = std::get_if<bool>(&parameter.value)) number<std::uint64_t>(*flag);
      if (const auto* n = std::get_if<std::int64_t>(&parameter.value)) number(*n);
      if (const auto* t = std::get_if<std::string_view>(&parameter.value)) text(*t);
      if (const auto* d = std::get_if<double>(&parameter.value)) number(*d);
      if (const auto* u = std::get_if<std::uint64_t>(&parameter.value)) number(*u);
    }
  }
  void tensor(const TensorView& tensor) {
    text(tensor.name);
    text(datatype_name(tensor.dtype));
    number(static_cast<std::uint32_t>(tensor.shape.size()));
    for (const std::int64_t dim : tensor.shape) number(dim);
    const std::size_t alignment =
        tensor.dtype == DataType::kBytes ? alignof(StringRef) : datatype_size(tensor.dtype);
    number<std::uint32_t>(tensor.data != nullptr &&
                          reinterpret_cast<std::uintptr_t>(tensor.data) % alignment == 0);
    number(static_cast<std::uint32_t>(tensor.elements));
    if (tensor.dtype == DataType::kBytes) {
      for (const StringRef& element : tensor.strings()) text(element.view());
    } else {
      text({static_cast<const char*>(tensor.data), tensor.byte_size()});
    }
  }

 private:
  std::string* out_;
};

class Parse {
 public:
  explicit Parse(const char* at) : at_(at) {}

  template <typename T>
  T number() {
    T value;
    std::memcpy(&value, at_, sizeof value);
    at_ += sizeof value;
    return value;
  }
  std::string_view text() {
    const auto size = number<std::uint32_t>();
    const std::string_view value(at_, size);
    at_ += size;
    return value;
  }
  std::vector<codec::Parameter> parameters() {
    std::vector<codec::Parameter> found(number<std::uint32_t>());
    for (codec::Parameter& parameter : found) {
      parameter.name = text();
      switch (number<std::uint32_t>()) {
        case 1:
          parameter.value = number<std::uint64_t>() != 0;
          break;
        case 2:
          parameter.value = number<std::int64_t>();
          break;
        case 3:
          parameter.value = text();
          break;
        case 4:
          parameter.value = number<double>();
          break;
        case 5:
          parameter.value = number<std::uint64_t>();
          break;
        default:
          break;
      }
    }
    return found;
  }

 private:
  const char* at_;
};

std::size_t finish(const char** out) {
  *out = answer.data();
  return answer.size();
}

}  // namespace

extern "C" {

// The message is copied to `shift` bytes behind an aligned address, with nothing allocated behind its end.
std::size_t probe_decode_request(const char* data, std::size_t size, std::size_t shift, const char** out) {
  Arena arena;
  const std::unique_ptr<std::byte[]> copy(new std::byte[size + shift]);
  if (size > 0) std::memcpy(copy.get() + shift, data, size);
  codec::InferRequest request;
  Dump dump(&answer);
  if (dump.status(codec::decode_infer_request({copy.get() + shift, size}, arena, &request))) {
    dump.text(request.model_name);
    dump.text(request.model_version);
    dump.text(request.id);
    dump.parameters(request.parameters);
    dump.number(static_cast<std::uint32_t>(request.inputs.size()));
    for (const codec::InputTensor& input : request.inputs) {
      dump.tensor(input.tensor);
      dump.parameters(input.parameters);
    }
    dump.number(static_cast<std::uint32_t>(request.outputs.size()));
    for (const codec::RequestedOutput& output : request.outputs) {
      dump.text(output.name);
      dump.parameters(output.parameters);
    }
    dump.number(static_cast<std::uint32_t>(request.raw));
  }
  return finish(out);
}

// Answers the pieces: their number, and for each whether it is borrowed, and its bytes.
std::size_t probe_encode_response(const char* data, const char** out) {
  Parse parse(data);
  Arena arena(64);
  const std::string_view name = parse.text();
  const std::string_view version = parse.text();
  const std::vector<codec::Parameter> parameters = parse.parameters();
  const std::string head = codec::encode_response_head(name, version, parameters);
  codec::InferResponse response;
  response.head = std::as_bytes(std::span(head));
  response.id = parse.text();
  std::vector<TensorView> tensors(parse.number<std::uint32_t>());
  std::vector<std::vector<std::int64_t>> shapes(tensors.size());
  std::vector<std::vector<StringRef>> strings(tensors.size());
  std::vector<std::vector<double>> numbers(tensors.size());  // for its alignment
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    TensorView& tensor = tensors[i];
    tensor.name = parse.text();
    tensor.dtype = *datatype_from_name(parse.text());
    shapes[i].resize(parse.number<std::uint32_t>());
    for (std::int64_t& dim : shapes[i]) dim = parse.number<std::int64_t>();
    tensor.shape = shapes[i];
    tensor.elements = parse.number<std::uint32_t>();
    if (tensor.dtype == DataType::kBytes) {
      for (std::int64_t e = 0; e < tensor.elements; ++e) {
        const std::string_view text = parse.text();
        strings[i].push_back({text.data(), static_cast<std::int64_t>(text.size())});
      }
      tensor.data = strings[i].data();
    } else {
      const std::string_view bytes = parse.text();
      numbers[i].resize(bytes.size() / sizeof(double) + 1);
      if (!bytes.empty()) std::memcpy(numbers[i].data(), bytes.data(), bytes.size());
      tensor.data = numbers[i].data();
    }
  }
  response.outputs = tensors;
  response.raw = parse.number<std::uint32_t>() != 0;
  response.stream = parse.number<std::uint32_t>() != 0;
  const auto prefix = parse.number<std::uint32_t>();
  const auto borrow_at = parse.number<std::uint32_t>();
  const std::span<const codec::Piece> pieces =
      codec::encode_infer_response(response, prefix, borrow_at, arena);
  Dump dump(&answer);
  dump.number(static_cast<std::uint32_t>(pieces.size()));
  for (const codec::Piece& piece : pieces) {
    dump.number(static_cast<std::uint32_t>(piece.borrowed));
    dump.text({reinterpret_cast<const char*>(piece.bytes.data()), piece.bytes.size()});
  }
  return finish(out);
}

std::size_t probe_stream_error(const char* message, std::size_t size, const char* id, const char** out) {
  Arena arena;
  const std::span<const std::byte> bytes =
      codec::encode_stream_error({message, size}, id, codec::kPrefixBytes, arena);
  answer.assign(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  return finish(out);
}

std::size_t probe_model_ready(const char* data, std::size_t size, const char** out) {
  codec::ModelReadyRequest request;
  Dump dump(&answer);
  if (dump.status(codec::decode_model_ready_request(std::as_bytes(std::span(data, size)), &request))) {
    dump.text(request.name);
    dump.text(request.version);
  }
  return finish(out);
}

std::size_t probe_health_check(const char* data, std::size_t size, const char** out) {
  std::string_view service;
  Dump dump(&answer);
  if (dump.status(codec::decode_health_check_request(std::as_bytes(std::span(data, size)), &service))) {
    dump.text(service);
  }
  return finish(out);
}

std::size_t probe_framed_reply(int health, int value, const char** out) {
  const codec::FramedReply reply = health != 0
                                       ? codec::FramedReply::health(static_cast<codec::ServingStatus>(value))
                                       : codec::FramedReply::ready(value != 0);
  answer.assign(reinterpret_cast<const char*>(reply.bytes().data()), reply.bytes().size());
  return finish(out);
}

// -1 for a malformed header.
std::int64_t probe_parse_timeout(const char* header, std::size_t size) {
  return codec::parse_timeout({header, size}).value_or(-1);
}

std::size_t probe_percent_encode(const char* text, std::size_t size, const char** out) {
  answer = codec::percent_encode({text, size});
  return finish(out);
}
}
