#include <doctest/doctest.h>

#include <functional>
#include <stdexcept>
#include <string>

#include "kernels.h"

using namespace penstock;
using namespace penstock::transform;
using namespace penstock::transform::testing;

namespace {

// What make() says of two_steps() with one thing changed.
std::string refusal_of(const std::function<void(ProgramSpec&)>& change) {
  ProgramSpec spec = two_steps();
  change(spec);
  const Status status = build(std::move(spec));
  CHECK(status.code() == Code::kInvalidArgument);
  return status.message();
}

bool says(const std::string& message, std::string_view part) {
  const bool found = message.find(part) != std::string::npos;
  if (!found) MESSAGE("expected '" << std::string(part) << "' in: " << message);
  return found;
}

}  // namespace

TEST_CASE("a sound spec is taken and described") {
  const std::unique_ptr<Program> program = built(two_steps());
  REQUIRE(program->inputs().size() == 2);
  CHECK(program->inputs()[1].name == "b");
  REQUIRE(program->outputs().size() == 1);
  CHECK(program->outputs()[0].shape == std::vector<std::int64_t>{-1, 2});
}

TEST_CASE("an index outside its list is refused") {
  CHECK(says(refusal_of([](ProgramSpec& s) { s.slots[0].input = 2; }), "input 2 of 2"));
  CHECK(says(refusal_of([](ProgramSpec& s) { s.slots[0].input = -7; }), "negative"));
  CHECK(says(refusal_of([](ProgramSpec& s) { s.slots[3].output = 1; }), "output 1 of 1"));
  CHECK(says(refusal_of([](ProgramSpec& s) { s.slots[3].output = -2; }), "negative"));
  CHECK(says(refusal_of([](ProgramSpec& s) { s.slots[3].column = 2; }), "column 2 of output \"features\""));
  CHECK(says(refusal_of([](ProgramSpec& s) { s.slots[3].column = -1; }), "column -1"));
  CHECK(says(refusal_of([](ProgramSpec& s) { s.steps[0].in[0] = 5; }), "slot 5 of 5"));
  CHECK(says(refusal_of([](ProgramSpec& s) { s.steps[0].in[0] = -1; }), "slot -1 of 5"));
  CHECK(says(refusal_of([](ProgramSpec& s) { s.steps[1].out[0] = 99; }), "slot 99 of 5"));
  CHECK(says(refusal_of([](ProgramSpec& s) { s.steps[1].in[0].element = 1; }),
             "reads column 1 of slot 2 \"scratch\", which has 1"));
  CHECK(says(refusal_of([](ProgramSpec& s) { s.steps[1].in[0].element = -1; }), "reads column -1"));
}

TEST_CASE("a slot is written once, before it is read") {
  CHECK(says(refusal_of([](ProgramSpec& s) { std::swap(s.steps[0], s.steps[1]); }),
             "step 0 \"second\" reads slot 2 \"scratch\" before it is written"));
  CHECK(says(refusal_of([](ProgramSpec& s) { s.steps[1].in = {3}; }), "before it is written"));
  CHECK(says(refusal_of([](ProgramSpec& s) { s.steps[1].out = {2}; }), "written before"));
  CHECK(says(refusal_of([](ProgramSpec& s) { s.steps[0].out = {2, 2}; }), "written before"));
  CHECK(says(refusal_of([](ProgramSpec& s) { s.steps[1].out = {0}; }), "an input"));
}

TEST_CASE("every column of every output has one writer") {
  CHECK(says(refusal_of([](ProgramSpec& s) { s.steps.pop_back(); }), "column 0 of output \"features\""));
  CHECK(says(refusal_of([](ProgramSpec& s) { s.outputs[0].width = 3; }), "column 2 of output \"features\""));
  CHECK(says(refusal_of([](ProgramSpec& s) { s.slots[3].column = 1; }), "same column"));
  CHECK(says(refusal_of([](ProgramSpec& s) { s.outputs[0].width = 0; }), "0 columns"));
  CHECK(says(refusal_of([](ProgramSpec& s) { s.slots[3].width = 2; }), "same column"));
  CHECK(
      says(refusal_of([](ProgramSpec& s) { s.slots[4].width = 2; }), "column 1 to 2 of output \"features\""));
  CHECK(says(refusal_of([](ProgramSpec& s) { s.slots[4].width = INT32_MAX; }), "column 1 to 2147483647"));
}

TEST_CASE("a slot of several columns is no input and no text") {
  CHECK(says(refusal_of([](ProgramSpec& s) { s.slots[2].width = 0; }), "0 columns"));
  CHECK(says(refusal_of([](ProgramSpec& s) { s.slots[0].width = 2; }), "is an input or BYTES"));
  CHECK(says(refusal_of([](ProgramSpec& s) {
               s.slots[2].width = 2;
               s.slots[2].dtype = DataType::kBytes;
             }),
             "is an input or BYTES"));
}

TEST_CASE("types fit") {
  CHECK(says(refusal_of([](ProgramSpec& s) { s.slots[0].dtype = DataType::kFp32; }), "FP32"));
  CHECK(says(refusal_of([](ProgramSpec& s) { s.slots[3].dtype = DataType::kFp32; }), "FP32"));
  CHECK(says(refusal_of([](ProgramSpec& s) { s.slots[2].dtype = DataType::kInvalid; }), "datatype 0"));
  CHECK(says(refusal_of([](ProgramSpec& s) { s.slots[2].dtype = static_cast<DataType>(400); }), "400"));
  CHECK(says(refusal_of([](ProgramSpec& s) { s.inputs[0].dtype = static_cast<DataType>(-3); }), "-3"));
  CHECK(says(refusal_of([](ProgramSpec& s) { s.outputs[0].dtype = DataType::kBytes; }), "BYTES"));
  CHECK(says(refusal_of([](ProgramSpec& s) { s.outputs[0].flat = true; }), "flat"));
  CHECK(says(refusal_of([](ProgramSpec& s) { s.slots[0].output = 0; }), "both"));
}

TEST_CASE("a step without kernel, with negative scratch or with broken arrays is refused") {
  CHECK(says(refusal_of([](ProgramSpec& s) { s.steps[0].kernel = nullptr; }), "no kernel"));
  CHECK(says(refusal_of([](ProgramSpec& s) { s.steps[0].scratch_bytes = -1; }), "-1 bytes"));
  CHECK(says(refusal_of([](ProgramSpec& s) { s.steps[0].state[0].bytes.pop_back(); }), "15 bytes"));
  CHECK(says(refusal_of([](ProgramSpec& s) { s.steps[0].state[0].dtype = DataType::kBytes; }), "BYTES"));
  CHECK(
      says(refusal_of([](ProgramSpec& s) { s.steps[0].state[0].dtype = DataType::kInvalid; }), "datatype 0"));
}
