#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "codec/infer_request.h"
#include "codec/wire_writer.h"

using namespace penstock;
using namespace penstock::codec;

namespace {

constexpr std::size_t kRoom = 1 << 12;

// One length-delimited field around `content`.
std::string field(std::uint32_t number, const std::string& content) {
  std::string out(kRoom, '\0');
  WireWriter writer(reinterpret_cast<std::byte*>(out.data()));
  writer.put_header(number, content.size());
  writer.put_bytes(content.data(), content.size());
  out.resize(static_cast<std::size_t>(writer.at() - reinterpret_cast<std::byte*>(out.data())));
  return out;
}

std::string varint(std::uint64_t value) {
  std::string out(varint_size(value), '\0');
  WireWriter(reinterpret_cast<std::byte*>(out.data())).put_varint(value);
  return out;
}

template <typename T>
std::string raw(const std::vector<T>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

std::string tensor(const std::string& name, const std::string& datatype,
                   const std::vector<std::uint64_t>& shape, const std::string& more = "") {
  std::string dims;
  for (const std::uint64_t dim : shape) dims += varint(dim);
  return field(5, field(1, name) + field(2, datatype) + field(3, dims) + more);
}

// A request with something of everything.
std::string full_request() {
  const std::string value = field(2, std::string("\x10\x07", 2));
  const std::string entry = field(4, field(1, "priority") + value);
  std::string message = field(1, "delay") + field(2, "stable") + field(3, "id-7") + entry;
  message += tensor("x", "FP32", {1, 3}, entry);
  message += tensor("s", "BYTES", {2});
  message += field(6, field(1, "y") + field(2, field(1, "classification") + value));
  message += field(7, raw<float>({1.5F, -2.0F, 0.25F}));
  message += field(7, std::string("\x02\0\0\0ab\0\0\0\0", 10));
  return message;
}

// The message where the allocator put it, `shift` bytes further: an overread is ASan's to see.
class Placed {
 public:
  Placed(const std::string& message, std::size_t shift)
      : copy_(new std::byte[message.size() + shift]), view_(copy_.get() + shift, message.size()) {
    std::copy_n(reinterpret_cast<const std::byte*>(message.data()), message.size(), copy_.get() + shift);
  }

  Bytes view() const { return view_; }

  bool holds(const void* at) const {
    return at >= copy_.get() && at < static_cast<const void*>(view_.data() + view_.size());
  }

 private:
  std::unique_ptr<std::byte[]> copy_;
  Bytes view_;
};

// Reads every byte that the request points to.
std::size_t touch(const InferRequest& request) {
  std::size_t sum = request.model_name.size() + request.model_version.size() + request.id.size();
  for (const InputTensor& input : request.inputs) {
    if (input.tensor.dtype == DataType::kBytes) {
      for (const StringRef& element : input.tensor.strings()) {
        for (const char c : element.view()) sum += static_cast<unsigned char>(c);
      }
    } else {
      for (const std::byte byte : input.tensor.bytes()) sum += static_cast<std::size_t>(byte);
    }
    for (const Parameter& parameter : input.parameters) sum += parameter.name.size();
  }
  return sum;
}

}  // namespace

TEST_CASE("a request with something of everything is read") {
  const Placed message(full_request(), 0);
  Arena arena;
  InferRequest request;
  const Status status = decode_infer_request(message.view(), arena, &request);
  REQUIRE_MESSAGE(status.is_ok(), status.message());
  CHECK(request.model_name == "delay");
  CHECK(request.model_version == "stable");
  CHECK(request.id == "id-7");
  CHECK(request.raw);
  REQUIRE(request.parameters.size() == 1);
  CHECK(request.parameters[0].name == "priority");
  CHECK(std::get<std::int64_t>(request.parameters[0].value) == 7);
  REQUIRE(request.inputs.size() == 2);
  const TensorView& x = request.inputs[0].tensor;
  CHECK(x.name == "x");
  CHECK(x.dtype == DataType::kFp32);
  CHECK(std::ranges::equal(x.shape, std::vector<std::int64_t>{1, 3}));
  CHECK(x.elements == 3);
  CHECK(static_cast<const float*>(x.data)[1] == -2.0F);
  CHECK(request.inputs[0].parameters.size() == 1);
  const TensorView& s = request.inputs[1].tensor;
  REQUIRE(s.elements == 2);
  CHECK(s.strings()[0].view() == "ab");
  CHECK(s.strings()[1].view().empty());
  CHECK(message.holds(s.strings()[0].data));
  REQUIRE(request.outputs.size() == 1);
  CHECK(request.outputs[0].name == "y");
  CHECK(request.outputs[0].parameters[0].name == "classification");
}

TEST_CASE("aligned numbers stay in the message, others are copied to an aligned place") {
  const std::string packed = field(5, field(6, raw<float>({1, 2, 3})));
  for (const std::string& text :
       {tensor("x", "FP32", {3}) + field(7, raw<float>({1, 2, 3})), tensor("x", "FP32", {3}, packed)}) {
    int in_place = 0;
    for (std::size_t shift = 0; shift < 4; ++shift) {
      const Placed message(text, shift);
      Arena arena;
      InferRequest request;
      REQUIRE(decode_infer_request(message.view(), arena, &request).is_ok());
      const void* data = request.inputs[0].tensor.data;
      CHECK(reinterpret_cast<std::uintptr_t>(data) % alignof(float) == 0);
      CHECK(static_cast<const float*>(data)[2] == 3.0F);
      in_place += message.holds(data) ? 1 : 0;
    }
    CHECK(in_place == 1);
  }
}

TEST_CASE("a scalar has one element, and a tensor without elements has an address") {
  for (const auto& [shape, bytes, elements] :
       {std::tuple<std::vector<std::uint64_t>, std::string, std::int64_t>{{}, raw<double>({2.5}), 1},
        {{0, 4}, "", 0}}) {
    const Placed message(tensor("x", "FP64", shape) + field(7, bytes), 3);
    Arena arena;
    InferRequest request;
    REQUIRE(decode_infer_request(message.view(), arena, &request).is_ok());
    CHECK(request.inputs[0].tensor.elements == elements);
    CHECK(request.inputs[0].tensor.data != nullptr);
  }
}

TEST_CASE("the answer is raw where the request was, or where nothing came in contents") {
  Arena arena;
  InferRequest request;
  const auto raw_of = [&](const std::string& text) {
    const Placed message(text, 0);
    REQUIRE(decode_infer_request(message.view(), arena, &request).is_ok());
    return request.raw;
  };
  CHECK(raw_of(""));
  CHECK(raw_of(tensor("x", "FP32", {0})));
  CHECK(raw_of(tensor("x", "FP32", {0}, field(5, ""))));
  CHECK(raw_of(tensor("x", "FP32", {1}) + field(7, raw<float>({1}))));
  CHECK_FALSE(raw_of(tensor("x", "FP32", {1}, field(5, field(6, raw<float>({1}))))));
}

TEST_CASE("elements that were announced but did not come take no memory") {
  for (const char* datatype : {"BOOL", "INT8", "INT64", "UINT16", "FP16", "FP32", "FP64", "BYTES"}) {
    for (const std::string& more : {std::string(), field(7, "12345678")}) {
      const Placed message(tensor("x", datatype, {std::uint64_t{1} << 40}) + more, 0);
      Arena arena(256);
      InferRequest request;
      CHECK(decode_infer_request(message.view(), arena, &request).code() == Code::kInvalidArgument);
      CHECK(arena.held() < 4096);
    }
  }
}

TEST_CASE("empty entries are bounded in what they take") {
  for (const char* entry : {"\x22", "\x2a", "\x32"}) {
    std::string text;
    for (int i = 0; i < 1 << 20; ++i) text.append(entry).push_back('\0');
    const Placed message(text, 0);
    Arena arena;
    InferRequest request;
    CHECK(decode_infer_request(message.view(), arena, &request).code() == Code::kInvalidArgument);
    CHECK(arena.held() < std::size_t{8} << 20);
  }
}

TEST_CASE("the same request again takes nothing new from the system") {
  const Placed message(full_request(), 0);
  Arena arena(64);
  InferRequest request;
  REQUIRE(decode_infer_request(message.view(), arena, &request).is_ok());
  arena.reset();
  const std::size_t held = arena.held();
  for (int i = 0; i < 100; ++i) {
    REQUIRE(decode_infer_request(message.view(), arena, &request).is_ok());
    arena.reset();
  }
  CHECK(arena.held() == held);
}

TEST_CASE("a message cut at any byte, at any alignment, is read or refused within its bounds") {
  const std::string typed =
      field(1, "m") +
      field(5, field(1, "a") + field(2, "UINT32") + field(3, "\x01") + field(5, field(4, varint(70000)))) +
      tensor("b", "BYTES", {2}, field(5, field(8, "one") + field(8, "two"))) +
      tensor("c", "FP64", {1}, field(5, "\x39" + raw<double>({1}))) +
      tensor("d", "BOOL", {2}, field(5, field(1, "\x01\x01")));
  for (const std::string& whole : {full_request(), typed}) {
    Arena arena;
    InferRequest request;
    const Placed all(whole, 0);
    const Status status = decode_infer_request(all.view(), arena, &request);
    REQUIRE_MESSAGE(status.is_ok(), status.message());
    for (std::size_t cut = 0; cut < whole.size(); ++cut) {
      for (std::size_t shift = 0; shift < 8; ++shift) {
        const Placed message(whole.substr(0, cut), shift);
        arena.reset();
        const Status result = decode_infer_request(message.view(), arena, &request);
        if (result.is_ok()) {
          CHECK(touch(request) < SIZE_MAX);
        } else {
          CHECK(result.code() == Code::kInvalidArgument);
        }
      }
    }
  }
}

TEST_CASE("flipped bits and random bytes are read or refused within their bounds") {
  std::mt19937 random(20240601);
  const std::string whole = full_request();
  Arena arena;
  InferRequest request;
  std::size_t read = 0;
  const auto feed = [&](const std::string& text) {
    const Placed message(text, random() % 8);
    arena.reset();
    const Status status = decode_infer_request(message.view(), arena, &request);
    if (status.is_ok()) {
      ++read;
      CHECK(touch(request) < SIZE_MAX);
    } else {
      CHECK(status.code() == Code::kInvalidArgument);
    }
  };
  for (std::size_t bit = 0; bit < whole.size() * 8; ++bit) {
    std::string text = whole;
    text[bit / 8] = static_cast<char>(text[bit / 8] ^ (1 << (bit % 8)));
    feed(text);
  }
  CHECK(read > 0);
  for (int i = 0; i < 20'000; ++i) {
    std::string text = whole;
    for (unsigned flips = 1 + random() % 4; flips > 0; --flips)
      text[random() % text.size()] = static_cast<char>(random());
    feed(text);
  }
  for (int i = 0; i < 20'000; ++i) {
    std::string text(random() % 64, '\0');
    for (char& c : text) c = static_cast<char>(random());
    feed(text);
  }
}
