// What comes in: headers, and messages out of DATA frames however they are cut.
#include <doctest/doctest.h>

#include <string>

#include "wire.h"

using namespace penstock;
using namespace std::string_literals;
using namespace penstock::net;
using namespace penstock::net::testing;

TEST_CASE("a unary call in one frame is answered with headers, message and status") {
  Wire wire;
  const std::int32_t id = wire.peer.call(kUnary, framed("hello"));
  wire.run();
  const Reply& reply = wire.peer.reply(id);
  CHECK(reply.header(":status") == "200");
  CHECK(reply.header("content-type") == "application/grpc");
  CHECK(unframed(reply.body) == std::vector<std::string>{"re:hello"});
  CHECK(reply.status() == "0");
  CHECK(reply.header_blocks == 2);
  CHECK(reply.closed);
  CHECK(reply.error == NGHTTP2_NO_ERROR);
  wire.check_idle();
}

TEST_CASE("a unary message is the same whole, however its bytes are cut over reads") {
  const std::string message = "0123456789abcdefghijklmnopqrstuvwxyz";
  for (const std::size_t step : {1, 2, 3, 7, 40, 64}) {
    CAPTURE(step);
    Wire wire;
    const std::int32_t id = wire.peer.call(kUnary, framed(message));
    wire.run(step);
    CHECK(unframed(wire.peer.reply(id).body) == std::vector<std::string>{"re:" + message});
    CHECK(wire.peer.reply(id).status() == "0");
    wire.check_idle();
  }
}

TEST_CASE("a unary message is the same whole, however it is cut over DATA frames") {
  const std::string bytes = framed("0123456789");
  for (std::size_t cut = 0; cut <= bytes.size(); ++cut) {
    for (const bool ends_apart : {false, true}) {
      CAPTURE(cut);
      CAPTURE(ends_apart);
      Wire wire;
      const std::int32_t id = wire.peer.open(kUnary, bytes.substr(0, cut));
      wire.run();
      if (!ends_apart) wire.peer.end(id);
      if (cut < bytes.size()) wire.peer.say(id, bytes.substr(cut));
      wire.run();
      if (ends_apart) CHECK(wire.handler.messages.empty());
      wire.peer.end(id);
      wire.run();
      CHECK(unframed(wire.peer.reply(id).body) == std::vector<std::string>{"re:0123456789"});
      wire.check_idle();
    }
  }
}

TEST_CASE("a unary message of 0 bytes is a message") {
  Wire wire;
  const std::int32_t id = wire.peer.call(kUnary, framed(""));
  wire.run();
  CHECK(wire.handler.messages.size() == 1);
  CHECK(unframed(wire.peer.reply(id).body) == std::vector<std::string>{"re:"});
  wire.check_idle();
}

TEST_CASE(
    "a whole message whose END_STREAM comes in a later, empty frame is kept out of the receive buffer") {
  Wire wire;
  const std::int32_t id = wire.peer.open(kUnary, framed(std::string(5000, 'v')));
  wire.run();
  CHECK(wire.handler.messages.empty());
  CHECK(wire.session.buffered() == 5000);
  wire.peer.end(id);
  wire.run();
  REQUIRE(wire.handler.messages.size() == 1);
  CHECK(wire.handler.messages[0].second == std::string(5000, 'v'));
  wire.check_idle();
}

TEST_CASE("messages that share a frame go to a streaming method one by one, in order") {
  for (const std::size_t step : {std::size_t{1}, std::size_t{5}, SIZE_MAX}) {
    Wire wire;
    const std::int32_t id =
        wire.peer.call(kStreaming, framed("one") + framed("") + framed("three") + framed("4"));
    wire.run(step);
    CHECK(unframed(wire.peer.reply(id).body) ==
          std::vector<std::string>{"re:one", "re:", "re:three", "re:4"});
    CHECK(wire.handler.half_closed.size() == 1);
    CHECK(wire.peer.reply(id).status() == "0");
    wire.check_idle();
  }
}

TEST_CASE("a streaming call without a message is a call") {
  Wire wire;
  const std::int32_t id = wire.peer.call(kStreaming, "");
  wire.run();
  CHECK(wire.handler.messages.empty());
  CHECK(wire.handler.half_closed.size() == 1);
  CHECK(wire.peer.reply(id).status() == "0");
  wire.check_idle();
}

TEST_CASE("a unary method takes one message: none, two and a part of one are refused") {
  const auto refused = [](std::string body) {
    Wire wire;
    const std::int32_t id = wire.peer.call(kUnary, std::move(body));
    wire.run();
    CHECK(wire.handler.messages.empty());
    CHECK(wire.peer.reply(id).status() == "13");
    CHECK(wire.peer.reply(id).ended);
    wire.check_idle();
    return wire.peer.reply(id).message();
  };
  CHECK(refused("").find("none came") != std::string::npos);
  CHECK(refused(framed("a") + framed("b")).find("a second one came") != std::string::npos);
  CHECK(refused(framed("a") + "x").find("a second one came") != std::string::npos);
  CHECK(refused(framed("abcdef").substr(0, 8)) == "the request ended within a message, after 8 bytes");
  CHECK(refused("\0\0"s.substr(0, 2)) == "the request ended within a message, after 2 bytes");
}

TEST_CASE("a stream that ends within a message says so, after the answers to those before it") {
  Wire wire;
  const std::int32_t id = wire.peer.call(kStreaming, framed("whole") + framed("part").substr(0, 6));
  wire.run();
  CHECK(unframed(wire.peer.reply(id).body) == std::vector<std::string>{"re:whole"});
  CHECK(wire.peer.reply(id).status() == "13");
  CHECK(wire.peer.reply(id).message() == "the stream ended within a message, after 6 bytes");
  CHECK(wire.handler.half_closed.empty());
  wire.check_idle();
}

TEST_CASE(
    "compressed messages are refused with what is accepted; a flag that lies is an error of the caller") {
  const auto refused = [](char flag, const Headers& headers) {
    Wire wire;
    const std::int32_t id = wire.peer.call(kUnary, framed("zipped", flag), headers);
    wire.run();
    CHECK(wire.handler.messages.empty());
    wire.check_idle();
    return wire.peer.reply(id);
  };
  const Reply gzip = refused(1, {{"grpc-encoding", "gzip"}});
  CHECK(gzip.status() == "12");
  CHECK(gzip.header("grpc-accept-encoding") == "identity");
  CHECK(refused(1, {}).status() == "13");
  CHECK(refused(1, {{"grpc-encoding", "identity"}}).status() == "13");
  CHECK(refused(7, {}).message() == "the message's compressed flag is 7; 0 or 1 is expected");

  Wire wire;  // a caller that can compress, and did not
  const std::int32_t id = wire.peer.call(kUnary, framed("plain"), {{"grpc-encoding", "gzip"}});
  wire.run();
  CHECK(wire.peer.reply(id).status() == "0");
}

TEST_CASE(
    "an announced length over the limit is refused at once; one within it takes no memory ahead of its "
    "bytes") {
  Options options;
  options.max_message_bytes = 1000;
  Wire wire({}, options);
  const std::int32_t exact = wire.peer.call(kUnary, framed(std::string(1000, 'x')));
  const std::int32_t over = wire.peer.call(kUnary, framed(std::string(1001, 'x')));
  const std::int32_t huge = wire.peer.open(kUnary, std::string("\0\xFF\xFF\xFF\xFF", 5));
  wire.run();
  CHECK(wire.peer.reply(exact).status() == "0");
  CHECK(wire.peer.reply(over).status() == "8");
  CHECK(wire.peer.reply(over).message() ==
        "a message of 1001 bytes was announced; at most 1000 are taken (limits.max_message_bytes)");
  CHECK(wire.peer.reply(huge).status() == "8");
  CHECK(wire.peer.reply(huge).closed);  // with half of the request unsaid
  wire.check_idle();

  Wire patient;  // the default limit is 64 MiB
  const std::int32_t slow = patient.peer.open(kUnary, std::string("\0\x03\xFF\xFF\xFF", 5) + "abc");
  patient.run();
  CHECK(patient.session.buffered() == 8);
  REQUIRE(patient.session.find(slow) != nullptr);
  CHECK(patient.session.find(slow)->body.capacity() < 1024);
}

TEST_CASE("what is no gRPC gets an HTTP status; an unknown method gets UNIMPLEMENTED") {
  const auto answer = [](Headers changed) {
    Wire wire;
    Headers headers = Peer::headers(kUnary);
    for (auto& [name, value] : changed) {
      for (auto& [key, text] : headers) {
        if (key == name) text = value;
      }
    }
    std::erase_if(headers, [](const auto& header) { return header.second == "-"; });
    const std::int32_t id = wire.peer.call_with(headers, framed("x"), true);
    wire.run();
    CHECK(wire.handler.messages.empty() == (wire.peer.reply(id).status() != "0"));
    wire.check_idle();
    return wire.peer.reply(id);
  };
  CHECK(answer({{":method", "GET"}}).header(":status") == "405");
  CHECK(answer({{":method", "GET"}}).status() == "13");
  CHECK(answer({{"content-type", "text/html"}}).status() == "3");
  CHECK(answer({{"content-type", "application/json"}}).header(":status") == "415");
  CHECK(answer({{"content-type", "application/grpc-web"}}).header(":status") == "415");
  CHECK(answer({{"content-type", "application/grpc+json"}}).header(":status") == "415");
  CHECK(answer({{"content-type", "-"}}).header(":status") == "415");
  CHECK(answer({{"content-type", "application/grpc+proto"}}).status() == "0");
  CHECK(answer({{"content-type", "application/grpc; charset=utf-8"}}).status() == "0");
  const Reply unknown = answer({{":path", "/nobody/Knows"}});
  CHECK(unknown.header(":status") == "200");
  CHECK(unknown.status() == "12");
  CHECK(unknown.message() == "this server has no method /nobody/Knows");
  CHECK(unknown.header_blocks == 1);
}

TEST_CASE("a refusal that comes before the request's end is followed by RST_STREAM(NO_ERROR)") {
  Wire wire;
  const std::int32_t id = wire.peer.open("/nobody/Knows", framed("and much more to come").substr(0, 9));
  wire.run();
  CHECK(wire.peer.reply(id).status() == "12");
  CHECK(wire.peer.reply(id).ended);
  CHECK(wire.peer.reply(id).closed);
  CHECK(wire.peer.reply(id).error == NGHTTP2_NO_ERROR);
  wire.check_idle();
}

TEST_CASE("an unknown method with a body of any size does not hold the connection's window") {
  Wire wire;
  for (int i = 0; i < 40; ++i) {
    const std::int32_t id = wire.peer.call("/nobody/Knows", framed(std::string(1 << 20, 'b')));
    wire.run();
    CHECK(wire.peer.reply(id).status() == "12");
  }
  const std::int32_t id = wire.peer.call(kUnary, framed("still here"));
  wire.run();
  CHECK(wire.peer.reply(id).status() == "0");
  wire.check_idle();
}

TEST_CASE(
    "a message's text travels percent-encoded, and is cut between characters to what trailers may hold") {
  Wire wire;
  std::string said = "100 % \xC3\xBC\n";
  wire.handler.act = [&](Stream& stream, std::span<const std::byte>) {
    stream.session->finish(stream, {Code::kInvalidArgument, said});
  };
  std::int32_t id = wire.peer.call(kUnary, framed("x"));
  wire.run();
  CHECK(wire.peer.reply(id).status() == "3");
  CHECK(wire.peer.reply(id).message() == "100 %25 %C3%BC%0A");

  said = std::string(1999, 'a') + "\xC3\xBC tail";
  id = wire.peer.call(kUnary, framed("x"));
  wire.run();
  CHECK(wire.peer.reply(id).message() == std::string(1999, 'a'));
  wire.check_idle();
}

TEST_CASE("headers beyond 32 KiB are refused and leave the connection") {
  Wire wire;
  const std::int32_t big = wire.peer.call(kUnary, framed("x"), {{"x-fill", std::string(33 * 1024, 'h')}});
  const std::int32_t fine = wire.peer.call(kUnary, framed("y"), {{"x-fill", std::string(8 * 1024, 'h')}});
  wire.run();
  CHECK(wire.peer.reply(big).closed);
  CHECK(wire.peer.reply(big).status() == "8");
  CHECK(wire.peer.reply(big).message().find("at most 32768") != std::string::npos);
  CHECK(wire.peer.reply(fine).status() == "0");
  CHECK(wire.handler.messages.size() == 1);
  wire.check_idle();
}

TEST_CASE("a header block counts as open from its first frame to its last byte, whatever becomes of it") {
  Wire wire;
  wire.run();
  wire.now_ns = 5'000;
  wire.peer.open(kUnary, {}, {{"x-a", "1"}});
  const std::string block = wire.peer.pull();
  REQUIRE(wire.feed(block.substr(0, block.size() / 2)));
  CHECK(wire.session.headers_since() == 5'000);
  wire.now_ns = 6'000;
  REQUIRE(wire.feed(block.substr(block.size() / 2)));
  CHECK(wire.session.headers_since() == 0);

  SUBCASE("one that is too large") {
    wire.peer.call(kUnary, framed("x"), {{"x-fill", std::string(60 * 1024, 'h')}});
    wire.run();
    CHECK(wire.session.headers_since() == 0);
  }
  SUBCASE("one of a call over the limit of concurrent streams") {
    Options options;
    options.max_concurrent_streams = 1;
    Wire narrow({}, options);
    // Both go out before the peer has seen the limit.
    narrow.peer.open(kUnary);
    const std::int32_t refused = narrow.peer.open(kUnary);
    narrow.run();
    CHECK(narrow.peer.reply(refused).error == NGHTTP2_REFUSED_STREAM);
    CHECK(narrow.session.headers_since() == 0);
  }
  SUBCASE("one that HTTP/2 forbids") {
    wire.peer.call(kUnary, framed("x"), {{"connection", "close"}});
    wire.run();
    CHECK(wire.session.headers_since() == 0);
  }
}
