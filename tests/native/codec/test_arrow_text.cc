#include <doctest/doctest.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "codec/arrow_text.h"

using namespace penstock;
using namespace penstock::codec;

namespace {

int released = 0;

// A stream of arrays that a test made; it lends them, and counts how many were given back.
struct Producer {
  explicit Producer(const char* format, std::vector<ArrowArray> made, const char* words = nullptr)
      : arrays(std::move(made)) {
    dictionary.format = words;
    schema.format = format;
    schema.dictionary = words == nullptr ? nullptr : &dictionary;
    schema.release = [](ArrowSchema* given) {
      given->release = nullptr;
      ++released;
    };
    stream.private_data = this;
    stream.get_schema = [](ArrowArrayStream* self, ArrowSchema* out) {
      *out = static_cast<Producer*>(self->private_data)->schema;
      return 0;
    };
    stream.get_next = [](ArrowArrayStream* self, ArrowArray* out) {
      auto& producer = *static_cast<Producer*>(self->private_data);
      if (producer.next == producer.arrays.size()) return producer.error;
      *out = producer.arrays[producer.next++];
      out->release = [](ArrowArray* given) {
        given->release = nullptr;
        ++released;
      };
      return 0;
    };
    stream.get_last_error = [](ArrowArrayStream*) -> const char* { return "no more"; };
  }

  ArrowSchema dictionary{};
  ArrowSchema schema{};
  std::vector<ArrowArray> arrays;
  std::size_t next = 0;
  int error = 0;
  ArrowArrayStream stream{};
};

ArrowArray array_of(std::int64_t length, std::vector<const void*>& buffers, std::int64_t offset = 0) {
  ArrowArray array{};
  array.length = length;
  array.null_count = -1;  // not counted
  array.offset = offset;
  array.n_buffers = static_cast<std::int64_t>(buffers.size());
  array.buffers = buffers.data();
  return array;
}

struct Read {
  Status status;
  std::vector<StringRef> strings;
};

Read read(Producer& producer, std::size_t rows, std::vector<OwnedArray>& kept, StringRef missing = {}) {
  Read result{Status::ok(), std::vector<StringRef>(rows)};
  result.status = read_arrow_text(&producer.stream, missing, result.strings, &kept);
  return result;
}

std::string refusal(Producer producer, std::size_t rows) {
  producer.stream.private_data = &producer;
  std::vector<OwnedArray> kept;
  return std::string(read(producer, rows, kept).status.message());
}

bool says(const std::string& message, std::string_view words) {
  return message.find(words) != std::string::npos;
}

constexpr char kText[] = "abcdef";

}  // namespace

TEST_CASE("strings point into the arrays, which are kept and then given back once") {
  const std::array<std::int32_t, 5> offsets{0, 1, 1, 3, 6};
  const std::uint8_t valid = 0b1011;
  std::vector<const void*> buffers{&valid, offsets.data(), kText};
  Producer producer("u", {array_of(4, buffers), array_of(1, buffers, 3)});
  released = 0;
  {
    std::vector<OwnedArray> kept;
    const Read done = read(producer, 5, kept);
    REQUIRE(done.status.is_ok());
    CHECK(done.strings[0].view() == "a");
    CHECK(done.strings[1].data != nullptr);
    CHECK(done.strings[1].size == 0);
    CHECK(done.strings[2].data == nullptr);
    CHECK(done.strings[3].view() == "def");
    CHECK(done.strings[3].data == kText + 3);
    CHECK(done.strings[4].view() == "def");
    CHECK(kept.size() == 2);
    CHECK(released == 1);  // the schema
  }
  CHECK(released == 3);
}

TEST_CASE("what stands for a missing string is the caller's choice") {
  const std::array<std::int64_t, 2> offsets{0, 1};
  const std::uint8_t valid = 0;
  std::vector<const void*> buffers{&valid, offsets.data(), kText};
  Producer producer("Z", {array_of(1, buffers)});
  std::vector<OwnedArray> kept;
  CHECK(read(producer, 1, kept, {"", 0}).strings[0].data != nullptr);
}

TEST_CASE("an empty string without bytes to point to is not a missing one") {
  const std::array<std::int32_t, 2> offsets{0, 0};
  std::vector<const void*> buffers{nullptr, offsets.data(), nullptr};
  Producer producer("u", {array_of(1, buffers)});
  std::vector<OwnedArray> kept;
  const Read done = read(producer, 1, kept);
  REQUIRE(done.status.is_ok());
  CHECK(done.strings[0].data != nullptr);
}

TEST_CASE("words of a dictionary may be missing, and so may the indices") {
  const std::array<std::int32_t, 3> offsets{0, 2, 3};
  const std::uint8_t words_valid = 0b01;
  std::vector<const void*> word_buffers{&words_valid, offsets.data(), kText};
  ArrowArray words = array_of(2, word_buffers);
  const std::array<std::int8_t, 4> indices{1, 0, 77, 0};
  const std::uint8_t valid = 0b1011;
  std::vector<const void*> buffers{&valid, indices.data()};
  ArrowArray array = array_of(4, buffers);
  array.dictionary = &words;
  Producer producer("c", {array}, "u");
  std::vector<OwnedArray> kept;
  const Read done = read(producer, 4, kept);
  REQUIRE(done.status.is_ok());
  CHECK(done.strings[0].data == nullptr);
  CHECK(done.strings[1].view() == "ab");
  CHECK(done.strings[2].data == nullptr);  // its index is nobody's business
  CHECK(done.strings[3].view() == "ab");
}

TEST_CASE("what breaks the format is refused and given back") {
  const std::array<std::int32_t, 3> falling{0, 3, 1};
  const std::array<std::int32_t, 3> negative{-1, 0, 1};
  const std::array<std::int32_t, 3> sound{0, 1, 2};
  std::vector<const void*> down{nullptr, falling.data(), kText};
  std::vector<const void*> below{nullptr, negative.data(), kText};
  std::vector<const void*> good{nullptr, sound.data(), kText};
  std::vector<const void*> few{nullptr, sound.data()};
  CHECK(says(refusal(Producer("u", {array_of(2, down)}), 2), "offsets that decrease"));
  CHECK(says(refusal(Producer("u", {array_of(2, below)}), 2), "offsets that decrease"));
  CHECK(says(refusal(Producer("u", {array_of(2, few)}), 2), "too few buffers"));
  CHECK(says(refusal(Producer("u", {array_of(2, good)}), 1), "longer than the 1 rows"));
  CHECK(says(refusal(Producer("u", {array_of(2, good)}), 3), "has 2 of the 3 rows"));
  CHECK(says(refusal(Producer("u", {array_of(-1, good)}), 1), "longer than"));
  CHECK(says(refusal(Producer("u", {array_of(1, good, -1)}), 1), "negative size"));
  CHECK(says(refusal(Producer("g", {array_of(2, good)}), 2), "format 'g'"));
  CHECK(says(refusal(Producer("c", {array_of(2, good)}, "u"), 2), "lacks its dictionary"));

  ArrowArray words = array_of(2, good);
  const auto indexed = [&](const char* format, const void* indices) {
    std::vector<const void*> buffers{nullptr, indices};
    ArrowArray array = array_of(1, buffers);
    array.dictionary = &words;
    return refusal(Producer(format, {array}, "u"), 1);
  };
  const std::int8_t minus = -1;
  const std::uint64_t huge = UINT64_MAX;
  const std::int32_t two = 2;
  CHECK(says(indexed("c", &minus), "outside of its dictionary"));
  CHECK(says(indexed("L", &huge), "outside of its dictionary"));
  CHECK(says(indexed("i", &two), "outside of its dictionary"));
  CHECK(says(indexed("g", &two), "indices of the format 'g'"));

  const auto viewed = [&](std::int32_t size, std::int32_t buffer, std::int32_t offset) {
    std::array<std::int32_t, 4> view{size, 0, buffer, offset};
    const std::int64_t data_size = 6;
    std::vector<const void*> buffers{nullptr, view.data(), kText, &data_size};
    return refusal(Producer("vu", {array_of(1, buffers)}), 1);
  };
  CHECK(says(viewed(-1, 0, 0), "negative size"));
  CHECK(says(viewed(13, 1, 0), "points nowhere"));
  CHECK(says(viewed(13, -1, 0), "points nowhere"));
  CHECK(says(viewed(13, 0, -5), "points nowhere"));
}

TEST_CASE("a stream that fails says why") {
  Producer producer("u", {});
  producer.error = 5;
  std::vector<OwnedArray> kept;
  const Status status = read(producer, 1, kept).status;
  CHECK(status.code() == Code::kInternal);
  CHECK(says(std::string(status.message()), "no more"));
}
