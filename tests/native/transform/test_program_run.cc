#include <doctest/doctest.h>

#include <array>
#include <cstdlib>
#include <limits>
#include <new>
#include <stdexcept>
#include <string>
#include <thread>

#include "kernels.h"

using namespace penstock;
using namespace penstock::transform;
using namespace penstock::transform::testing;

// Every allocation of this program by plain new, so that a test can see that a run makes none.
namespace {
thread_local std::size_t allocations = 0;
}
void* operator new(std::size_t size) {
  ++allocations;
  void* const made = std::malloc(size == 0 ? 1 : size);
  if (made == nullptr) throw std::bad_alloc();
  return made;
}
void operator delete(void* block) noexcept { std::free(block); }
void operator delete(void* block, std::size_t) noexcept { std::free(block); }

namespace {

ProgramSpec text_program() {
  ProgramSpec spec;
  spec.inputs = {{"carrier", DataType::kBytes, {-1}}};
  spec.slots = {{DataType::kBytes, "carrier", 0, -1, 0}, {DataType::kBytes, "copy", -1, 0, 0}};
  spec.steps.push_back({"copy(carrier)", copy_text, {}, {0}, {1}, 0});
  spec.outputs = {{"carrier", DataType::kBytes, 1, true}};
  return spec;
}

StringRef text(const char* data) {
  return {data, static_cast<std::int64_t>(std::char_traits<char>::length(data))};
}

Status run_text(std::span<const StringRef> strings, std::span<const TensorView>* out, Arena& arena) {
  const std::unique_ptr<Program> program = built(text_program());
  const std::array in{column(strings.data(), sizeof(StringRef), DataType::kBytes)};
  return program->run(in, static_cast<std::int64_t>(strings.size()), arena, out);
}

}  // namespace

TEST_CASE("steps run in order and write straight into the row-major matrix") {
  const std::unique_ptr<Program> program = built(two_steps());
  // The inputs are the columns of a matrix themselves: two doubles a row.
  const std::array<double, 6> rows{1, 2, 3, 4, 5, 6};
  const std::array in{column(rows.data(), 16, DataType::kFp64), column(rows.data() + 1, 16, DataType::kFp64)};
  Arena arena;
  std::span<const TensorView> out;
  REQUIRE(program->run(in, 3, arena, &out).is_ok());
  REQUIRE(out.size() == 1);
  CHECK(out[0].name == "features");
  CHECK(std::vector<std::int64_t>(out[0].shape.begin(), out[0].shape.end()) ==
        std::vector<std::int64_t>{3, 2});
  CHECK(out[0].elements == 6);
  CHECK(reinterpret_cast<std::uintptr_t>(out[0].data) % 64 == 0);
  const auto* values = static_cast<const double*>(out[0].data);
  CHECK(std::vector<double>(values, values + 6) == std::vector<double>{12, 4, 14, 6, 16, 8});
}

TEST_CASE("a batch goes through the steps in tiles, and every row comes out in its place") {
  // {x, -x} side by side in scratch memory; then the second of them into the matrix, beside three of a block.
  const auto pair = [](const void*, const penstock_column* in, penstock_column* out,
                       std::int64_t rows) -> int {
    if (rows < 1 || rows > PENSTOCK_ROWS || out[0].width != 2 || out[0].stride != 16) return 1;
    for (std::int64_t row = 0; row < rows; ++row) {
      double* const made = &at<double>(out[0], row);
      made[0] = at<double>(in[0], row);
      made[1] = -made[0];
    }
    return 0;
  };
  const auto copy = [](const void*, const penstock_column* in, penstock_column* out,
                       std::int64_t rows) -> int {
    if (in[0].width != 1 || out[0].width != 1 || out[1].width != 3) return 1;
    for (std::int64_t row = 0; row < rows; ++row) {
      at<double>(out[0], row) = at<double>(in[0], row);
      for (int e = 0; e < 3; ++e) (&at<double>(out[1], row))[e] = at<double>(in[1], row) + e;
    }
    return 0;
  };
  ProgramSpec spec;
  spec.inputs = {{"x", DataType::kFp64, {-1}}};
  spec.slots = {{DataType::kFp64, "x", 0, -1, 0, 1},
                {DataType::kFp64, "pair", -1, -1, 0, 2},
                {DataType::kFp64, "second", -1, 0, 3, 1},
                {DataType::kFp64, "three", -1, 0, 0, 3}};
  spec.steps.push_back({"pair", pair, {}, {0}, {1}, 0});
  spec.steps.push_back({"copy", copy, {}, {{1, 1}, {1, 0}}, {2, 3}, 0});
  spec.outputs = {{"features", DataType::kFp64, 4, false}};
  const std::unique_ptr<Program> program = built(std::move(spec));
  std::vector<double> values(2000);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<double>(i);
  Arena arena;
  for (const std::int64_t rows : {1, 2, 31, 32, 33, 128, 129, 1000}) {
    const std::array in{column(values.data(), 16, DataType::kFp64)};  // every other value
    std::span<const TensorView> out;
    REQUIRE(program->run(in, rows, arena, &out).is_ok());
    const auto* made = static_cast<const double*>(out[0].data);
    bool sound = true;
    for (std::int64_t row = 0; row < rows; ++row, made += 4) {
      const double x = 2.0 * static_cast<double>(row);
      sound = sound && made[0] == x && made[1] == x + 1 && made[2] == x + 2 && made[3] == -x;
    }
    CHECK(sound);
    arena.reset();
  }
}

TEST_CASE("a refusal counts rows from the batch's first, whichever tile they are in") {
  std::vector<StringRef> strings(1000, text("AA"));
  strings[777] = text("ZZ");
  Arena arena;
  std::span<const TensorView> out;
  CHECK(run_text(strings, &out, arena).message() == "copy(carrier) refused row 777: \"ZZ\"");
}

TEST_CASE("no rows give an empty matrix") {
  const std::unique_ptr<Program> program = built(two_steps());
  const std::array in{column(nullptr, 8, DataType::kFp64), column(nullptr, 8, DataType::kFp64)};
  Arena arena;
  std::span<const TensorView> out;
  REQUIRE(program->run(in, 0, arena, &out).is_ok());
  CHECK(out[0].shape[0] == 0);
  CHECK(out[0].elements == 0);
}

TEST_CASE("columns of mixed widths in scratch memory are each aligned to their element") {
  const auto widths = [](const void*, const penstock_column*, penstock_column* out,
                         std::int64_t rows) -> int {
    for (std::int64_t row = 0; row < rows; ++row) {
      at<std::uint8_t>(out[0], row) = 1;
      at<double>(out[1], row) = 2;
      at<std::uint16_t>(out[2], row) = 3;
      at<penstock_string>(out[3], row) = {"four", 4};
      at<float>(out[4], row) = 5;
    }
    return 0;
  };
  const auto sum = [](const void*, const penstock_column* in, penstock_column* out,
                      std::int64_t rows) -> int {
    for (std::int64_t row = 0; row < rows; ++row) {
      at<double>(out[0], row) = at<std::uint8_t>(in[0], row) + at<double>(in[1], row) +
                                at<std::uint16_t>(in[2], row) +
                                static_cast<double>(at<penstock_string>(in[3], row).size) +
                                static_cast<double>(at<float>(in[4], row));
      const std::array<std::size_t, 5> sizes{1, 8, 2, sizeof(penstock_string), 4};
      for (std::size_t c = 0; c < sizes.size(); ++c) {
        const auto address = reinterpret_cast<std::uintptr_t>(&at<std::byte>(in[c], row));
        if (address % std::min<std::size_t>(sizes[c], 8) != 0) return static_cast<int>(row) + 1;
      }
    }
    return 0;
  };
  ProgramSpec spec;
  spec.slots = {{DataType::kUint8, "", -1, -1, 0},  {DataType::kFp64, "", -1, -1, 0},
                {DataType::kUint16, "", -1, -1, 0}, {DataType::kBytes, "", -1, -1, 0},
                {DataType::kFp32, "", -1, -1, 0},   {DataType::kFp64, "", -1, 0, 0}};
  spec.steps.push_back({"widths", widths, {}, {}, {0, 1, 2, 3, 4}, 0});
  spec.steps.push_back({"sum", sum, {}, {0, 1, 2, 3, 4}, {5}, 0});
  spec.outputs = {{"sum", DataType::kFp64, 1, true}};
  const std::unique_ptr<Program> program = built(std::move(spec));
  Arena arena;
  for (const std::int64_t rows : {1, 3, 7, 100}) {
    std::span<const TensorView> out;
    REQUIRE(program->run({}, rows, arena, &out).is_ok());
    CHECK(out[0].shape.size() == 1);
    for (std::int64_t row = 0; row < rows; ++row) CHECK(static_cast<const double*>(out[0].data)[row] == 15);
  }
}

TEST_CASE("state arrays are aligned, carry their sizes and exist when empty") {
  const auto probe = [](const void* raw, const penstock_column*, penstock_column* out,
                        std::int64_t rows) -> int {
    const auto* state = static_cast<const penstock_state*>(raw);
    const bool sound = state->count == 3 && state->inputs == 0 && state->outputs == 1 &&
                       state->arrays[0].size == 3 && state->arrays[1].size == 0 &&
                       state->arrays[2].size == 2 && state->arrays[1].data != nullptr &&
                       state->arrays[2].dtype == static_cast<std::int32_t>(DataType::kInt64);
    if (!sound) return 1;
    for (std::int64_t a = 0; a < 3; ++a) {
      if (reinterpret_cast<std::uintptr_t>(state->arrays[a].data) % 64 != 0) return 1;
    }
    for (std::int64_t row = 0; row < rows; ++row) {
      at<double>(out[0], row) =
          static_cast<double>(static_cast<const std::int64_t*>(state->arrays[2].data)[1]);
    }
    return 0;
  };
  ProgramSpec spec;
  spec.slots = {{DataType::kFp64, "x", -1, 0, 0}};
  spec.steps.push_back({"probe",
                        probe,
                        {array<std::uint8_t>(DataType::kUint8, {1, 2, 3}), array<double>(DataType::kFp64, {}),
                         array<std::int64_t>(DataType::kInt64, {5, 7})},
                        {},
                        {0},
                        0});
  spec.outputs = {{"x", DataType::kFp64, 1, false}};
  Arena arena;
  std::span<const TensorView> out;
  REQUIRE(built(std::move(spec))->run({}, 2, arena, &out).is_ok());
  CHECK(static_cast<const double*>(out[0].data)[1] == 7);
}

TEST_CASE("a step that asks for scratch finds it behind its last output") {
  const auto fill = [](const void*, const penstock_column*, penstock_column* out, std::int64_t rows) -> int {
    if (out[1].stride != 1000 || reinterpret_cast<std::uintptr_t>(out[1].data) % 64 != 0) return 1;
    std::memset(out[1].data, 9, 1000);
    for (std::int64_t row = 0; row < rows; ++row)
      at<double>(out[0], row) = static_cast<std::uint8_t*>(out[1].data)[999];
    return 0;
  };
  ProgramSpec spec;
  spec.slots = {{DataType::kFp64, "x", -1, 0, 0}};
  spec.steps.push_back({"fill", fill, {}, {}, {0}, 1000});
  spec.outputs = {{"x", DataType::kFp64, 1, false}};
  Arena arena;
  std::span<const TensorView> out;
  REQUIRE(built(std::move(spec))->run({}, 1, arena, &out).is_ok());
  CHECK(*static_cast<const double*>(out[0].data) == 9);
}

TEST_CASE("strings pass by reference") {
  const std::array strings{text("AA"), text("UA")};
  Arena arena;
  std::span<const TensorView> out;
  REQUIRE(run_text(strings, &out, arena).is_ok());
  REQUIRE(out[0].strings().size() == 2);
  CHECK(out[0].strings()[1].view() == "UA");
  CHECK(out[0].strings()[1].data == strings[1].data);
}

TEST_CASE("a refusal names the step, the row and the value") {
  Arena arena;
  std::span<const TensorView> out;
  const auto message = [&](std::vector<StringRef> strings) {
    const Status status = run_text(strings, &out, arena);
    CHECK(status.code() == Code::kInvalidArgument);
    return status.message();
  };
  CHECK(message({text("AA"), text("UA"), text("B6"), text("ZZ")}) == "copy(carrier) refused row 3: \"ZZ\"");
  CHECK(message({StringRef{}}) == "copy(carrier) refused row 0: a missing value");
}

TEST_CASE("the first row that any step refuses is told, whichever step comes first") {
  const auto refuse_from = [](double limit) { return array<double>(DataType::kFp64, {limit}); };
  const auto above = [](const void* raw, const penstock_column* in, penstock_column* out,
                        std::int64_t rows) -> int {
    const auto* state = static_cast<const penstock_state*>(raw);
    for (std::int64_t row = 0; row < rows; ++row) {
      if (at<double>(in[0], row) == *static_cast<const double*>(state->arrays[0].data)) {
        return static_cast<int>(row) + 1;
      }
      at<double>(out[0], row) = at<double>(in[0], row);
    }
    return 0;
  };
  ProgramSpec spec;
  spec.inputs = {{"x", DataType::kFp64, {-1}}};
  spec.slots = {
      {DataType::kFp64, "x", 0, -1, 0}, {DataType::kFp64, "y", -1, -1, 0}, {DataType::kFp64, "z", -1, 0, 0}};
  spec.steps.push_back({"one", above, {refuse_from(41)}, {0}, {1}, 0});
  spec.steps.push_back({"two", above, {refuse_from(40)}, {1}, {2}, 0});
  spec.outputs = {{"z", DataType::kFp64, 1, true}};
  const std::unique_ptr<Program> program = built(std::move(spec));
  std::vector<double> values(100);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<double>(i);
  const std::array in{column(values.data(), 8, DataType::kFp64)};
  Arena arena;
  std::span<const TensorView> out;
  CHECK(program->run(in, 100, arena, &out).message() == "two refused row 40: 40");
}

TEST_CASE("the value in a refusal is cut, and escaped where it is no plain text") {
  const auto refuse = [](const void*, const penstock_column*, penstock_column*, std::int64_t) -> int {
    return 1;
  };
  ProgramSpec spec = text_program();
  spec.steps[0].kernel = refuse;
  const std::unique_ptr<Program> program = built(std::move(spec));
  Arena arena;
  std::span<const TensorView> out;
  const auto shown = [&](const std::string& value) {
    const StringRef string{value.data(), static_cast<std::int64_t>(value.size())};
    const std::array in{column(&string, sizeof(StringRef), DataType::kBytes)};
    const std::string message = program->run(in, 1, arena, &out).message();
    return message.substr(message.find(": ") + 2);
  };
  CHECK(shown("") == "\"\"");
  CHECK(shown("a\"b\\c\n") == R"("a\"b\\c\x0a")");
  CHECK(shown("Z\xC3\xBCrich \xE2\x82\xAC \xF0\x9F\x9B\xAB") ==
        "\"Z\xC3\xBCrich \xE2\x82\xAC \xF0\x9F\x9B\xAB\"");
  CHECK(shown("\xC3") == R"("\xc3")");
  CHECK(shown("\xED\xA0\x80!") == R"("\xed\xa0\x80!")");
  CHECK(shown(std::string(1000, 'x')) == "\"" + std::string(64, 'x') + "\"... (1000 bytes)");
  CHECK(shown(std::string(63, 'x') + "\xE2\x82\xAC") == "\"" + std::string(63, 'x') + "\xE2\x82\xAC\"");
}

TEST_CASE("a refusal shows numbers of every type") {
  const auto refuse = [](const void*, const penstock_column*, penstock_column*, std::int64_t) -> int {
    return 2;
  };
  Arena arena;
  std::span<const TensorView> out;
  const auto shown = [&](DataType dtype, const void* data, std::int64_t size) {
    ProgramSpec spec;
    spec.inputs = {{"x", dtype, {-1}}};
    spec.slots = {{dtype, "x", 0, -1, 0}};
    spec.steps.push_back({"step", refuse, {}, {0}, {}, 0});
    const std::array in{column(data, size, dtype)};
    return built(std::move(spec))->run(in, 2, arena, &out).message();
  };
  const std::array<std::int64_t, 2> big{0, std::numeric_limits<std::int64_t>::min()};
  const std::array<float, 2> single{0, 0.1F};
  const std::array<double, 2> not_a_number{0, std::numeric_limits<double>::quiet_NaN()};
  const std::array<std::uint8_t, 2> bytes{0, 200};
  CHECK(shown(DataType::kInt64, big.data(), 8) == "step refused row 1: -9223372036854775808");
  CHECK(shown(DataType::kFp32, single.data(), 4) == "step refused row 1: 0.1");
  CHECK(shown(DataType::kFp64, not_a_number.data(), 8) == "step refused row 1: nan");
  CHECK(shown(DataType::kUint8, bytes.data(), 1) == "step refused row 1: 200");
  CHECK(shown(DataType::kInt8, bytes.data(), 1) == "step refused row 1: -56");
  CHECK(shown(DataType::kBool, bytes.data(), 1) == "step refused row 1: true");
}

TEST_CASE("a kernel that refuses a row it was not given is an internal error") {
  const auto wild = [](const void*, const penstock_column*, penstock_column*, std::int64_t) -> int {
    return 1000;
  };
  ProgramSpec spec = text_program();
  spec.steps[0].kernel = wild;
  const StringRef string = text("AA");
  const std::array in{column(&string, sizeof(StringRef), DataType::kBytes)};
  Arena arena;
  std::span<const TensorView> out;
  CHECK(built(std::move(spec))->run(in, 1, arena, &out).code() == Code::kInternal);
}

TEST_CASE("columns that are not the declared ones are refused") {
  const std::unique_ptr<Program> program = built(two_steps());
  const std::array<double, 2> values{1, 2};
  Arena arena;
  std::span<const TensorView> out;
  const penstock_column sound = column(values.data(), 8, DataType::kFp64);
  CHECK(program->run(std::array{sound}, 1, arena, &out).code() == Code::kInvalidArgument);
  CHECK(program->run(std::array{sound, sound}, -1, arena, &out).code() == Code::kInvalidArgument);
  const Status wrong =
      program->run(std::array{sound, column(values.data(), 8, DataType::kInt64)}, 1, arena, &out);
  CHECK(wrong.message() == "column \"b\" is INT64, expected FP64");
}

TEST_CASE("more rows than memory can hold is an answer, no crash") {
  const std::unique_ptr<Program> program = built(two_steps());
  const penstock_column sound = column(nullptr, 8, DataType::kFp64);
  Arena arena;
  std::span<const TensorView> out;
  const Status status = program->run(std::array{sound, sound}, INT64_MAX, arena, &out);
  CHECK(status.code() == Code::kResourceExhausted);
}

TEST_CASE("a run takes its memory from the arena alone, and none in the steady state") {
  const std::unique_ptr<Program> program = built(two_steps());
  const std::vector<double> values(256, 1.0);
  const std::array in{column(values.data(), 8, DataType::kFp64), column(values.data(), 8, DataType::kFp64)};
  Arena arena(64);
  std::span<const TensorView> out;
  REQUIRE(program->run(in, 256, arena, &out).is_ok());
  arena.reset();
  const std::size_t held = arena.held();
  const std::size_t before = allocations;
  bool sound = true;
  for (int i = 0; i < 100; ++i) {
    sound = sound && program->run(in, 256, arena, &out).is_ok();
    arena.reset();
  }
  const std::size_t after = allocations;
  CHECK(sound);
  CHECK(after == before);
  CHECK(arena.held() == held);
}

TEST_CASE("threads share a program") {
  const std::unique_ptr<Program> program = built(two_steps());
  std::vector<std::thread> threads;
  std::array<bool, 4> sound{};
  for (std::size_t t = 0; t < sound.size(); ++t) {
    threads.emplace_back([&, t] {
      Arena arena;
      const double value = static_cast<double>(t);
      const std::array in{column(&value, 8, DataType::kFp64), column(&value, 8, DataType::kFp64)};
      bool all = true;
      for (int i = 0; i < 1000; ++i) {
        std::span<const TensorView> out;
        all = all && program->run(in, 1, arena, &out).is_ok() &&
              static_cast<const double*>(out[0].data)[0] == value + 11;
        arena.reset();
      }
      sound[t] = all;
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const bool each : sound) CHECK(each);
}
