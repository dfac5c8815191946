#include "codec/tensor_contents.h"

#include <algorithm>
#include <limits>
#include <string>
#include <string_view>

#include "codec/quote.h"

namespace penstock::codec {
namespace {

constexpr std::array<std::string_view, kContentsKinds> kKindNames{"",
                                                                  "bool_contents",
                                                                  "int_contents",
                                                                  "int64_contents",
                                                                  "uint_contents",
                                                                  "uint64_contents",
                                                                  "fp32_contents",
                                                                  "fp64_contents",
                                                                  "bytes_contents"};

constexpr std::size_t kRawLengthBytes = 4;  // before each element of a raw BYTES tensor

constexpr std::size_t index_of(ContentsKind kind) { return static_cast<std::size_t>(kind); }

// How one element of the kind stands on the wire when it is not packed.
constexpr WireType wire_type(ContentsKind kind) {
  switch (kind) {
    case ContentsKind::kFp32:
      return WireType::kFixed32;
    case ContentsKind::kFp64:
      return WireType::kFixed64;
    case ContentsKind::kNone:
    case ContentsKind::kBytes:
      return WireType::kLength;
    default:
      return WireType::kVarint;
  }
}

constexpr std::size_t fixed_size(ContentsKind kind) { return kind == ContentsKind::kFp32 ? 4 : 8; }

Status refuse(const TensorView& tensor, const std::string& why) {
  return invalid_argument("input " + quote(tensor.name) + ": " + why);
}

std::string announced(const TensorView& tensor) {
  return std::string(datatype_name(tensor.dtype)) + " of shape " + quote(tensor.shape);
}

// Elements in a packed field; nothing when its bytes do not end where an element does.
bool count_packed(ContentsKind kind, Bytes packed, std::size_t* count) {
  if (wire_type(kind) != WireType::kVarint) {
    *count = packed.size() / fixed_size(kind);
    return packed.size() % fixed_size(kind) == 0;
  }
  // Each varint has one byte with a clear high bit, its last.
  *count = static_cast<std::size_t>(
      std::ranges::count_if(packed, [](std::byte byte) { return static_cast<std::uint8_t>(byte) < 0x80; }));
  return packed.empty() || static_cast<std::uint8_t>(packed.back()) < 0x80;
}

// Calls `element(bits)` for every varint, and every fixed-width run's bytes go to `run(bytes)`; both may
// refuse.
template <typename Element, typename Run>
Status for_each_piece(WireReader input, std::uint32_t contents_tag, ContentsKind kind, Element element,
                      Run run) {
  const std::uint32_t single = wire_tag(static_cast<std::uint32_t>(kind), wire_type(kind));
  const std::uint32_t packed = wire_tag(static_cast<std::uint32_t>(kind), WireType::kLength);
  WireField occurrence;
  while (input.next(&occurrence)) {
    if (occurrence.tag != contents_tag) continue;
    WireReader contents = input.nested(occurrence.bytes);
    WireField field;
    while (contents.next(&field)) {
      if (field.tag == packed) {
        PENSTOCK_RETURN_IF_ERROR(run(field.bytes));
      } else if (field.tag == single) {
        PENSTOCK_RETURN_IF_ERROR(element(field.bits));
      }
    }
  }
  return Status::ok();
}

// `Wire` is protobuf's type of the field: a varint is cut to it before anything looks at its value.
template <typename T, typename Wire>
Status decode_varints(WireReader input, std::uint32_t contents_tag, ContentsKind kind, Arena& arena,
                      TensorView* tensor) {
  const std::span<T> values = arena.uninitialised<T>(static_cast<std::size_t>(tensor->elements));
  std::size_t filled = 0;
  const auto element = [&](std::uint64_t bits) -> Status {
    if constexpr (std::is_same_v<Wire, bool>) {
      values[filled++] = static_cast<T>(bits != 0);
    } else {
      const auto value = static_cast<Wire>(bits);
      if (value < std::numeric_limits<T>::min() || value > std::numeric_limits<T>::max()) {
        return refuse(*tensor, "element " + std::to_string(filled) + " is " + std::to_string(value) +
                                   ", expected " + std::string(datatype_name(tensor->dtype)) + ": " +
                                   std::to_string(std::numeric_limits<T>::min()) + " to " +
                                   std::to_string(std::numeric_limits<T>::max()));
      }
      values[filled++] = static_cast<T>(value);
    }
    return Status::ok();
  };
  const auto run = [&](Bytes packed) -> Status {
    const std::byte* at = packed.data();
    const std::byte* const end = at + packed.size();
    while (at != end) {
      std::uint64_t bits = 0;
      if (!read_varint(&at, end, &bits)) {
        return refuse(*tensor, "malformed protobuf: " + std::string(kKindNames[index_of(kind)]) +
                                   " holds a varint of more than ten bytes");
      }
      PENSTOCK_RETURN_IF_ERROR(element(bits));
    }
    return Status::ok();
  };
  tensor->data = values.data();
  return for_each_piece(input, contents_tag, kind, element, run);
}

template <typename T>
Status decode_fixed(WireReader input, std::uint32_t contents_tag, ContentsKind kind, Bytes only, Arena& arena,
                    TensorView* tensor) {
  if (!only.empty() && reinterpret_cast<std::uintptr_t>(only.data()) % alignof(T) == 0) {
    tensor->data = only.data();
    return Status::ok();
  }
  const std::span<T> values = arena.uninitialised<T>(static_cast<std::size_t>(tensor->elements));
  auto* at = reinterpret_cast<std::byte*>(values.data());
  const auto put = [&](const void* bytes, std::size_t size) {
    if (size > 0) std::memcpy(at, bytes, size);
    at += size;
    return Status::ok();
  };
  tensor->data = values.data();
  return for_each_piece(
      input, contents_tag, kind, [&](std::uint64_t bits) { return put(&bits, sizeof(T)); },
      [&](Bytes packed) { return put(packed.data(), packed.size()); });
}

StringRef string_ref(Bytes bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), static_cast<std::int64_t>(bytes.size())};
}

Status decode_strings(WireReader input, std::uint32_t contents_tag, Arena& arena, TensorView* tensor) {
  const std::span<StringRef> strings =
      arena.uninitialised<StringRef>(static_cast<std::size_t>(tensor->elements));
  std::size_t filled = 0;
  tensor->data = strings.data();
  return for_each_piece(
      input, contents_tag, ContentsKind::kBytes, [](std::uint64_t) { return Status::ok(); },
      [&](Bytes bytes) {
        strings[filled++] = string_ref(bytes);
        return Status::ok();
      });
}

std::string raw_entry(std::size_t index) { return "raw_input_contents[" + std::to_string(index) + "]"; }

Status decode_raw_strings(Bytes raw, std::size_t index, Arena& arena, TensorView* tensor) {
  const auto elements = static_cast<std::size_t>(tensor->elements);
  if (elements > raw.size() / kRawLengthBytes) {
    return refuse(*tensor, announced(*tensor) + " needs " + std::to_string(elements) +
                               " elements of a 4-byte length and its bytes, " + raw_entry(index) +
                               " has only " + std::to_string(raw.size()) + " bytes");
  }
  const std::span<StringRef> strings = arena.uninitialised<StringRef>(elements);
  Bytes rest = raw;
  for (std::size_t i = 0; i < elements; ++i) {
    std::uint32_t length = 0;
    if (rest.size() >= kRawLengthBytes) std::memcpy(&length, rest.data(), kRawLengthBytes);
    if (rest.size() < kRawLengthBytes || length > rest.size() - kRawLengthBytes) {
      return refuse(*tensor, "element " + std::to_string(i) + " of " + std::to_string(elements) +
                                 " does not fit into " + raw_entry(index) + ": " +
                                 std::to_string(rest.size()) +
                                 " bytes are left, expected a 4-byte little-endian length and as many bytes" +
                                 (rest.size() < kRawLengthBytes ? "" : " (" + std::to_string(length) + ")"));
    }
    strings[i] = string_ref(rest.subspan(kRawLengthBytes, length));
    rest = rest.subspan(kRawLengthBytes + length);
  }
  if (!rest.empty()) {
    return refuse(*tensor, raw_entry(index) + " has " + std::to_string(rest.size()) +
                               " bytes more than the " + std::to_string(elements) + " elements that shape " +
                               quote(tensor->shape) + " announces");
  }
  tensor->data = strings.data();
  return Status::ok();
}

}  // namespace

ContentsKind contents_kind(DataType type) noexcept {
  switch (type) {
    case DataType::kBool:
      return ContentsKind::kBool;
    case DataType::kInt8:
    case DataType::kInt16:
    case DataType::kInt32:
      return ContentsKind::kInt;
    case DataType::kInt64:
      return ContentsKind::kInt64;
    case DataType::kUint8:
    case DataType::kUint16:
    case DataType::kUint32:
      return ContentsKind::kUint;
    case DataType::kUint64:
      return ContentsKind::kUint64;
    case DataType::kFp32:
      return ContentsKind::kFp32;
    case DataType::kFp64:
      return ContentsKind::kFp64;
    case DataType::kBytes:
      return ContentsKind::kBytes;
    case DataType::kFp16:
    case DataType::kBf16:
    case DataType::kInvalid:
      break;
  }
  return ContentsKind::kNone;
}

bool ContentsTally::has_elements() const noexcept {
  return std::ranges::any_of(elements, [](std::size_t count) { return count > 0; });
}

Status tally_contents(WireReader contents, ContentsTally* tally) {
  WireField field;
  while (contents.next(&field)) {
    const std::uint32_t number = field.tag >> 3;
    if (number >= kContentsKinds) continue;
    const auto kind = static_cast<ContentsKind>(number);
    const auto type = static_cast<WireType>(field.tag & 7);
    std::size_t& elements = tally->elements[number];
    if (type == WireType::kLength && kind != ContentsKind::kBytes) {
      std::size_t count = 0;
      if (!count_packed(kind, field.bytes, &count)) {
        return invalid_argument("malformed protobuf: " + std::string(kKindNames[number]) +
                                " ends within an element");
      }
      if (count > 0) tally->only[number] = elements == 0 ? field.bytes : Bytes{};
      elements += count;
    } else if (type == wire_type(kind)) {
      ++elements;
      tally->only[number] = {};
    }
  }
  return contents.failed() ? contents.error("InferTensorContents") : Status::ok();
}

Status decode_raw(Bytes raw, std::size_t index, Arena& arena, TensorView* tensor) {
  if (tensor->dtype == DataType::kBytes) return decode_raw_strings(raw, index, arena, tensor);

  const std::size_t width = datatype_size(tensor->dtype);
  const auto elements = static_cast<std::size_t>(tensor->elements);
  if (elements != raw.size() / width || raw.size() % width != 0) {
    return refuse(*tensor, announced(*tensor) + " needs " + std::to_string(elements) + " elements of " +
                               std::to_string(width) + " bytes, " + raw_entry(index) + " has " +
                               std::to_string(raw.size()) + " bytes");
  }
  if (tensor->dtype == DataType::kBool) {
    const auto odd = std::ranges::find_if(raw, [](std::byte byte) { return byte > std::byte{1}; });
    if (odd != raw.end()) {
      return refuse(*tensor, "element " + std::to_string(odd - raw.begin()) + " is " +
                                 std::to_string(static_cast<int>(*odd)) + ", expected BOOL: 0 or 1");
    }
  }
  if (!raw.empty() && reinterpret_cast<std::uintptr_t>(raw.data()) % width == 0) {
    tensor->data = raw.data();
    return Status::ok();
  }
  void* copy = arena.allocate(raw.size(), width);
  if (!raw.empty()) std::memcpy(copy, raw.data(), raw.size());
  tensor->data = copy;
  return Status::ok();
}

Status decode_typed(WireReader input, std::uint32_t contents_tag, const ContentsTally& tally, Arena& arena,
                    TensorView* tensor) {
  const ContentsKind kind = contents_kind(tensor->dtype);
  for (std::size_t other = 1; other < kContentsKinds; ++other) {
    if (tally.elements[other] == 0 || other == index_of(kind)) continue;
    return refuse(*tensor, std::string(datatype_name(tensor->dtype)) + " came in " +
                               std::string(kKindNames[other]) + ", expected " +
                               (kind == ContentsKind::kNone ? "raw_input_contents"
                                                            : std::string(kKindNames[index_of(kind)])));
  }
  const std::size_t came = tally.elements[index_of(kind)];
  if (came != static_cast<std::size_t>(tensor->elements)) {
    std::string why = announced(*tensor) + " needs " + std::to_string(tensor->elements) + " elements, ";
    if (kind == ContentsKind::kNone) {
      why += "expected in raw_input_contents, which is empty";
    } else {
      why += std::string(kKindNames[index_of(kind)]) + " has " + std::to_string(came);
      if (came == 0) why += " and raw_input_contents is empty";
    }
    return refuse(*tensor, why);
  }
  const Bytes only = tally.only[index_of(kind)];
  switch (tensor->dtype) {
    case DataType::kBool:
      return decode_varints<std::uint8_t, bool>(input, contents_tag, kind, arena, tensor);
    case DataType::kInt8:
      return decode_varints<std::int8_t, std::int32_t>(input, contents_tag, kind, arena, tensor);
    case DataType::kInt16:
      return decode_varints<std::int16_t, std::int32_t>(input, contents_tag, kind, arena, tensor);
    case DataType::kInt32:
      return decode_varints<std::int32_t, std::int32_t>(input, contents_tag, kind, arena, tensor);
    case DataType::kInt64:
      return decode_varints<std::int64_t, std::int64_t>(input, contents_tag, kind, arena, tensor);
    case DataType::kUint8:
      return decode_varints<std::uint8_t, std::uint32_t>(input, contents_tag, kind, arena, tensor);
    case DataType::kUint16:
      return decode_varints<std::uint16_t, std::uint32_t>(input, contents_tag, kind, arena, tensor);
    case DataType::kUint32:
      return decode_varints<std::uint32_t, std::uint32_t>(input, contents_tag, kind, arena, tensor);
    case DataType::kUint64:
      return decode_varints<std::uint64_t, std::uint64_t>(input, contents_tag, kind, arena, tensor);
    case DataType::kFp32:
      return decode_fixed<float>(input, contents_tag, kind, only, arena, tensor);
    case DataType::kFp64:
      return decode_fixed<double>(input, contents_tag, kind, only, arena, tensor);
    case DataType::kBytes:
      return decode_strings(input, contents_tag, arena, tensor);
    case DataType::kFp16:
    case DataType::kBf16:
    case DataType::kInvalid:
      break;
  }
  // FP16 and BF16 without elements: nothing to read, but never a null pointer.
  tensor->data = arena.allocate(0);
  return Status::ok();
}

}  // namespace penstock::codec
