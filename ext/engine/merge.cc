#include "engine/merge.h"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <new>

namespace penstock::engine {
namespace {

std::size_t element_bytes(DataType dtype) noexcept {
  return dtype == DataType::kBytes ? sizeof(StringRef) : datatype_size(dtype);
}

bool same_rows(const TensorView& one, const TensorView& other) noexcept {
  return one.dtype == other.dtype && one.shape.size() == other.shape.size() && !one.shape.empty() &&
         std::ranges::equal(one.shape.subspan(1), other.shape.subspan(1));
}

// Room for `rows` rows, and where the next bytes go.
class Room {
 public:
  Room(Arena& arena, std::int64_t rows, std::size_t row_bytes) {
    std::size_t total = 0;
    if (__builtin_mul_overflow(static_cast<std::size_t>(rows), row_bytes, &total)) throw std::bad_alloc();
    data_ = next_ = static_cast<std::byte*>(arena.allocate(total, Arena::kAlignment));
  }
  void append(const void* from, std::size_t bytes) noexcept {
    if (bytes > 0) std::memcpy(next_, from, bytes);
    next_ += bytes;
  }
  std::byte* data() const noexcept { return data_; }

 private:
  std::byte* data_;
  std::byte* next_;
};

std::size_t row_bytes(const TensorView& tensor) noexcept {
  std::size_t bytes = element_bytes(tensor.dtype);
  for (const std::int64_t dim : tensor.shape.subspan(1)) bytes *= static_cast<std::size_t>(dim);
  return bytes;
}

// `tensor_of(part)` of all parts, one behind the other.
template <typename TensorOf>
TensorView merge_tensors(std::span<const Bound* const> parts, std::int64_t rows, Arena& arena,
                         TensorOf&& tensor_of) {
  TensorView whole = tensor_of(*parts[0]);
  Room room(arena, rows, row_bytes(whole));
  whole.elements = 0;
  for (const Bound* part : parts) {
    const TensorView& tensor = tensor_of(*part);
    room.append(tensor.data, static_cast<std::size_t>(tensor.elements) * element_bytes(tensor.dtype));
    whole.elements += tensor.elements;
  }
  const std::span<std::int64_t> shape = arena.uninitialised<std::int64_t>(whole.shape.size());
  std::ranges::copy(whole.shape, shape.begin());
  shape[0] = rows;
  whole.shape = shape;
  whole.data = room.data();
  return whole;
}

penstock_column merge_columns(std::span<const Bound* const> parts, std::size_t column, std::int64_t rows,
                              Arena& arena) {
  penstock_column whole = parts[0]->columns[column];
  Room room(arena, rows, static_cast<std::size_t>(whole.stride));
  for (const Bound* part : parts) {
    // Bound columns are dense: a request sends each as a tensor of its own.
    room.append(part->columns[column].data, static_cast<std::size_t>(part->rows * whole.stride));
  }
  whole.data = room.data();
  return whole;
}

}  // namespace

bool agree(const Bound& one, const Bound& other) noexcept {
  if (!std::ranges::equal(one.wanted, other.wanted)) return false;
  if ((one.matrix == nullptr) != (other.matrix == nullptr)) return false;
  if (one.matrix != nullptr) return same_rows(*one.matrix, *other.matrix);
  return std::ranges::equal(one.tensors, other.tensors, same_rows);
}

Bound merge(std::span<const Bound* const> parts, Arena& arena) {
  const Bound& first = *parts[0];
  Bound whole;
  whole.wanted = first.wanted;
  for (const Bound* part : parts) whole.rows += part->rows;
  if (first.matrix != nullptr) {
    const std::span<TensorView> matrix = arena.uninitialised<TensorView>(1);
    matrix[0] = merge_tensors(parts, whole.rows, arena,
                              [](const Bound& part) -> const TensorView& { return *part.matrix; });
    whole.matrix = matrix.data();
    return whole;
  }
  const std::span<TensorView> tensors = arena.uninitialised<TensorView>(first.tensors.size());
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    tensors[i] = merge_tensors(parts, whole.rows, arena,
                               [i](const Bound& part) -> const TensorView& { return part.tensors[i]; });
  }
  whole.tensors = tensors;
  const std::span<penstock_column> columns = arena.uninitialised<penstock_column>(first.columns.size());
  for (std::size_t i = 0; i < columns.size(); ++i) columns[i] = merge_columns(parts, i, whole.rows, arena);
  whole.columns = columns;
  return whole;
}

std::span<const TensorView> slice(std::span<const TensorView> results, std::int64_t total, std::int64_t first,
                                  std::int64_t rows, Arena& arena) {
  const std::span<TensorView> tensors = arena.uninitialised<TensorView>(results.size());
  for (std::size_t i = 0; i < results.size(); ++i) {
    TensorView tensor = results[i];
    if (tensor.shape.empty() || tensor.shape[0] != total) return {};
    const std::int64_t a_row = tensor.elements / total;
    const std::span<std::int64_t> shape = arena.uninitialised<std::int64_t>(tensor.shape.size());
    std::ranges::copy(tensor.shape, shape.begin());
    shape[0] = rows;
    tensor.shape = shape;
    tensor.elements = a_row * rows;
    tensor.data = static_cast<const std::byte*>(tensor.data) +
                  static_cast<std::size_t>(a_row * first) * element_bytes(tensor.dtype);
    tensors[i] = tensor;
  }
  return tensors;
}

}  // namespace penstock::engine
