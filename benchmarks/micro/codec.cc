// What the codec costs a request: nanoseconds per decode and encode, best of several rounds, one thread.
// make -C benchmarks/micro && build/release/micro/codec
#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/arena.h"
#include "base/clock.h"
#include "codec/grpc_message.h"
#include "codec/infer_request.h"
#include "codec/infer_response.h"
#include "codec/wire_writer.h"

using namespace penstock;

namespace {

constexpr int kRounds = 15;

template <typename Work>
void measure(const char* what, int calls, Work work) {
  std::int64_t best = std::numeric_limits<std::int64_t>::max();
  for (int round = 0; round < kRounds; ++round) {
    const std::int64_t start = monotonic_ns();
    for (int i = 0; i < calls; ++i) work();
    best = std::min(best, monotonic_ns() - start);
  }
  std::printf("%-58s %9.1f ns\n", what, static_cast<double>(best) / calls);
}

std::string field(std::uint32_t number, const std::string& content) {
  std::string out(codec::length_field_size(content.size()), '\0');
  codec::WireWriter writer(reinterpret_cast<std::byte*>(out.data()));
  writer.put_header(number, content.size());
  writer.put_bytes(content.data(), content.size());
  return out;
}

std::string varint(std::uint64_t value) {
  std::string out(codec::varint_size(value), '\0');
  codec::WireWriter(reinterpret_cast<std::byte*>(out.data())).put_varint(value);
  return out;
}

std::string tensor(const std::string& name, const std::string& datatype,
                   const std::vector<std::uint64_t>& shape, const std::string& contents = "") {
  std::string dims;
  for (const std::uint64_t dim : shape) dims += varint(dim);
  return field(
      5, field(1, name) + field(2, datatype) + field(3, dims) + (contents.empty() ? "" : field(5, contents)));
}

std::string matrix(std::size_t rows, bool raw) {
  const std::vector<float> values(rows * 30, 1.5F);
  const std::string bytes(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float));
  const std::string head = field(1, "delay") + field(3, "request-0001");
  if (raw) return head + tensor("features", "FP32", {rows, 30}) + field(7, bytes);
  return head + tensor("features", "FP32", {rows, 30}, field(6, bytes));
}

// As of flights: 13 numbers and 3 short strings, one tensor a column.
std::string columns(std::size_t rows) {
  std::string inputs;
  std::string raws;
  for (int i = 0; i < 13; ++i) {
    inputs += tensor("column_number_" + std::to_string(i), "FP64", {rows});
    raws += field(7, std::string(rows * sizeof(double), '\1'));
  }
  for (const char* name : {"carrier", "origin", "dest"}) {
    inputs += tensor(name, "BYTES", {rows});
    std::string elements;
    for (std::size_t row = 0; row < rows; ++row) elements += std::string("\3\0\0\0", 4) + "JFK";
    raws += field(7, elements);
  }
  return field(1, "delay") + field(3, "request-0001") + inputs + raws;
}

void decode(const char* what, const std::string& message, int calls) {
  Arena arena;
  codec::InferRequest request;
  measure(what, calls, [&] {
    arena.reset();
    if (!codec::decode_infer_request(std::as_bytes(std::span(message)), arena, &request).is_ok())
      std::abort();
  });
}

void encode(const char* what, std::size_t rows, bool raw, int calls) {
  Arena arena;
  const std::vector<double> values(rows, 0.25);
  const std::array<std::int64_t, 1> shape{static_cast<std::int64_t>(rows)};
  const std::array<TensorView, 1> outputs{{{"prediction", DataType::kFp64, shape, shape[0], values.data()}}};
  const std::array<codec::Parameter, 2> parameters{
      {{"penstock_arm", std::string_view("stable")},
       {"penstock_digest", std::string_view("0123456789abcdef")}}};
  const std::string head = codec::encode_response_head("delay", "3", parameters);
  const codec::InferResponse response{std::as_bytes(std::span(head)), "request-0001", outputs, raw};
  measure(what, calls, [&] {
    arena.reset();
    if (codec::encode_infer_response(response, codec::kPrefixBytes, 16384, arena).empty()) std::abort();
  });
}

}  // namespace

int main() {
  decode("decode, one FP32 [1,30], raw", matrix(1, true), 200'000);
  decode("decode, one FP32 [1,30], typed", matrix(1, false), 200'000);
  decode("decode, one FP32 [256,30], raw", matrix(256, true), 20'000);
  decode("decode, 16 columns of 1 row (13 FP64, 3 BYTES), raw", columns(1), 50'000);
  decode("decode, 16 columns of 256 rows, raw", columns(256), 5'000);
  encode("encode, one FP64 [1], raw", 1, true, 200'000);
  encode("encode, one FP64 [256], raw", 256, true, 100'000);
  encode("encode, one FP64 [256], typed", 256, false, 100'000);
  encode("encode, one FP64 [100000], raw, borrowed", 100'000, true, 100'000);
  return 0;
}
