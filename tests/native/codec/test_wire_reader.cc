#include <doctest/doctest.h>

#include <string>

#include "codec/wire_reader.h"
#include "codec/wire_writer.h"

using namespace penstock::codec;
using namespace std::string_literals;

namespace {

Bytes bytes_of(const std::string& text) { return std::as_bytes(std::span(text)); }

bool reads_to_the_end(const std::string& message) {
  WireReader reader(bytes_of(message));
  WireField field;
  while (reader.next(&field)) {
  }
  return !reader.failed();
}

}  // namespace

TEST_CASE("each wire type gives its number, type and value") {
  const std::string message =
      "\x08\x96\x01"
      "\x11\x01\x02\x03\x04\x05\x06\x07\x08"
      "\x1a\x02hi"
      "\x25\x01\x02\x03\x04"s;
  WireReader reader(bytes_of(message));
  WireField field;
  REQUIRE(reader.next(&field));
  CHECK(field.tag == wire_tag(1, WireType::kVarint));
  CHECK(field.bits == 150);
  REQUIRE(reader.next(&field));
  CHECK(field.tag == wire_tag(2, WireType::kFixed64));
  CHECK(field.bits == 0x0807060504030201);
  REQUIRE(reader.next(&field));
  CHECK(field.tag == wire_tag(3, WireType::kLength));
  CHECK(as_text(field.bytes) == "hi");
  REQUIRE(reader.next(&field));
  CHECK(field.tag == wire_tag(4, WireType::kFixed32));
  CHECK(field.bits == 0x04030201);
  CHECK_FALSE(reader.next(&field));
  CHECK_FALSE(reader.failed());
}

TEST_CASE("an empty message has no fields") { CHECK(reads_to_the_end("")); }

TEST_CASE("groups are skipped with all that they hold") {
  const std::string message =
      "\x7b\x08\x01\x83\x01\x84\x01\x12\x01x\x19\x01\x02\x03\x04\x05\x06\x07\x08\x25\x01\x02\x03\x04\x7c\x28\x07"s;
  WireReader reader(bytes_of(message));
  WireField field;
  REQUIRE(reader.next(&field));
  CHECK(field.tag == wire_tag(5, WireType::kVarint));
  CHECK(field.bits == 7);
  CHECK_FALSE(reader.next(&field));
  CHECK_FALSE(reader.failed());
}

TEST_CASE("what breaks off or cannot be is a failure, and says where") {
  for (const std::string& message :
       {"\x08"s, "\x08\x80"s, "\x0a\x02x"s, "\x0a"s, "\x0d\x01\x02\x03"s, "\x09\x01\x02\x03\x04\x05\x06\x07"s,
        "\x7b"s, "\x7b\x08\x01"s, "\x7b\x84\x01"s, "\x7c"s, "\x0e"s, "\x0f"s, "\x00\x00"s, "\x80"s,
        "\x80\x00"s}) {
    CAPTURE(message);
    CHECK_FALSE(reads_to_the_end(message));
  }
  const std::string cut = "\x1a\x02hi\x0a\x09x"s;
  WireReader reader(bytes_of(cut));
  WireField field;
  while (reader.next(&field)) {
  }
  REQUIRE(reader.failed());
  CHECK(reader.error("Thing").code() == penstock::Code::kInvalidArgument);
  CHECK(reader.error("Thing").message() ==
        "malformed protobuf: Thing is cut off or holds an impossible field near its byte 6 of 7");
}

TEST_CASE("nesting deeper than the limit is a failure, not a deep recursion") {
  CHECK(reads_to_the_end(std::string(WireReader::kMaxDepth, '\x7b') +
                         std::string(WireReader::kMaxDepth, '\x7c')));
  CHECK_FALSE(reads_to_the_end(std::string(WireReader::kMaxDepth + 1, '\x7b') +
                               std::string(WireReader::kMaxDepth + 1, '\x7c')));
  CHECK_FALSE(reads_to_the_end(std::string(1 << 20, '\x7b')));
}

TEST_CASE("what the writer writes has the size that was measured, and reads back") {
  for (int shift = 0; shift < 64; ++shift) {
    for (const std::uint64_t value : {(std::uint64_t{1} << shift) - 1, std::uint64_t{1} << shift}) {
      std::array<std::byte, 10> room{};
      WireWriter out(room.data());
      out.put_varint(value);
      CHECK(static_cast<std::size_t>(out.at() - room.data()) == varint_size(value));
      const std::byte* at = room.data();
      std::uint64_t read = 0;
      CHECK(read_varint(&at, room.data() + varint_size(value), &read));
      CHECK(read == value);
      const std::byte* again = room.data();
      CHECK_FALSE(read_varint(&again, room.data() + varint_size(value) - 1, &read));
    }
  }
}
