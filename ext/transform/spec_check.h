// The check of a ProgramSpec as a whole, before a Program is built from it.
#pragma once

#include <cstddef>
#include <string>

#include "base/datatype.h"
#include "base/status.h"
#include "transform/program.h"

namespace penstock::transform {

// INVALID_ARGUMENT as Program::make() says. After OK every index of the spec is in range, every datatype has
// an element_size() and every column of every output is written by exactly one step.
Status check_spec(const ProgramSpec& spec);

// Bytes of one row of a column; 0 for a type that no column has.
std::size_t element_size(DataType dtype) noexcept;

// The type for a message, also where it is none of the protocol's.
std::string type_name(DataType dtype);

}  // namespace penstock::transform
