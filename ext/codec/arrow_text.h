// Text in Arrow's memory, taken without a copy through the Arrow C data and stream interfaces
// (https://arrow.apache.org/docs/format/CDataInterface.html and CStreamInterface.html). Their structs are an
// ABI, laid out here as the specification has them.
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "base/status.h"
#include "base/tensor.h"

extern "C" {

#ifndef ARROW_C_DATA_INTERFACE
#define ARROW_C_DATA_INTERFACE

struct ArrowSchema {
  const char* format;
  const char* name;
  const char* metadata;
  std::int64_t flags;
  std::int64_t n_children;
  ArrowSchema** children;
  ArrowSchema* dictionary;
  void (*release)(ArrowSchema*);
  void* private_data;
};

struct ArrowArray {
  std::int64_t length;
  std::int64_t null_count;
  std::int64_t offset;
  std::int64_t n_buffers;
  std::int64_t n_children;
  const void** buffers;
  ArrowArray** children;
  ArrowArray* dictionary;
  void (*release)(ArrowArray*);
  void* private_data;
};

#endif  // ARROW_C_DATA_INTERFACE

#ifndef ARROW_C_STREAM_INTERFACE
#define ARROW_C_STREAM_INTERFACE

struct ArrowArrayStream {
  int (*get_schema)(ArrowArrayStream*, ArrowSchema* out);
  int (*get_next)(ArrowArrayStream*, ArrowArray* out);
  const char* (*get_last_error)(ArrowArrayStream*);
  void (*release)(ArrowArrayStream*);
  void* private_data;
};

#endif  // ARROW_C_STREAM_INTERFACE

}  // extern "C"

namespace penstock::codec {

// An ArrowSchema or ArrowArray that is given back to its producer.
template <typename T>
class OwnedArrow {
 public:
  OwnedArrow() noexcept = default;
  OwnedArrow(const OwnedArrow&) = delete;
  OwnedArrow& operator=(const OwnedArrow&) = delete;
  OwnedArrow(OwnedArrow&& other) noexcept : held_(std::exchange(other.held_, T{})) {}
  OwnedArrow& operator=(OwnedArrow&& other) noexcept {
    std::swap(held_, other.held_);
    return *this;
  }
  ~OwnedArrow() {
    if (held_.release != nullptr) held_.release(&held_);
  }

  T* get() noexcept { return &held_; }  // for a producer to fill in
  const T& operator*() const noexcept { return held_; }
  const T* operator->() const noexcept { return &held_; }
  explicit operator bool() const noexcept { return held_.release != nullptr; }

 private:
  T held_{};
};

using OwnedSchema = OwnedArrow<ArrowSchema>;
using OwnedArray = OwnedArrow<ArrowArray>;

// The elements of all arrays of the stream, in order; `missing` where one is null. They point into the
// arrays, which are added to `kept`. Text or bytes with 32-bit or 64-bit offsets, views, and dictionaries of
// these; INVALID_ARGUMENT for other types, for more or fewer elements than there is room for, and for what
// breaks the format as far as lengths tell. The buffers themselves are the producer's word: the interface has
// no sizes.
Status read_arrow_text(ArrowArrayStream* stream, StringRef missing, std::span<StringRef> strings,
                       std::vector<OwnedArray>* kept);

}  // namespace penstock::codec
