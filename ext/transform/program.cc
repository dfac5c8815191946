#include "transform/program.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>
#include <new>
#include <utility>

#include "transform/refusal.h"

namespace penstock::transform {

namespace {

static_assert(sizeof(StringRef) == sizeof(penstock_string) && offsetof(StringRef, data) == 0 &&
              offsetof(StringRef, size) == offsetof(penstock_string, size));

constexpr std::size_t kMaxDatatypeSize = sizeof(penstock_string);

// Bytes of one row of a column; 0 for a type that no column has.
std::size_t element_size(DataType dtype) noexcept {
  const auto number = static_cast<std::int32_t>(dtype);
  if (number <= 0 || number >= static_cast<std::int32_t>(kDataTypeCount)) return 0;
  return dtype == DataType::kBytes ? sizeof(penstock_string) : datatype_size(dtype);
}

std::string quoted(const std::string& name) { return "\"" + name + "\""; }

std::string type_name(DataType dtype) {
  return element_size(dtype) == 0 ? "datatype " + std::to_string(static_cast<std::int32_t>(dtype))
                                  : std::string(datatype_name(dtype));
}

std::size_t align_up(std::size_t size) noexcept {
  return (size + Arena::kAlignment - 1) & ~(Arena::kAlignment - 1);
}

template <typename T>
bool within(std::int32_t index, const std::vector<T>& items) noexcept {
  return index >= 0 && static_cast<std::size_t>(index) < items.size();
}

// Checks a spec as a whole; everything that Program::State then indexes by it is in range.
class Check {
 public:
  explicit Check(const ProgramSpec& spec) : spec_(spec) {}

  Status all() {
    PENSTOCK_RETURN_IF_ERROR(inputs());
    PENSTOCK_RETURN_IF_ERROR(outputs());
    PENSTOCK_RETURN_IF_ERROR(slots());
    PENSTOCK_RETURN_IF_ERROR(steps());
    return complete();
  }

 private:
  static Status refuse(std::string message) { return invalid_argument("program: " + std::move(message)); }

  Status inputs() const {
    for (const TensorSpec& input : spec_.inputs) {
      if (element_size(input.dtype) == 0) {
        return refuse("input " + quoted(input.name) + " has " + type_name(input.dtype) +
                      ", which is none of the protocol's");
      }
    }
    return Status::ok();
  }

  Status outputs() {
    for (const ProgramSpec::Output& output : spec_.outputs) {
      const std::string what = "output " + quoted(output.name);
      if (element_size(output.dtype) == 0) {
        return refuse(what + " has " + type_name(output.dtype) + ", which is none of the protocol's");
      }
      if (output.width < 1) return refuse(what + " has " + std::to_string(output.width) + " columns");
      if (output.width > 1 && output.dtype == DataType::kBytes) {
        return refuse(what + " is BYTES and has more than one column");
      }
      if (output.width > 1 && output.flat) return refuse(what + " is flat and has more than one column");
      columns_.emplace_back(static_cast<std::size_t>(output.width), kUnclaimed);
    }
    return Status::ok();
  }

  Status slots() {
    written_.assign(spec_.slots.size(), false);
    for (std::size_t i = 0; i < spec_.slots.size(); ++i) {
      const ProgramSpec::Slot& slot = spec_.slots[i];
      const std::string what = slot_name(i);
      if (element_size(slot.dtype) == 0) {
        return refuse(what + " has " + type_name(slot.dtype) + ", which is none of the protocol's");
      }
      if (slot.input < -1 || slot.output < -1) return refuse(what + " has a negative input or output");
      if (slot.input >= 0 && slot.output >= 0) return refuse(what + " is both an input and an output");
      if (slot.input >= 0) {
        if (!within(slot.input, spec_.inputs)) {
          return refuse(what + " is input " + std::to_string(slot.input) + " of " +
                        std::to_string(spec_.inputs.size()));
        }
        const TensorSpec& input = spec_.inputs[static_cast<std::size_t>(slot.input)];
        if (input.dtype != slot.dtype) {
          return refuse(what + " is " + type_name(slot.dtype) + ", its input " + quoted(input.name) + " is " +
                        type_name(input.dtype));
        }
        written_[i] = true;
      } else if (slot.output >= 0) {
        PENSTOCK_RETURN_IF_ERROR(claim(i));
      }
    }
    return Status::ok();
  }

  // One slot for each column of each output.
  Status claim(std::size_t i) {
    const ProgramSpec::Slot& slot = spec_.slots[i];
    const std::string what = slot_name(i);
    if (!within(slot.output, spec_.outputs)) {
      return refuse(what + " is in output " + std::to_string(slot.output) + " of " +
                    std::to_string(spec_.outputs.size()));
    }
    const ProgramSpec::Output& output = spec_.outputs[static_cast<std::size_t>(slot.output)];
    if (slot.column < 0 || slot.column >= output.width) {
      return refuse(what + " is column " + std::to_string(slot.column) + " of output " + quoted(output.name) +
                    ", which has " + std::to_string(output.width));
    }
    if (slot.dtype != output.dtype) {
      return refuse(what + " is " + type_name(slot.dtype) + ", its output " + quoted(output.name) + " is " +
                    type_name(output.dtype));
    }
    std::size_t& owner =
        columns_[static_cast<std::size_t>(slot.output)][static_cast<std::size_t>(slot.column)];
    if (owner != kUnclaimed) {
      return refuse(what + " and " + slot_name(owner) + " are the same column of output " +
                    quoted(output.name));
    }
    owner = i;
    return Status::ok();
  }

  Status steps() {
    for (std::size_t i = 0; i < spec_.steps.size(); ++i) {
      const ProgramSpec::Step& step = spec_.steps[i];
      const std::string what = "step " + std::to_string(i) + " " + quoted(step.name);
      if (step.kernel == nullptr) return refuse(what + " has no kernel");
      if (step.scratch_bytes < 0) {
        return refuse(what + " asks for " + std::to_string(step.scratch_bytes) + " bytes of scratch memory");
      }
      for (const ProgramSpec::Array& array : step.state) {
        const std::size_t element = array.dtype == DataType::kBytes ? 0 : element_size(array.dtype);
        if (element == 0) return refuse(what + " has a state array of " + type_name(array.dtype));
        if (array.bytes.size() % element != 0) {
          return refuse(what + " has a state array of " + std::to_string(array.bytes.size()) +
                        " bytes, no whole number of " + type_name(array.dtype));
        }
      }
      for (const std::int32_t slot : step.in) {
        PENSTOCK_RETURN_IF_ERROR(known(what, slot));
        if (!written_[static_cast<std::size_t>(slot)]) {
          return refuse(what + " reads " + slot_name(static_cast<std::size_t>(slot)) +
                        " before it is written");
        }
      }
      for (const std::int32_t slot : step.out) {
        PENSTOCK_RETURN_IF_ERROR(known(what, slot));
        if (spec_.slots[static_cast<std::size_t>(slot)].input >= 0) {
          return refuse(what + " writes " + slot_name(static_cast<std::size_t>(slot)) + ", an input");
        }
        if (written_[static_cast<std::size_t>(slot)]) {
          return refuse(what + " writes " + slot_name(static_cast<std::size_t>(slot)) + ", written before");
        }
        written_[static_cast<std::size_t>(slot)] = true;
      }
    }
    return Status::ok();
  }

  Status known(const std::string& what, std::int32_t slot) const {
    if (within(slot, spec_.slots)) return Status::ok();
    return refuse(what + " names slot " + std::to_string(slot) + " of " + std::to_string(spec_.slots.size()));
  }

  Status complete() const {
    for (std::size_t o = 0; o < columns_.size(); ++o) {
      for (std::size_t c = 0; c < columns_[o].size(); ++c) {
        const std::size_t owner = columns_[o][c];
        if (owner == kUnclaimed || !written_[owner]) {
          return refuse("column " + std::to_string(c) + " of output " + quoted(spec_.outputs[o].name) +
                        " is written by no step");
        }
      }
    }
    return Status::ok();
  }

  std::string slot_name(std::size_t i) const {
    return "slot " + std::to_string(i) + " " + quoted(spec_.slots[i].name);
  }

  static constexpr std::size_t kUnclaimed = SIZE_MAX;

  const ProgramSpec& spec_;
  std::vector<bool> written_;                      // by slot
  std::vector<std::vector<std::size_t>> columns_;  // by output and column: the slot that it is
};

}  // namespace

struct Program::State {
  // How to find one column that a kernel is handed: an input, or memory behind one of the run's bases.
  struct Argument {
    std::int32_t input = -1;
    std::uint32_t base = 0;         // index of the run's bases, where this is no input
    std::size_t offset = 0;         // bytes from the base ...
    std::size_t offset_by_row = 0;  // ... and as many times the rows of the run
    penstock_column column{};       // with its stride and type, without its data
  };
  struct Call {
    std::string name;
    penstock_kernel kernel;
    penstock_state state;
    std::size_t in;  // indices into arguments
    std::size_t out;
    std::size_t inputs;
  };
  struct Free {
    void operator()(std::byte* block) const noexcept {
      ::operator delete[](block, std::align_val_t{Arena::kAlignment});
    }
  };
  enum Base : std::uint32_t { kColumns, kScratch, kOutputs };  // outputs from kOutputs on

  explicit State(ProgramSpec spec);

  std::vector<TensorSpec> inputs;
  std::vector<TensorSpec> outputs;
  std::vector<std::size_t> output_row_bytes;
  std::vector<Argument> arguments;  // call by call: its inputs, its outputs, its scratch memory
  std::vector<Call> calls;
  std::size_t column_row_bytes = 0;  // of all slots that are neither input nor output
  std::size_t scratch_bytes = 0;     // of the step that asks for most
  std::vector<penstock_array> arrays;
  std::unique_ptr<std::byte[], Free> block;  // the bytes of all arrays

 private:
  std::vector<Argument> place(const std::vector<ProgramSpec::Slot>& slots);
  void copy_state(const std::vector<ProgramSpec::Step>& steps);
};

Program::State::State(ProgramSpec spec) : inputs(std::move(spec.inputs)) {
  for (const ProgramSpec::Output& output : spec.outputs) {
    TensorSpec made{output.name, output.dtype, {-1}};
    if (!output.flat) made.shape.push_back(output.width);
    outputs.push_back(std::move(made));
    output_row_bytes.push_back(element_size(output.dtype) * static_cast<std::size_t>(output.width));
  }
  const std::vector<Argument> slots = place(spec.slots);
  copy_state(spec.steps);
  for (std::size_t i = 0; i < spec.steps.size(); ++i) {
    const ProgramSpec::Step& step = spec.steps[i];
    Call& call = calls[i];
    call.in = arguments.size();
    for (const std::int32_t slot : step.in) arguments.push_back(slots[static_cast<std::size_t>(slot)]);
    call.out = arguments.size();
    for (const std::int32_t slot : step.out) arguments.push_back(slots[static_cast<std::size_t>(slot)]);
    if (step.scratch_bytes > 0) {
      Argument scratch;
      scratch.base = kScratch;
      scratch.column = {nullptr, step.scratch_bytes, static_cast<std::int32_t>(DataType::kUint8), 0};
      arguments.push_back(scratch);
      scratch_bytes = std::max(scratch_bytes, static_cast<std::size_t>(step.scratch_bytes));
    }
  }
}

std::vector<Program::State::Argument> Program::State::place(const std::vector<ProgramSpec::Slot>& slots) {
  std::vector<Argument> placed(slots.size());
  for (std::size_t i = 0; i < slots.size(); ++i) {
    const ProgramSpec::Slot& slot = slots[i];
    const std::size_t size = element_size(slot.dtype);
    placed[i].input = slot.input;
    placed[i].column.dtype = static_cast<std::int32_t>(slot.dtype);
    placed[i].column.stride = static_cast<std::int64_t>(size);
    if (slot.output >= 0) {
      const auto output = static_cast<std::size_t>(slot.output);
      placed[i].base = kOutputs + static_cast<std::uint32_t>(slot.output);
      placed[i].offset = size * static_cast<std::size_t>(slot.column);
      placed[i].column.stride = static_cast<std::int64_t>(output_row_bytes[output]);
    }
  }
  // The widest elements first: every column then starts at a multiple of its own element size.
  for (std::size_t width = kMaxDatatypeSize; width > 0; width /= 2) {
    for (std::size_t i = 0; i < slots.size(); ++i) {
      if (slots[i].input >= 0 || slots[i].output >= 0 || element_size(slots[i].dtype) != width) continue;
      placed[i].base = kColumns;
      placed[i].offset_by_row = column_row_bytes;
      column_row_bytes += width;
    }
  }
  return placed;
}

void Program::State::copy_state(const std::vector<ProgramSpec::Step>& steps) {
  std::size_t total = 0;
  std::size_t count = 0;
  for (const ProgramSpec::Step& step : steps) {
    count += step.state.size();
    for (const ProgramSpec::Array& array : step.state) total += align_up(array.bytes.size());
  }
  total += Arena::kAlignment;  // an empty last array still has an address inside the block
  block.reset(static_cast<std::byte*>(::operator new[](total, std::align_val_t{Arena::kAlignment})));
  arrays.reserve(count);  // calls point into it
  calls.reserve(steps.size());
  std::byte* next = block.get();
  for (const ProgramSpec::Step& step : steps) {
    const penstock_array* first = arrays.data() + arrays.size();
    for (const ProgramSpec::Array& array : step.state) {
      if (!array.bytes.empty()) std::memcpy(next, array.bytes.data(), array.bytes.size());
      arrays.push_back({next, static_cast<std::int64_t>(array.bytes.size() / datatype_size(array.dtype)),
                        static_cast<std::int32_t>(array.dtype), 0});
      next += align_up(array.bytes.size());
    }
    const penstock_state state{first, static_cast<std::int64_t>(step.state.size()),
                               static_cast<std::int64_t>(step.in.size()),
                               static_cast<std::int64_t>(step.out.size())};
    calls.push_back({step.name, step.kernel, state, 0, 0, step.in.size()});
  }
}

Program::Program(std::unique_ptr<State> state) noexcept : state_(std::move(state)) {}
Program::~Program() = default;

Status Program::make(ProgramSpec spec, std::unique_ptr<Program>* made) {
  PENSTOCK_RETURN_IF_ERROR(Check(spec).all());
  made->reset(new Program(std::make_unique<State>(std::move(spec))));
  return Status::ok();
}

std::span<const TensorSpec> Program::inputs() const noexcept { return state_->inputs; }
std::span<const TensorSpec> Program::outputs() const noexcept { return state_->outputs; }

namespace {

// `rows` times `bytes`, 64-byte aligned. Throws std::bad_alloc, as the arena does, when there is no such
// size.
std::byte* rows_of(Arena& arena, std::int64_t rows, std::size_t bytes) {
  std::size_t total = 0;
  if (__builtin_mul_overflow(static_cast<std::size_t>(rows), bytes, &total)) throw std::bad_alloc();
  return static_cast<std::byte*>(arena.allocate(total, Arena::kAlignment));
}

}  // namespace

Status Program::run(std::span<const penstock_column> in, std::int64_t rows, Arena& arena,
                    std::span<const TensorView>* out) const try {
  const State& state = *state_;
  if (rows < 0) return invalid_argument("a batch of " + std::to_string(rows) + " rows");
  if (in.size() != state.inputs.size()) {
    return invalid_argument(std::to_string(in.size()) + " columns came, expected " +
                            std::to_string(state.inputs.size()));
  }
  for (std::size_t i = 0; i < in.size(); ++i) {
    if (in[i].dtype != static_cast<std::int32_t>(state.inputs[i].dtype)) [[unlikely]] {
      return invalid_argument("column " + quoted(state.inputs[i].name) + " is " +
                              type_name(static_cast<DataType>(in[i].dtype)) + ", expected " +
                              type_name(state.inputs[i].dtype));
    }
  }

  const std::span<std::byte*> bases = arena.uninitialised<std::byte*>(State::kOutputs + state.outputs.size());
  bases[State::kColumns] = rows_of(arena, rows, state.column_row_bytes);
  bases[State::kScratch] = rows_of(arena, 1, state.scratch_bytes);
  const std::span<TensorView> tensors = arena.array<TensorView>(state.outputs.size());
  for (std::size_t o = 0; o < tensors.size(); ++o) {
    const TensorSpec& spec = state.outputs[o];
    bases[State::kOutputs + o] = rows_of(arena, rows, state.output_row_bytes[o]);
    const std::span<std::int64_t> shape = arena.uninitialised<std::int64_t>(spec.shape.size());
    std::copy(spec.shape.begin(), spec.shape.end(), shape.begin());
    shape[0] = rows;
    const std::int64_t width = shape.size() == 1 ? 1 : shape[1];
    tensors[o] = {spec.name, spec.dtype, shape, rows * width, bases[State::kOutputs + o]};
  }

  const std::span<penstock_column> columns = arena.uninitialised<penstock_column>(state.arguments.size());
  for (std::size_t i = 0; i < columns.size(); ++i) {
    const State::Argument& argument = state.arguments[i];
    if (argument.input >= 0) {
      columns[i] = in[static_cast<std::size_t>(argument.input)];
    } else {
      columns[i] = argument.column;
      columns[i].data =
          bases[argument.base] + argument.offset + argument.offset_by_row * static_cast<std::size_t>(rows);
    }
  }
  for (const State::Call& call : state.calls) {
    const int refused = call.kernel(&call.state, columns.data() + call.in, columns.data() + call.out, rows);
    if (refused != 0) [[unlikely]] {
      return refusal(call.name, columns.subspan(call.in, call.inputs), refused - 1, rows);
    }
  }
  *out = tensors;
  return Status::ok();
} catch (const std::bad_alloc&) {
  return {Code::kResourceExhausted, "no memory for the transforms of " + std::to_string(rows) + " rows"};
}

}  // namespace penstock::transform
