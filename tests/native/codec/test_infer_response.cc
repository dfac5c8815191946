#include <doctest/doctest.h>

#include <array>
#include <cstring>
#include <string>
#include <vector>

#include "codec/grpc_message.h"
#include "codec/infer_response.h"

using namespace penstock;
using namespace penstock::codec;

namespace {

// Two numeric outputs and one of strings, with memory of their own.
struct Outputs {
  std::array<std::int64_t, 2> shape{1, 4};
  std::array<std::int64_t, 1> text_shape{2};
  alignas(8) std::array<float, 4> floats{1, 2, 3, 4};
  alignas(8) std::array<double, 4> doubles{5, 6, 7, 8};
  std::array<StringRef, 2> strings{{{"ab", 2}, {nullptr, 0}}};
  std::array<TensorView, 3> tensors{{{"small", DataType::kFp32, shape, 4, floats.data()},
                                     {"large", DataType::kFp64, shape, 4, doubles.data()},
                                     {"text", DataType::kBytes, text_shape, 2, strings.data()}}};
};

std::string joined(std::span<const Piece> pieces) {
  std::string all;
  for (const Piece& piece : pieces) {
    all.append(reinterpret_cast<const char*>(piece.bytes.data()), piece.bytes.size());
  }
  return all;
}

}  // namespace

TEST_CASE("raw contents from the threshold on are borrowed, and the pieces are the same message") {
  const Outputs outputs;
  const std::string head = encode_response_head("delay", "3", {});
  InferResponse response{std::as_bytes(std::span(head)), "id-7", outputs.tensors};
  Arena arena;
  const std::span<const Piece> whole = encode_infer_response(response, kPrefixBytes, SIZE_MAX, arena);
  REQUIRE(whole.size() == 1);
  const std::span<const Piece> one = encode_infer_response(response, kPrefixBytes, 32, arena);
  REQUIRE(one.size() == 3);
  CHECK(one[1].borrowed);
  CHECK(one[1].bytes.data() == reinterpret_cast<const std::byte*>(outputs.doubles.data()));
  CHECK_FALSE(one[0].borrowed);
  CHECK_FALSE(one[2].borrowed);
  const std::span<const Piece> both = encode_infer_response(response, kPrefixBytes, 16, arena);
  CHECK(both.size() == 5);
  CHECK(joined(one) == joined(whole));
  CHECK(joined(both) == joined(whole));
}

TEST_CASE("the prefix is gRPC's, and other room is left to the caller") {
  const Outputs outputs;
  const InferResponse response{{}, "", outputs.tensors};
  Arena arena;
  const std::string bare = joined(encode_infer_response(response, 0, SIZE_MAX, arena));
  const std::span<const Piece> framed = encode_infer_response(response, kPrefixBytes, SIZE_MAX, arena);
  const MessagePrefix prefix = read_prefix(framed[0].bytes.first<kPrefixBytes>());
  CHECK(prefix.flag == 0);
  CHECK(prefix.length == bare.size());
  CHECK(joined(framed).substr(kPrefixBytes) == bare);
  const std::span<const Piece> roomy = encode_infer_response(response, 64, SIZE_MAX, arena);
  CHECK(joined(roomy).substr(64) == bare);
}

TEST_CASE("a message of 2 GiB is not encoded, nor are its bytes read or memory taken for it") {
  const std::array<std::int64_t, 1> shape{std::int64_t{1} << 31};
  const float anything = 0;
  const std::array<TensorView, 1> huge{{{"x", DataType::kInt8, shape, shape[0], &anything}}};
  Arena arena;
  CHECK(encode_infer_response({{}, "", huge}, kPrefixBytes, SIZE_MAX, arena).empty());
  CHECK(encode_infer_response({{}, "", huge}, kPrefixBytes, 0, arena).empty());
  CHECK(arena.held() < std::size_t{1} << 20);
}

TEST_CASE("an answer without outputs is its head") {
  const std::string head = encode_response_head("m", "1", {});
  Arena arena;
  const InferResponse response{std::as_bytes(std::span(head)), "", {}};
  CHECK(joined(encode_infer_response(response, 0, 0, arena)) ==
        "\x0a\x01m\x12\x01"
        "1");
  const InferResponse nothing{};
  CHECK(encode_infer_response(nothing, 0, 0, arena).empty());
}
