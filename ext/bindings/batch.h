// Batch: arrays that Python lends for one run, as the tensors of a request. Owns names and shapes, not the
// elements.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <vector>

#include "base/guarded.h"
#include "base/tensor.h"
#include "codec/arrow_text.h"
#include "codec/infer_request.h"
#include "transform/column.h"

namespace penstock::bindings {

class Batch {
 public:
  // `data` is row-major and stays valid as long as the batch. For BYTES, strings() hands out the elements to
  // fill in.
  void add(std::string name, DataType dtype, const std::int64_t* shape, std::size_t rank, const void* data) {
    const std::string& kept = names_.emplace_back(std::move(name));
    const std::vector<std::int64_t>& dims = shapes_.emplace_back(shape, shape + rank);
    codec::InputTensor input;
    input.tensor = {kept, dtype, dims, elements(dims), data};
    inputs_.push_back(input);
  }

  // Room for the strings of a BYTES tensor; they point to bytes that stay valid as long as the batch.
  StringRef* add_strings(std::string name, const std::int64_t* shape, std::size_t rank) {
    add(std::move(name), DataType::kBytes, shape, rank, nullptr);
    TensorView& tensor = inputs_.back().tensor;
    StringRef* strings = strings_.emplace_back(static_cast<std::size_t>(tensor.elements)).data();
    tensor.data = strings;
    return strings;
  }

  // Fills in the strings of a BYTES tensor from a stream of Arrow arrays, which the batch then keeps.
  Status fill(StringRef* strings, std::int64_t count, ArrowArrayStream* stream, StringRef missing) noexcept {
    const std::span<StringRef> room(strings, static_cast<std::size_t>(count));
    return guarded([&] { return codec::read_arrow_text(stream, missing, room, &arrays_); });
  }

  void want(std::string output) {
    codec::RequestedOutput wanted;
    wanted.name = names_.emplace_back(std::move(output));
    outputs_.push_back(wanted);
  }

  // Views into this batch.
  codec::InferRequest request() const {
    codec::InferRequest request;
    request.inputs = inputs_;
    request.outputs = outputs_;
    request.first_row = first_row;
    return request;
  }

  // The inputs as columns, in the order in which they were added.
  std::vector<penstock_column> columns() const {
    std::vector<penstock_column> columns;
    for (const codec::InputTensor& input : inputs_) {
      const TensorView& tensor = input.tensor;
      const std::size_t size =
          tensor.dtype == DataType::kBytes ? sizeof(StringRef) : datatype_size(tensor.dtype);
      // Kernels promise not to write to their inputs.
      columns.push_back({const_cast<void*>(tensor.data), static_cast<std::int64_t>(size),
                         static_cast<std::int32_t>(tensor.dtype), 1});
    }
    return columns;
  }

  std::int64_t first_row = 0;  // of the larger table that the rows are part of

 private:
  static std::int64_t elements(const std::vector<std::int64_t>& dims) {
    std::int64_t count = 1;
    for (const std::int64_t dim : dims) count *= dim;
    return count;
  }

  // Deques: views into their elements stay valid as more are added.
  std::deque<std::string> names_;
  std::deque<std::vector<std::int64_t>> shapes_;
  std::deque<std::vector<StringRef>> strings_;
  std::vector<codec::OwnedArray> arrays_;
  std::vector<codec::InputTensor> inputs_;
  std::vector<codec::RequestedOutput> outputs_;
};

}  // namespace penstock::bindings
