#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "codec/infer_request.h"
#include "engine/inputs.h"
#include "engine/requests.h"

using namespace penstock;
using namespace penstock::engine;
using namespace penstock::engine::testing;

namespace {

Inputs inputs_of(std::vector<TensorSpec> specs, bool columns, std::vector<std::string> empty_is_missing = {},
                 std::int64_t max_rows = 0) {
  Inputs inputs;
  const Status status = Inputs::make(specs, columns, empty_is_missing, max_rows, &inputs);
  if (!status.is_ok()) throw std::runtime_error(status.message());
  return inputs;
}

// A decoded request and the memory that it lies in.
struct Decoded {
  explicit Decoded(std::vector<Tensor> tensors) {
    Request made;
    made.inputs = std::move(tensors);
    message = made.encode();
    const Status status = codec::decode_infer_request(std::as_bytes(std::span(message)), arena, &request);
    if (!status.is_ok()) throw std::runtime_error(status.message());
  }
  std::string message;
  Arena arena;
  codec::InferRequest request;
};

std::string tensor_error(const Inputs& inputs, std::vector<Tensor> tensors) {
  Decoded decoded(std::move(tensors));
  std::span<const TensorView> bound;
  std::int64_t rows = 0;
  const Status status = inputs.bind_tensors(decoded.request, decoded.arena, &bound, &rows);
  CHECK(status.code() == Code::kInvalidArgument);
  return status.message();
}

std::string column_error(const Inputs& inputs, std::vector<Tensor> tensors) {
  Decoded decoded(std::move(tensors));
  std::span<const penstock_column> bound;
  const TensorView* matrix = nullptr;
  std::int64_t rows = 0;
  const Status status = inputs.bind_columns(decoded.request, decoded.arena, &bound, &matrix, &rows);
  CHECK(status.code() == Code::kInvalidArgument);
  return status.message();
}

const std::vector<TensorSpec> kTensors{{"a", DataType::kFp32, {-1, 2}}, {"b", DataType::kInt64, {-1}}};
const std::vector<TensorSpec> kColumns{{"n", DataType::kFp64, {-1}}, {"s", DataType::kBytes, {-1}}};

Tensor a(std::int64_t rows) {
  return {"a", "FP32", {rows, 2}, raw_bytes(std::vector<float>(static_cast<std::size_t>(rows) * 2, 1.5F))};
}
Tensor b(std::int64_t rows) {
  return {"b", "INT64", {rows}, raw_bytes(std::vector<std::int64_t>(static_cast<std::size_t>(rows), 7))};
}
Tensor n(std::vector<double> values) {
  return {"n", "FP64", {static_cast<std::int64_t>(values.size())}, raw_bytes(values)};
}
Tensor s(std::vector<std::string> values) {
  return {"s", "BYTES", {static_cast<std::int64_t>(values.size())}, raw_strings(values)};
}

}  // namespace

TEST_CASE("tensors come in the order of the model, whatever the order of the request") {
  const Inputs inputs = inputs_of(kTensors, false);
  for (const bool reversed : {false, true}) {
    Decoded decoded(reversed ? std::vector<Tensor>{b(3), a(3)} : std::vector<Tensor>{a(3), b(3)});
    std::span<const TensorView> bound;
    std::int64_t rows = 0;
    REQUIRE(inputs.bind_tensors(decoded.request, decoded.arena, &bound, &rows).is_ok());
    CHECK(rows == 3);
    REQUIRE(bound.size() == 2);
    CHECK(bound[0].name == "a");
    CHECK(static_cast<const float*>(bound[0].data)[5] == 1.5F);
    CHECK(bound[1].name == "b");
    CHECK(static_cast<const std::int64_t*>(bound[1].data)[2] == 7);
  }
}

TEST_CASE("errors about tensors name the tensor, what came and what is expected") {
  const Inputs inputs = inputs_of(kTensors, false, {}, 4);
  CHECK(tensor_error(inputs, {a(2)}) == "input 'b' is missing; INT64 [-1] is expected");
  CHECK(tensor_error(inputs, {a(2), b(2), {"c", "FP32", {1}, raw_bytes<float>({1})}}) ==
        "input 'c' is not one of this model's; expected: a, b");
  CHECK(tensor_error(inputs, {a(2), b(2), b(2)}) == "input 'b' came twice; each is expected once");
  CHECK(tensor_error(inputs, {a(2), {"b", "INT32", {2}, raw_bytes<std::int32_t>({1, 2})}}) ==
        "input 'b': INT32 came, INT64 is expected");
  CHECK(tensor_error(inputs, {a(2), {"b", "INT64", {2, 1}, raw_bytes<std::int64_t>({1, 2})}}) ==
        "input 'b': INT64 [2, 1] came, INT64 [-1] is expected");
  CHECK(tensor_error(inputs, {{"a", "FP32", {2, 3}, raw_bytes(std::vector<float>(6))}, b(2)}) ==
        "input 'a': FP32 [2, 3] came, FP32 [-1, 2] is expected");
  CHECK(tensor_error(inputs, {a(2), b(3)}) ==
        "input 'b' has 3 rows, input 'a' has 2; all inputs of a request have the same number");
  CHECK(tensor_error(inputs, {a(0), b(0)}) == "the batch is empty; at least one row is expected");
  CHECK(tensor_error(inputs, {a(5), b(5)}) == "the batch has 5 rows; at most 4 are allowed");
}

TEST_CASE("a long list of expected names is cut, and a long name too") {
  std::vector<TensorSpec> many;
  for (int i = 0; i < 500; ++i) many.push_back({"column_" + std::to_string(i), DataType::kFp64, {-1}});
  const std::string message =
      column_error(inputs_of(many, true), {{std::string(5000, 'x'), "FP64", {1}, raw_bytes<double>({1})}});
  CHECK(message.size() < 1000);
  CHECK(message.ends_with(", ..."));
}

TEST_CASE(
    "the rows of a request that is not bound yet are those of an input that has rows, and one at least") {
  const Inputs inputs =
      inputs_of({{"weights", DataType::kFp32, {768}}, {"a", DataType::kFp32, {-1, 2}}}, false);
  const Tensor weights{"weights", "FP32", {768}, raw_bytes(std::vector<float>(768))};
  CHECK(inputs.rows_of(Decoded({weights, a(3)}).request) == 3);
  CHECK(inputs.rows_of(Decoded({a(3), weights}).request) == 3);
  CHECK(inputs.rows_of(Decoded({weights}).request) == 1);
  CHECK(inputs.rows_of(Decoded({a(0)}).request) == 1);
  CHECK(inputs.rows_of(Decoded({{"a", "FP32", {INT64_MAX, 0}, ""}}).request) == 1);
  CHECK(inputs.rows_of(Decoded({{"a", "FP32", {}, raw_bytes<float>({1})}}).request) == 1);
  const Inputs columns = inputs_of(kColumns, true);
  CHECK(columns.rows_of(Decoded({s({"x", "y"}), n({1, 2})}).request) == 2);
  CHECK(columns.rows_of(Decoded(std::vector<Tensor>{}).request) == 1);
  const Inputs fixed = inputs_of({{"weights", DataType::kFp32, {768}}}, false);
  CHECK(fixed.rows_of(Decoded({weights}).request) == 1);
}

TEST_CASE("a fixed first dimension is no batch") {
  const Inputs inputs =
      inputs_of({{"table", DataType::kFp64, {2}}, {"x", DataType::kFp64, {-1, 1}}}, false, {}, 5);
  Decoded decoded({{"table", "FP64", {2}, raw_bytes<double>({1, 2})},
                   {"x", "FP64", {3, 1}, raw_bytes<double>({1, 2, 3})}});
  std::span<const TensorView> bound;
  std::int64_t rows = 0;
  REQUIRE(inputs.bind_tensors(decoded.request, decoded.arena, &bound, &rows).is_ok());
  CHECK(rows == 3);
}

TEST_CASE("columns come as [n] or [n, 1], in any order") {
  const Inputs inputs = inputs_of(kColumns, true);
  Tensor tall = n({1, 2});
  tall.shape = {2, 1};
  for (const Tensor& numbers : {n({1, 2}), tall}) {
    Decoded decoded({s({"x", "\xC3\xBC"}), numbers});
    std::span<const penstock_column> bound;
    const TensorView* matrix = nullptr;
    std::int64_t rows = 0;
    REQUIRE(inputs.bind_columns(decoded.request, decoded.arena, &bound, &matrix, &rows).is_ok());
    CHECK(rows == 2);
    CHECK(matrix == nullptr);
    REQUIRE(bound.size() == 2);
    CHECK(bound[0].stride == 8);
    CHECK(static_cast<const double*>(bound[0].data)[1] == 2);
    CHECK(bound[1].dtype == static_cast<std::int32_t>(DataType::kBytes));
    CHECK(bound[1].stride == sizeof(StringRef));
    CHECK(static_cast<const StringRef*>(bound[1].data)[1].view() == "\xC3\xBC");
  }
}

TEST_CASE("errors about columns name the column, what came and what is expected") {
  const Inputs inputs = inputs_of(kColumns, true, {}, 3);
  CHECK(column_error(inputs, {n({1})}) == "input 's' is missing; BYTES [-1] is expected");
  CHECK(column_error(inputs, {n({1}), s({"a", "b"})}) ==
        "input 's' has 2 rows, input 'n' has 1; all inputs of a request have the same number");
  CHECK(column_error(inputs, {{"n", "FP64", {1, 2}, raw_bytes<double>({1, 2})}, s({"a"})}) ==
        "input 'n': FP64 [1, 2] came, a column, [rows] or [rows, 1], is expected");
  CHECK(column_error(inputs, {{"n", "FP64", {}, raw_bytes<double>({1})}, s({"a"})})
            .starts_with("input 'n': FP64 [] came"));
  CHECK(column_error(inputs, {n({1}), {"s", "FP64", {1}, raw_bytes<double>({1})}}) ==
        "input 's': FP64 came, BYTES is expected");
  CHECK(column_error(inputs, {n({1, 2}), s({"fine", "\xFF"})}) ==
        "input 's': element 1 is not UTF-8; strings are expected");
  CHECK(column_error(inputs, {n({}), s({})}) == "the batch is empty; at least one row is expected");
  CHECK(column_error(inputs, {n({1, 2, 3, 4}), s({"", "", "", ""})}) ==
        "the batch has 4 rows; at most 3 are allowed");
}

TEST_CASE("an empty string is missing where the bundle says so, and only there") {
  const std::vector<TensorSpec> specs{{"s", DataType::kBytes, {-1}}, {"t", DataType::kBytes, {-1}}};
  const Inputs inputs = inputs_of(specs, true, {"t"});
  Tensor second = s({"", "x", ""});
  second.name = "t";
  Decoded decoded({s({"", "a", ""}), second});
  std::span<const penstock_column> bound;
  const TensorView* matrix = nullptr;
  std::int64_t rows = 0;
  REQUIRE(inputs.bind_columns(decoded.request, decoded.arena, &bound, &matrix, &rows).is_ok());
  const auto* kept = static_cast<const StringRef*>(bound[0].data);
  const auto* missing = static_cast<const StringRef*>(bound[1].data);
  CHECK(kept[0].data != nullptr);
  CHECK(missing[0].data == nullptr);
  CHECK(missing[1].view() == "x");
  CHECK(missing[2].data == nullptr);
  // The request itself is as it was.
  CHECK(decoded.request.inputs[1].tensor.strings()[0].data != nullptr);
}

TEST_CASE("what cannot be declared is refused") {
  Inputs inputs;
  const std::vector<TensorSpec> twice{{"a", DataType::kFp32, {-1}}, {"a", DataType::kFp32, {-1}}};
  CHECK_FALSE(Inputs::make(twice, true, {}, 0, &inputs).is_ok());
  CHECK_FALSE(Inputs::make(kColumns, true, {}, -1, &inputs).is_ok());
  const std::vector<std::string> number{"n"};
  CHECK(Inputs::make(kColumns, true, number, 0, &inputs).message().find("'n'") != std::string::npos);
  const std::vector<std::string> nobody{"nobody"};
  CHECK_FALSE(Inputs::make(kColumns, true, nobody, 0, &inputs).is_ok());
}

TEST_CASE("numeric columns take one matrix; strings, half floats and a column of its name take none") {
  const auto takes = [](DataType dtype, std::string name = "n") {
    return inputs_of({{"first", DataType::kFp64, {-1}}, {std::move(name), dtype, {-1}}}, true).takes_matrix();
  };
  CHECK(takes(DataType::kFp64));
  CHECK(takes(DataType::kBool));
  CHECK_FALSE(takes(DataType::kBytes));
  CHECK_FALSE(takes(DataType::kFp16));
  CHECK_FALSE(takes(DataType::kBf16));
  CHECK_FALSE(takes(DataType::kFp64, "features"));
  CHECK_FALSE(inputs_of(kTensors, false).takes_matrix());
}

TEST_CASE("a matrix of the wrong type or width is refused by name") {
  const Inputs inputs = inputs_of({{"p", DataType::kFp64, {-1}}, {"q", DataType::kInt32, {-1}}}, true, {}, 2);
  CHECK(column_error(inputs, {{"features", "FP64", {1, 3}, raw_bytes<double>({1, 2, 3})}}) ==
        "input 'features': FP64 [1, 3] came, FP32 or FP64 [-1, 2] is expected");
  CHECK(column_error(inputs, {{"features", "FP64", {2}, raw_bytes<double>({1, 2})}}).find("FP64 [2] came") !=
        std::string::npos);
  CHECK(column_error(inputs, {{"features", "INT32", {1, 2}, raw_bytes<std::int32_t>({1, 2})}})
            .find("INT32 [1, 2] came") != std::string::npos);
  CHECK(column_error(inputs, {{"features", "FP64", {0, 2}, ""}}).find("empty") != std::string::npos);
  CHECK(column_error(inputs, {{"features", "FP64", {3, 2}, raw_bytes(std::vector<double>(6))}})
            .find("at most 2") != std::string::npos);
}

namespace {

// Whether `value` fits a column of `dtype`, and what it becomes there.
template <typename From, typename To>
bool becomes(DataType dtype, From value, To expected) {
  const Inputs inputs = inputs_of({{"p", DataType::kFp64, {-1}}, {"q", dtype, {-1}}}, true);
  const char* name = std::is_same_v<From, float> ? "FP32" : "FP64";
  Decoded decoded({{"features", name, {2, 2}, raw_bytes<From>({1, 1, 1, value})}});
  std::span<const penstock_column> bound;
  const TensorView* matrix = nullptr;
  std::int64_t rows = 0;
  REQUIRE(inputs.bind_columns(decoded.request, decoded.arena, &bound, &matrix, &rows).is_ok());
  REQUIRE(matrix != nullptr);
  const Status status = inputs.split_matrix(*matrix, decoded.arena, &bound);
  if (!status.is_ok()) {
    CHECK(status.code() == Code::kInvalidArgument);
    CHECK(status.message() == "input 'features': row 1 of column 'q' does not fit its datatype " +
                                  std::string(datatype_name(dtype)));
    return false;
  }
  CHECK(bound[0].stride == (std::is_same_v<From, float> ? 8 : 16));
  const auto* at = static_cast<const std::byte*>(bound[1].data) + bound[1].stride;
  To got;
  std::memcpy(&got, at, sizeof got);
  CHECK(got == expected);
  return true;
}

template <typename To>
void integer_edges(DataType dtype) {
  CAPTURE(datatype_name(dtype));
  constexpr auto kMin = std::numeric_limits<To>::min();
  constexpr auto kMax = std::numeric_limits<To>::max();
  const double low = static_cast<double>(kMin);
  CHECK(becomes(dtype, low, kMin));
  CHECK_FALSE(becomes(dtype, std::nextafter(low, -1e300), kMin));
  CHECK_FALSE(becomes(dtype, 0.5, To{}));
  CHECK(becomes(dtype, -0.0, To{}));
  CHECK_FALSE(becomes(dtype, std::numeric_limits<double>::quiet_NaN(), To{}));
  CHECK_FALSE(becomes(dtype, std::numeric_limits<double>::infinity(), To{}));
  CHECK_FALSE(becomes(dtype, -std::numeric_limits<double>::infinity(), To{}));
  const double end = std::ldexp(1.0, std::numeric_limits<To>::digits);  // one past the largest
  CHECK_FALSE(becomes(dtype, end, kMax));
  if constexpr (sizeof(To) < 8) {
    CHECK(becomes(dtype, end - 1, kMax));
  } else {
    const double below = std::nextafter(end, 0.0);
    CHECK(becomes(dtype, below, static_cast<To>(below)));
  }
  CHECK(becomes(dtype, 3.0F, To{3}));
  CHECK_FALSE(becomes(dtype, 3.25F, To{3}));
}

}  // namespace

TEST_CASE("a matrix's values become integers where they are integers of the column's range") {
  integer_edges<std::int8_t>(DataType::kInt8);
  integer_edges<std::int16_t>(DataType::kInt16);
  integer_edges<std::int32_t>(DataType::kInt32);
  integer_edges<std::int64_t>(DataType::kInt64);
  integer_edges<std::uint8_t>(DataType::kUint8);
  integer_edges<std::uint16_t>(DataType::kUint16);
  integer_edges<std::uint32_t>(DataType::kUint32);
  integer_edges<std::uint64_t>(DataType::kUint64);
}

TEST_CASE("a matrix's values become booleans and floats") {
  CHECK(becomes(DataType::kBool, 1.0, true));
  CHECK(becomes(DataType::kBool, 0.0F, false));
  CHECK_FALSE(becomes(DataType::kBool, 2.0, true));
  CHECK_FALSE(becomes(DataType::kBool, std::nan(""), true));
  CHECK(becomes(DataType::kFp32, 0.1, 0.1F));
  CHECK(becomes(DataType::kFp64, 0.1F, static_cast<double>(0.1F)));
  CHECK(becomes(DataType::kFp32, 2.5F, 2.5F));
  CHECK(becomes(DataType::kFp64, std::numeric_limits<float>::infinity(),
                std::numeric_limits<double>::infinity()));
}
