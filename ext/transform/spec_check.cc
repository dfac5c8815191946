#include "transform/spec_check.h"

#include <cstdint>
#include <utility>
#include <vector>

namespace penstock::transform {

std::size_t element_size(DataType dtype) noexcept {
  const auto number = static_cast<std::int32_t>(dtype);
  if (number <= 0 || number >= static_cast<std::int32_t>(kDataTypeCount)) return 0;
  return dtype == DataType::kBytes ? sizeof(penstock_string) : datatype_size(dtype);
}

std::string type_name(DataType dtype) {
  return element_size(dtype) == 0 ? "datatype " + std::to_string(static_cast<std::int32_t>(dtype))
                                  : std::string(datatype_name(dtype));
}

namespace {

std::string quoted(const std::string& name) { return "\"" + name + "\""; }

template <typename T>
bool within(std::int32_t index, const std::vector<T>& items) noexcept {
  return index >= 0 && static_cast<std::size_t>(index) < items.size();
}

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
      if (slot.width < 1) return refuse(what + " has " + std::to_string(slot.width) + " columns");
      if (slot.width > 1 && (slot.input >= 0 || slot.dtype == DataType::kBytes)) {
        return refuse(what + " has more than one column, and is an input or BYTES");
      }
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

  // One slot's column for each column of each output.
  Status claim(std::size_t i) {
    const ProgramSpec::Slot& slot = spec_.slots[i];
    const std::string what = slot_name(i);
    if (!within(slot.output, spec_.outputs)) {
      return refuse(what + " is in output " + std::to_string(slot.output) + " of " +
                    std::to_string(spec_.outputs.size()));
    }
    const ProgramSpec::Output& output = spec_.outputs[static_cast<std::size_t>(slot.output)];
    if (slot.column < 0 || slot.column >= output.width || slot.width > output.width - slot.column) {
      const std::int64_t last = std::int64_t{slot.column} + slot.width - 1;
      return refuse(what + " is column " + std::to_string(slot.column) +
                    (slot.width > 1 ? " to " + std::to_string(last) : "") + " of output " +
                    quoted(output.name) + ", which has " + std::to_string(output.width));
    }
    if (slot.dtype != output.dtype) {
      return refuse(what + " is " + type_name(slot.dtype) + ", its output " + quoted(output.name) + " is " +
                    type_name(output.dtype));
    }
    for (std::int32_t c = slot.column; c < slot.column + slot.width; ++c) {
      std::size_t& owner = columns_[static_cast<std::size_t>(slot.output)][static_cast<std::size_t>(c)];
      if (owner != kUnclaimed) {
        return refuse(what + " and " + slot_name(owner) + " are the same column of output " +
                      quoted(output.name));
      }
      owner = i;
    }
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
      for (const ProgramSpec::Read& read : step.in) {
        PENSTOCK_RETURN_IF_ERROR(known(what, read.slot));
        const auto slot = static_cast<std::size_t>(read.slot);
        if (!written_[slot]) return refuse(what + " reads " + slot_name(slot) + " before it is written");
        if (read.element < 0 || read.element >= spec_.slots[slot].width) {
          return refuse(what + " reads column " + std::to_string(read.element) + " of " + slot_name(slot) +
                        ", which has " + std::to_string(spec_.slots[slot].width));
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

Status check_spec(const ProgramSpec& spec) { return Check(spec).all(); }

}  // namespace penstock::transform
