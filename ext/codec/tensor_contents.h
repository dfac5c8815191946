// The elements of one input tensor, out of raw bytes or out of InferTensorContents.
// In both decoders `tensor` has name, dtype, shape and elements already; `data` is set. Nothing is allocated
// before the announced number of elements is known to be in the message.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "base/arena.h"
#include "base/status.h"
#include "base/tensor.h"
#include "codec/wire_reader.h"

namespace penstock::codec {

// The fields of InferTensorContents by their number.
enum class ContentsKind : std::uint32_t {
  kNone = 0,  // what FP16 and BF16 have
  kBool = 1,
  kInt = 2,
  kInt64 = 3,
  kUint = 4,
  kUint64 = 5,
  kFp32 = 6,
  kFp64 = 7,
  kBytes = 8,
};

inline constexpr std::size_t kContentsKinds = 9;

// The field that carries a datatype.
ContentsKind contents_kind(DataType type) noexcept;

// What stands in a tensor's `contents`, all its occurrences taken together (protobuf merges them).
struct ContentsTally {
  std::array<std::size_t, kContentsKinds> elements{};
  std::array<Bytes, kContentsKinds> only{};  // where they lie in one packed field, that field

  bool has_elements() const noexcept;
};

// Adds one occurrence to the tally, and checks all of it as protobuf would.
Status tally_contents(WireReader contents, ContentsTally* tally);

// From entry `index` of raw_input_contents.
Status decode_raw(Bytes raw, std::size_t index, Arena& arena, TensorView* tensor);

// From the fields under `contents_tag` in the message which `input` reads from its start.
Status decode_typed(WireReader input, std::uint32_t contents_tag, const ContentsTally& tally, Arena& arena,
                    TensorView* tensor);

}  // namespace penstock::codec
