// Program: a bundle's transforms as a list of kernel calls over columns, ending in the model's input tensors.
// Built once at load and checked as a whole; then immutable, and run by any number of threads at once.
// It knows no transform by name: built-in and custom kernels look alike to it.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/arena.h"
#include "base/status.h"
#include "base/tensor.h"
#include "transform/column.h"

namespace penstock::transform {

// What to build a Program from. Slots are what steps read and write, by index: a column, or `width` of them
// side by side that one step writes.
struct ProgramSpec {
  struct Slot {
    DataType dtype = DataType::kInvalid;
    std::string name;          // for messages
    std::int32_t input = -1;   // >= 0: this slot is that input column
    std::int32_t output = -1;  // >= 0: this slot is written straight into that output tensor ...
    std::int32_t column = 0;   // ... from this column of it on. Neither: scratch from the arena.
    std::int32_t width = 1;    // columns
  };
  struct Read {
    Read(std::int32_t of = 0, std::int32_t which = 0) noexcept : slot(of), element(which) {}
    std::int32_t slot;
    std::int32_t element;  // which of the slot's columns
  };
  struct Array {
    DataType dtype = DataType::kInvalid;
    std::vector<std::byte> bytes;  // copied into aligned memory by make()
  };
  struct Step {
    std::string name;  // for messages, as in "one_hot(carrier)"
    penstock_kernel kernel = nullptr;
    std::vector<Array> state;
    std::vector<Read> in;
    std::vector<std::int32_t> out;   // slots
    std::int64_t scratch_bytes = 0;  // of one call
  };
  struct Output {
    std::string name;
    DataType dtype = DataType::kInvalid;  // not BYTES where width > 1
    std::int32_t width = 1;               // columns
    bool flat = false;                    // shape [rows] instead of [rows, width]; only width 1
  };

  std::vector<TensorSpec> inputs;  // one a column: name, dtype
  std::vector<Slot> slots;
  std::vector<Step> steps;
  std::vector<Output> outputs;
};

class Program {
 public:
  // Fails with INVALID_ARGUMENT when an index is out of range, a slot is read before it is written or written
  // twice, an output column is written by nobody, or a type does not fit.
  static Status make(ProgramSpec spec, std::unique_ptr<Program>* made);
  ~Program();
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  std::span<const TensorSpec> inputs() const noexcept;
  std::span<const TensorSpec> outputs() const noexcept;

  // `in` holds one column an input, in order, of the declared types. The rows go through all steps in tiles,
  // so that what lies between steps stays in the cache; of one row, these columns lie side by side. The
  // tensors of `out` and all memory come from `arena`: besides the tensors' own, as much for any number of
  // rows. INVALID_ARGUMENT names the step, the row and the value that a kernel refused; rows count from
  // `first_row`.
  Status run(std::span<const penstock_column> in, std::int64_t rows, Arena& arena,
             std::span<const TensorView>* out, std::int64_t first_row = 0) const;

 private:
  struct State;
  explicit Program(std::unique_ptr<State> state) noexcept;
  std::unique_ptr<State> state_;
};

}  // namespace penstock::transform
