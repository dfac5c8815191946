#include "transform/program.h"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <new>
#include <utility>

#include "transform/refusal.h"
#include "transform/spec_check.h"

namespace penstock::transform {

namespace {

static_assert(sizeof(StringRef) == sizeof(penstock_string) && offsetof(StringRef, data) == 0 &&
              offsetof(StringRef, size) == offsetof(penstock_string, size));

constexpr std::size_t kMaxDatatypeSize = sizeof(penstock_string);

// Rows that go through all steps before the next ones do. A matrix is written column by column: of so few of
// its rows, the lines stay in the first-level cache until the last column is written.
constexpr std::int64_t kTileRows = 32;
static_assert(kTileRows <= PENSTOCK_ROWS);

std::size_t align_up(std::size_t size) noexcept {
  return (size + Arena::kAlignment - 1) & ~(Arena::kAlignment - 1);
}

}  // namespace

struct Program::State {
  // How to find what a kernel is handed: an input, or memory behind one of the run's bases.
  struct Argument {
    std::int32_t input = -1;
    std::uint32_t base = 0;    // index of the run's bases, where this is no input
    std::size_t offset = 0;    // bytes from the base
    std::size_t advance = 0;   // bytes between rows where each tile has its own; inputs bring theirs
    penstock_column column{};  // with its stride and type, without its data
  };
  // Where everything is while up to `rows` rows go through the steps.
  struct Layout {
    std::int64_t rows = 0;
    std::size_t column_bytes = 0;     // of all slots that are neither input nor output
    std::vector<Argument> arguments;  // call by call: its inputs, its outputs, its scratch memory
  };
  struct Call {
    std::string name;
    penstock_kernel kernel;
    penstock_state state;
    std::size_t in;  // indices into arguments
    std::size_t out;
  };
  struct Free {
    void operator()(std::byte* block) const noexcept {
      ::operator delete[](block, std::align_val_t{Arena::kAlignment});
    }
  };
  enum Base : std::uint32_t { kColumns, kScratch, kOutputs };  // outputs from kOutputs on

  struct Refused {
    const Call* call = nullptr;  // null: none
    std::int64_t row = 0;        // of those that were run
  };

  explicit State(ProgramSpec spec);

  // All calls, in order, on `rows` rows, up to the first that refuses one.
  Refused run(std::span<penstock_column> columns, std::int64_t rows) const {
    for (const Call& call : calls) {
      const int refused = call.kernel(&call.state, columns.data() + call.in, columns.data() + call.out, rows);
      if (refused != 0) [[unlikely]]
        return {&call, refused - 1};
    }
    return {};
  }

  std::vector<TensorSpec> inputs;
  std::vector<std::int32_t> input_dtypes;  // of `inputs`, beside one another: each run compares them
  std::vector<TensorSpec> outputs;
  std::vector<std::size_t> output_row_bytes;
  std::vector<Call> calls;
  std::size_t scratch_bytes = 0;  // of the step that asks for most
  Layout one;                     // for one row alone
  Layout tile;
  std::vector<penstock_array> arrays;
  std::unique_ptr<std::byte[], Free> block;  // the bytes of all arrays

 private:
  void copy_state(const std::vector<ProgramSpec::Step>& steps);
  Layout lay_out(const ProgramSpec& spec, std::int64_t rows) const;
  std::vector<Argument> place(const std::vector<ProgramSpec::Slot>& slots, Layout* layout) const;
};

Program::State::State(ProgramSpec spec) : inputs(std::move(spec.inputs)) {
  for (const TensorSpec& input : inputs) input_dtypes.push_back(static_cast<std::int32_t>(input.dtype));
  for (const ProgramSpec::Output& output : spec.outputs) {
    TensorSpec made{output.name, output.dtype, {-1}};
    if (!output.flat) made.shape.push_back(output.width);
    outputs.push_back(std::move(made));
    output_row_bytes.push_back(element_size(output.dtype) * static_cast<std::size_t>(output.width));
  }
  copy_state(spec.steps);
  std::size_t arguments = 0;
  for (std::size_t i = 0; i < spec.steps.size(); ++i) {
    const ProgramSpec::Step& step = spec.steps[i];
    calls[i].in = arguments;
    calls[i].out = arguments + step.in.size();
    arguments = calls[i].out + step.out.size() + (step.scratch_bytes > 0 ? 1 : 0);
    scratch_bytes = std::max(scratch_bytes, static_cast<std::size_t>(step.scratch_bytes));
  }
  one = lay_out(spec, 1);
  tile = lay_out(spec, kTileRows);
}

Program::State::Layout Program::State::lay_out(const ProgramSpec& spec, std::int64_t rows) const {
  Layout layout;
  layout.rows = rows;
  const std::vector<Argument> slots = place(spec.slots, &layout);
  for (const ProgramSpec::Step& step : spec.steps) {
    for (const ProgramSpec::Read& read : step.in) {
      const auto slot = static_cast<std::size_t>(read.slot);
      Argument argument = slots[slot];
      argument.offset += static_cast<std::size_t>(read.element) * element_size(spec.slots[slot].dtype);
      argument.column.width = 1;
      layout.arguments.push_back(argument);
    }
    for (const std::int32_t slot : step.out) {
      layout.arguments.push_back(slots[static_cast<std::size_t>(slot)]);
    }
    if (step.scratch_bytes > 0) {
      Argument scratch;
      scratch.base = kScratch;
      scratch.column = {nullptr, step.scratch_bytes, static_cast<std::int32_t>(DataType::kUint8), 1};
      layout.arguments.push_back(scratch);
    }
  }
  return layout;
}

std::vector<Program::State::Argument> Program::State::place(const std::vector<ProgramSpec::Slot>& slots,
                                                            Layout* layout) const {
  std::vector<Argument> placed(slots.size());
  for (std::size_t i = 0; i < slots.size(); ++i) {
    const ProgramSpec::Slot& slot = slots[i];
    const std::size_t size = element_size(slot.dtype);
    placed[i].input = slot.input;
    placed[i].column.dtype = static_cast<std::int32_t>(slot.dtype);
    placed[i].column.width = slot.width;
    placed[i].column.stride = static_cast<std::int64_t>(size) * slot.width;
    if (slot.output >= 0) {
      const auto output = static_cast<std::size_t>(slot.output);
      placed[i].base = kOutputs + static_cast<std::uint32_t>(slot.output);
      placed[i].offset = size * static_cast<std::size_t>(slot.column);
      placed[i].advance = output_row_bytes[output];
      placed[i].column.stride = static_cast<std::int64_t>(output_row_bytes[output]);
    }
  }
  // The widest elements first: every column then starts at a multiple of its own element size.
  for (std::size_t bytes = kMaxDatatypeSize; bytes > 0; bytes /= 2) {
    for (std::size_t i = 0; i < slots.size(); ++i) {
      if (slots[i].input >= 0 || slots[i].output >= 0 || element_size(slots[i].dtype) != bytes) continue;
      placed[i].base = kColumns;
      placed[i].offset = layout->column_bytes;
      layout->column_bytes += static_cast<std::size_t>(placed[i].column.stride * layout->rows);
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
    calls.push_back({step.name, step.kernel, state, 0, 0});
  }
}

Program::Program(std::unique_ptr<State> state) noexcept : state_(std::move(state)) {}
Program::~Program() = default;

Status Program::make(ProgramSpec spec, std::unique_ptr<Program>* made) {
  PENSTOCK_RETURN_IF_ERROR(check_spec(spec));
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
                    std::span<const TensorView>* out, std::int64_t first_row) const try {
  const State& state = *state_;
  if (rows < 0) return invalid_argument("a batch of " + std::to_string(rows) + " rows");
  if (in.size() != state.inputs.size()) {
    return invalid_argument(std::to_string(in.size()) + " columns came, expected " +
                            std::to_string(state.inputs.size()));
  }
  for (std::size_t i = 0; i < in.size(); ++i) {
    if (in[i].dtype != state.input_dtypes[i]) [[unlikely]] {
      return invalid_argument("column \"" + state.inputs[i].name + "\" is " +
                              type_name(static_cast<DataType>(in[i].dtype)) + ", expected " +
                              type_name(state.inputs[i].dtype));
    }
  }

  const State::Layout& layout = rows == 1 ? state.one : state.tile;
  const std::span<std::byte*> bases = arena.uninitialised<std::byte*>(State::kOutputs + state.outputs.size());
  bases[State::kColumns] = rows_of(arena, 1, layout.column_bytes);
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
  *out = tensors;

  const std::span<penstock_column> columns = arena.uninitialised<penstock_column>(layout.arguments.size());
  for (std::size_t i = 0; i < columns.size(); ++i) {
    const State::Argument& argument = layout.arguments[i];
    if (argument.input >= 0) {
      columns[i] = in[static_cast<std::size_t>(argument.input)];
    } else {
      columns[i] = argument.column;
      columns[i].data = bases[argument.base] + argument.offset;
    }
  }
  for (std::int64_t first = 0; first < rows; first += layout.rows) {
    const std::int64_t n = std::min(layout.rows, rows - first);
    State::Refused refused = state.run(columns, n);
    if (refused.call != nullptr) [[unlikely]] {
      // A later call may refuse an earlier row; the first row of the batch is the one to tell of.
      while (refused.row > 0 && refused.row < n) {
        const State::Refused earlier = state.run(columns, refused.row);
        if (earlier.call == nullptr || earlier.row >= refused.row) break;
        refused = earlier;
      }
      const State::Call& call = *refused.call;
      return refusal(call.name, columns.subspan(call.in, call.out - call.in), refused.row, n,
                     first_row + first);
    }
    if (first + n == rows) break;
    for (std::size_t i = 0; i < columns.size(); ++i) {
      const State::Argument& argument = layout.arguments[i];
      const std::int64_t advance =
          argument.input >= 0 ? columns[i].stride : static_cast<std::int64_t>(argument.advance);
      columns[i].data = static_cast<std::byte*>(columns[i].data) + advance * n;
    }
  }
  return Status::ok();
} catch (const std::bad_alloc&) {
  return {Code::kResourceExhausted, "no memory for the transforms of " + std::to_string(rows) + " rows"};
}

}  // namespace penstock::transform
