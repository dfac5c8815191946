// map<string, InferParameter>: read into arrays, and written.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "base/arena.h"
#include "base/status.h"
#include "codec/infer_request.h"
#include "codec/wire_reader.h"
#include "codec/wire_writer.h"

namespace penstock::codec {

// The `count` entries that stand under `tag` in the message which `message` reads from its start. One
// Parameter a key: of doubled keys the last entry counts, and the order is unspecified. `what` names the
// message in errors.
Status decode_parameters(WireReader message, std::uint32_t tag, std::size_t count, std::string_view what,
                         Arena& arena, std::span<const Parameter>* parameters);

// Of one map entry, without its own tag and length.
std::size_t parameter_entry_size(const Parameter& parameter);
void put_parameter_entry(const Parameter& parameter, WireWriter* out);

}  // namespace penstock::codec
