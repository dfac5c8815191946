#include <doctest/doctest.h>
#include <nghttp2/nghttp2.h>

#include <memory>
#include <stdexcept>
#include <string>

#include "loadgen/header_block.h"

using namespace penstock::loadgen;

namespace {

// nghttp2's decoder, with the dynamic table that a peer keeps.
class Decoder {
 public:
  Decoder() {
    nghttp2_hd_inflater* made = nullptr;
    if (nghttp2_hd_inflate_new(&made) != 0) throw std::bad_alloc();
    inflater_.reset(made);
  }
  HeaderBlock::Fields decode(const std::string& block) {
    HeaderBlock::Fields fields;
    const auto* at = reinterpret_cast<const std::uint8_t*>(block.data());
    std::size_t left = block.size();
    for (;;) {
      nghttp2_nv field;
      int flags = 0;
      const ssize_t read = nghttp2_hd_inflate_hd2(inflater_.get(), &field, &flags, at, left, 1);
      if (read < 0) throw std::runtime_error(nghttp2_strerror(static_cast<int>(read)));
      at += read;
      left -= static_cast<std::size_t>(read);
      if ((flags & NGHTTP2_HD_INFLATE_EMIT) != 0)
        fields.emplace_back(std::string(reinterpret_cast<char*>(field.name), field.namelen),
                            std::string(reinterpret_cast<char*>(field.value), field.valuelen));
      if ((flags & NGHTTP2_HD_INFLATE_FINAL) != 0) break;
    }
    nghttp2_hd_inflate_end_headers(inflater_.get());
    return fields;
  }
  std::size_t table_bytes() const { return nghttp2_hd_inflate_get_dynamic_table_size(inflater_.get()); }
  void limit_table(std::size_t bytes) { nghttp2_hd_inflate_change_table_size(inflater_.get(), bytes); }

 private:
  struct Deleter {
    void operator()(nghttp2_hd_inflater* inflater) const noexcept { nghttp2_hd_inflate_del(inflater); }
  };
  std::unique_ptr<nghttp2_hd_inflater, Deleter> inflater_;
};

HeaderBlock::Fields grpc_fields(std::size_t more = 0) {
  HeaderBlock::Fields fields{{":method", "POST"},
                             {":scheme", "http"},
                             {":path", "/inference.GRPCInferenceService/ModelInfer"},
                             {":authority", "127.0.0.1:8001"},
                             {"content-type", "application/grpc"},
                             {"te", "trailers"}};
  for (std::size_t i = 0; i < more; ++i)
    fields.emplace_back("x-" + std::to_string(i), std::string(i * 7 % 300, 'v'));
  return fields;
}

}  // namespace

TEST_CASE("the three forms of a block say the same, and the indexed one is short") {
  for (const std::size_t more : {0U, 1U, 8U}) {
    const auto fields = grpc_fields(more);
    const HeaderBlock block(fields);
    Decoder decoder;
    CHECK(decoder.decode(std::string(block.literal())) == fields);
    CHECK(decoder.table_bytes() == 0);
    CHECK(decoder.decode(std::string(block.indexing())) == fields);
    CHECK(decoder.table_bytes() == block.table_bytes());
    for (int again = 0; again < 3; ++again) CHECK(decoder.decode(std::string(block.indexed())) == fields);
    CHECK(block.indexed().size() == fields.size());
  }
}

TEST_CASE("indices beyond a byte and values beyond 127 bytes are right") {
  const auto fields = grpc_fields(90);
  const HeaderBlock block(fields);
  Decoder decoder;
  decoder.limit_table(1U << 20U);
  decoder.decode(HeaderBlock::table_update(1U << 20U) + std::string(block.literal()));
  CHECK(decoder.decode(std::string(block.indexing())) == fields);
  CHECK(decoder.decode(std::string(block.indexed())) == fields);
}

TEST_CASE("a table update empties the table and goes before the next block") {
  const HeaderBlock block(grpc_fields());
  Decoder decoder;
  decoder.decode(std::string(block.indexing()));
  decoder.limit_table(100);
  CHECK(decoder.decode(HeaderBlock::table_update(100) + std::string(block.literal())) == grpc_fields());
  CHECK(decoder.table_bytes() == 0);
}
