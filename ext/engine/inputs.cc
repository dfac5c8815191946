#include "engine/inputs.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>

#include "base/utf8.h"

namespace penstock::engine {
namespace {

std::string quoted(std::string_view name) { return "'" + std::string(name) + "'"; }

bool is_number(DataType dtype) noexcept {
  return dtype != DataType::kBytes && dtype != DataType::kFp16 && dtype != DataType::kBf16;
}

Status check_datatype(const TensorView& tensor, const TensorSpec& spec) {
  if (tensor.dtype == spec.dtype) return Status::ok();
  return invalid_argument("input " + quoted(spec.name) + ": " + std::string(datatype_name(tensor.dtype)) +
                          " came, " + std::string(datatype_name(spec.dtype)) + " is expected");
}

Status wrong_shape(const TensorView& tensor, const TensorSpec& spec, std::string_view expected) {
  return invalid_argument("input " + quoted(spec.name) + ": " + describe(tensor.dtype, tensor.shape) +
                          " came, " + std::string(expected) + " is expected");
}

Status unequal_rows(const TensorSpec& spec, std::int64_t rows, const TensorSpec& first,
                    std::int64_t expected) {
  return invalid_argument("input " + quoted(spec.name) + " has " + std::to_string(rows) + " rows, input " +
                          quoted(first.name) + " has " + std::to_string(expected) +
                          "; all inputs of a request have the same number");
}

// `before`: elements of the same table that came before, in other batches.
Status check_utf8(const TensorView& tensor, std::int64_t before) {
  const std::span<const StringRef> strings = tensor.strings();
  std::uint64_t beyond = 0;
  for (const StringRef& string : strings) beyond |= beyond_ascii(string.view());
  if (beyond == 0) return Status::ok();
  for (std::size_t i = 0; i < strings.size(); ++i) {
    if (strings[i].data != nullptr && !is_utf8(strings[i].view())) {
      const std::int64_t element = before + static_cast<std::int64_t>(i);
      return invalid_argument("input " + quoted(tensor.name) + ": element " + std::to_string(element) +
                              " is not UTF-8; strings are expected");
    }
  }
  return Status::ok();
}

// The strings with nulls in place of empty ones; as they came where none is empty.
const StringRef* empty_to_missing(std::span<const StringRef> strings, Arena& arena) {
  std::size_t first = 0;
  while (first < strings.size() && strings[first].size != 0) ++first;
  if (first == strings.size()) return strings.data();
  const std::span<StringRef> changed = arena.uninitialised<StringRef>(strings.size());
  for (std::size_t i = 0; i < strings.size(); ++i) {
    changed[i] = strings[i].size == 0 ? StringRef{} : strings[i];
  }
  return changed.data();
}

template <typename To>
bool fits(double value) noexcept {
  if constexpr (std::is_same_v<To, bool>) {
    return value == 0.0 || value == 1.0;
  } else if constexpr (std::is_integral_v<To>) {
    // The upper bound is a power of two, exact as a double, where max() itself may not be.
    constexpr double kEnd = 2.0 * static_cast<double>(std::numeric_limits<To>::max() / 2 + 1);
    return value >= static_cast<double>(std::numeric_limits<To>::min()) && value < kEnd &&
           value == std::trunc(value);
  } else {
    return !std::isfinite(value) || std::isfinite(static_cast<To>(value));
  }
}

// Copies one column of a row-major matrix; the row that does not fit, or -1.
template <typename From, typename To>
std::int64_t cast_column(const From* from, std::int64_t columns, std::int64_t rows, To* to) noexcept {
  for (std::int64_t row = 0; row < rows; ++row) {
    const auto value = static_cast<double>(from[row * columns]);
    if (!fits<To>(value)) return row;
    to[row] = static_cast<To>(value);
  }
  return -1;
}

template <typename From>
std::int64_t cast_column_to(DataType dtype, const From* from, std::int64_t columns, std::int64_t rows,
                            void* to) noexcept {
  switch (dtype) {
    case DataType::kBool:
      return cast_column(from, columns, rows, static_cast<bool*>(to));
    case DataType::kUint8:
      return cast_column(from, columns, rows, static_cast<std::uint8_t*>(to));
    case DataType::kUint16:
      return cast_column(from, columns, rows, static_cast<std::uint16_t*>(to));
    case DataType::kUint32:
      return cast_column(from, columns, rows, static_cast<std::uint32_t*>(to));
    case DataType::kUint64:
      return cast_column(from, columns, rows, static_cast<std::uint64_t*>(to));
    case DataType::kInt8:
      return cast_column(from, columns, rows, static_cast<std::int8_t*>(to));
    case DataType::kInt16:
      return cast_column(from, columns, rows, static_cast<std::int16_t*>(to));
    case DataType::kInt32:
      return cast_column(from, columns, rows, static_cast<std::int32_t*>(to));
    case DataType::kInt64:
      return cast_column(from, columns, rows, static_cast<std::int64_t*>(to));
    case DataType::kFp32:
      return cast_column(from, columns, rows, static_cast<float*>(to));
    case DataType::kFp64:
      return cast_column(from, columns, rows, static_cast<double*>(to));
    case DataType::kInvalid:
    case DataType::kFp16:
    case DataType::kBytes:
    case DataType::kBf16:
      break;  // takes_matrix() is false where a column has one of these
  }
  return 0;
}

}  // namespace

std::string describe(DataType dtype, std::span<const std::int64_t> shape) {
  std::string text(datatype_name(dtype));
  text += " [";
  for (std::size_t i = 0; i < shape.size(); ++i) {
    if (i > 0) text += ", ";
    text += std::to_string(shape[i]);
  }
  return text + "]";
}

Status Inputs::make(std::span<const TensorSpec> specs, bool columns,
                    std::span<const std::string> empty_is_missing, std::int64_t max_rows, Inputs* made) {
  Inputs inputs;
  inputs.specs_.assign(specs.begin(), specs.end());
  inputs.empty_is_missing_.assign(specs.size(), false);
  inputs.max_rows_ = max_rows;
  inputs.columns_ = columns;
  inputs.takes_matrix_ = columns && !specs.empty();
  if (max_rows < 0) return invalid_argument("max_rows is negative");
  for (std::uint32_t i = 0; i < specs.size(); ++i) {
    if (!inputs.by_name_.emplace(specs[i].name, i).second) {
      return invalid_argument("input " + quoted(specs[i].name) + " is declared twice");
    }
    if (!is_number(specs[i].dtype)) inputs.takes_matrix_ = false;
  }
  // A column of that very name is that column.
  if (inputs.by_name_.contains(kMatrixInput)) inputs.takes_matrix_ = false;
  for (const std::string& name : empty_is_missing) {
    const auto found = inputs.by_name_.find(name);
    if (found == inputs.by_name_.end() || inputs.specs_[found->second].dtype != DataType::kBytes) {
      return invalid_argument("empty_is_missing names " + quoted(name) + ", which is no BYTES input");
    }
    inputs.empty_is_missing_[found->second] = true;
  }
  *made = std::move(inputs);
  return Status::ok();
}

std::int64_t Inputs::rows_of(const codec::InferRequest& request) const noexcept {
  const auto is_batch = [](const TensorSpec& spec) { return !spec.shape.empty() && spec.shape[0] == -1; };
  // Those that have rows agree, or are refused when they are bound: one tells.
  const auto telling = columns_ ? specs_.end() : std::ranges::find_if(specs_, is_batch);
  if (!columns_ && telling == specs_.end()) return 1;
  for (const codec::InputTensor& input : request.inputs) {
    const TensorView& tensor = input.tensor;
    if (!columns_ && tensor.name != telling->name) continue;
    return tensor.elements > 0 && !tensor.shape.empty() ? tensor.shape[0] : 1;
  }
  return 1;
}

Status Inputs::match(const codec::InferRequest& request, Arena& arena,
                     std::span<const TensorView*>* found) const {
  const std::span<const TensorView*> matched = arena.array<const TensorView*>(specs_.size());
  for (std::size_t i = 0; i < request.inputs.size(); ++i) {
    const TensorView& tensor = request.inputs[i].tensor;
    std::size_t at = i;  // senders mostly keep the model's order
    if (at >= specs_.size() || specs_[at].name != tensor.name) {
      const auto known = by_name_.find(tensor.name);
      if (known == by_name_.end()) {
        std::string expected;
        for (const TensorSpec& spec : specs_) {
          if (expected.size() > 400) {
            expected += ", ...";
            break;
          }
          expected += (expected.empty() ? "" : ", ") + spec.name;
        }
        return invalid_argument("input " + quoted(tensor.name.substr(0, 200)) +
                                " is not one of this model's; expected: " + expected);
      }
      at = known->second;
    }
    if (matched[at] != nullptr) {
      return invalid_argument("input " + quoted(tensor.name) + " came twice; each is expected once");
    }
    matched[at] = &tensor;
  }
  for (std::size_t i = 0; i < specs_.size(); ++i) {
    if (matched[i] == nullptr) {
      return invalid_argument("input " + quoted(specs_[i].name) + " is missing; " +
                              describe(specs_[i].dtype, specs_[i].shape) + " is expected");
    }
  }
  *found = matched;
  return Status::ok();
}

Status Inputs::check_rows(std::int64_t rows) const {
  if (rows == 0) return invalid_argument("the batch is empty; at least one row is expected");
  if (max_rows_ > 0 && rows > max_rows_) {
    return invalid_argument("the batch has " + std::to_string(rows) + " rows; at most " +
                            std::to_string(max_rows_) + " are allowed");
  }
  return Status::ok();
}

Status Inputs::bind_tensors(const codec::InferRequest& request, Arena& arena,
                            std::span<const TensorView>* bound, std::int64_t* rows) const {
  std::span<const TensorView*> found;
  PENSTOCK_RETURN_IF_ERROR(match(request, arena, &found));
  const std::span<TensorView> tensors = arena.uninitialised<TensorView>(specs_.size());
  const TensorSpec* first_batched = nullptr;
  *rows = 1;
  for (std::size_t i = 0; i < specs_.size(); ++i) {
    const TensorSpec& spec = specs_[i];
    const TensorView& tensor = *found[i];
    PENSTOCK_RETURN_IF_ERROR(check_datatype(tensor, spec));
    bool fits = tensor.shape.size() == spec.shape.size();
    for (std::size_t d = 0; fits && d < spec.shape.size(); ++d) {
      fits = spec.shape[d] == -1 || spec.shape[d] == tensor.shape[d];
    }
    if (!fits) return wrong_shape(tensor, spec, describe(spec.dtype, spec.shape));
    if (!spec.shape.empty() && spec.shape[0] == -1) {
      if (first_batched == nullptr) {
        first_batched = &spec;
        *rows = tensor.shape[0];
        PENSTOCK_RETURN_IF_ERROR(check_rows(*rows));
      } else if (tensor.shape[0] != *rows) {
        return unequal_rows(spec, tensor.shape[0], *first_batched, *rows);
      }
    }
    if (spec.dtype == DataType::kBytes) {
      const bool batched = !spec.shape.empty() && spec.shape[0] == -1;
      const std::int64_t before = batched ? request.first_row * (tensor.elements / *rows) : 0;
      PENSTOCK_RETURN_IF_ERROR(check_utf8(tensor, before));
    }
    tensors[i] = tensor;
  }
  *bound = tensors;
  return Status::ok();
}

Status Inputs::bind_columns(const codec::InferRequest& request, Arena& arena,
                            std::span<const penstock_column>* bound, const TensorView** matrix,
                            std::int64_t* rows) const {
  *matrix = nullptr;
  if (takes_matrix_ && request.inputs.size() == 1 && request.inputs[0].tensor.name == kMatrixInput) {
    const TensorView& tensor = request.inputs[0].tensor;
    PENSTOCK_RETURN_IF_ERROR(check_matrix(tensor));
    *rows = tensor.shape[0];
    *matrix = &tensor;
    return Status::ok();
  }
  std::span<const TensorView*> found;
  PENSTOCK_RETURN_IF_ERROR(match(request, arena, &found));
  const std::span<penstock_column> columns = arena.uninitialised<penstock_column>(specs_.size());
  for (std::size_t i = 0; i < specs_.size(); ++i) {
    const TensorSpec& spec = specs_[i];
    const TensorView& tensor = *found[i];
    PENSTOCK_RETURN_IF_ERROR(check_datatype(tensor, spec));
    const bool fits = tensor.shape.size() == 1 || (tensor.shape.size() == 2 && tensor.shape[1] == 1);
    if (!fits) return wrong_shape(tensor, spec, "a column, [rows] or [rows, 1],");
    if (i == 0) {
      *rows = tensor.shape[0];
      PENSTOCK_RETURN_IF_ERROR(check_rows(*rows));
    } else if (tensor.shape[0] != *rows) {
      return unequal_rows(spec, tensor.shape[0], specs_[0], *rows);
    }
    const void* data = tensor.data;
    auto stride = static_cast<std::int64_t>(datatype_size(spec.dtype));
    if (spec.dtype == DataType::kBytes) {
      PENSTOCK_RETURN_IF_ERROR(check_utf8(tensor, request.first_row));
      if (empty_is_missing_[i]) data = empty_to_missing(tensor.strings(), arena);
      stride = sizeof(StringRef);
    }
    // Kernels promise not to write to their inputs; the C ABI has one column type for both.
    columns[i] = {const_cast<void*>(data), stride, static_cast<std::int32_t>(spec.dtype), 1};
  }
  *bound = columns;
  return Status::ok();
}

Status Inputs::check_matrix(const TensorView& matrix) const {
  const auto columns = static_cast<std::int64_t>(specs_.size());
  const bool floats = matrix.dtype == DataType::kFp32 || matrix.dtype == DataType::kFp64;
  if (!floats || matrix.shape.size() != 2 || matrix.shape[1] != columns) {
    return invalid_argument("input 'features': " + describe(matrix.dtype, matrix.shape) +
                            " came, FP32 or FP64 [-1, " + std::to_string(columns) + "] is expected");
  }
  return check_rows(matrix.shape[0]);
}

Status Inputs::split_matrix(const TensorView& matrix, Arena& arena,
                            std::span<const penstock_column>* bound) const {
  const std::int64_t rows = matrix.shape[0];
  const auto width = static_cast<std::int64_t>(specs_.size());
  const auto element = static_cast<std::int64_t>(datatype_size(matrix.dtype));
  const auto* bytes = static_cast<const std::byte*>(matrix.data);
  const std::span<penstock_column> columns = arena.uninitialised<penstock_column>(specs_.size());
  for (std::int64_t i = 0; i < width; ++i) {
    const TensorSpec& spec = specs_[static_cast<std::size_t>(i)];
    penstock_column& column = columns[static_cast<std::size_t>(i)];
    const std::byte* first = bytes + i * element;
    column.dtype = static_cast<std::int32_t>(spec.dtype);
    column.width = 1;
    if (spec.dtype == matrix.dtype) {
      column.data = const_cast<std::byte*>(first);
      column.stride = width * element;
      continue;
    }
    column.stride = static_cast<std::int64_t>(datatype_size(spec.dtype));
    column.data = arena.allocate(static_cast<std::size_t>(rows * column.stride), Arena::kAlignment);
    const std::int64_t misfit =
        matrix.dtype == DataType::kFp32
            ? cast_column_to(spec.dtype, reinterpret_cast<const float*>(first), width, rows, column.data)
            : cast_column_to(spec.dtype, reinterpret_cast<const double*>(first), width, rows, column.data);
    if (misfit >= 0) {
      return invalid_argument("input 'features': row " + std::to_string(misfit) + " of column " +
                              quoted(spec.name) + " does not fit its datatype " +
                              std::string(datatype_name(spec.dtype)));
    }
  }
  *bound = columns;
  return Status::ok();
}

}  // namespace penstock::engine
