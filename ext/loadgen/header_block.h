// HeaderBlock: the one set of request headers of a run, encoded by HPACK (RFC 7541) once and for all.
//
// All requests of a run have the same headers. The first block on a connection puts those into the peer's
// dynamic table that the static one does not hold; every later block is an index for each. nghttp2's encoder
// would write :path anew each time, Huffman-coded, since it takes paths for changing.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace penstock::loadgen {

class HeaderBlock {
 public:
  using Fields = std::vector<std::pair<std::string, std::string>>;  // lower-case names, in order

  explicit HeaderBlock(const Fields& fields);

  // For a peer whose dynamic table is empty and has room for table_bytes(): it holds the headers afterwards.
  std::string_view indexing() const noexcept { return indexing_; }
  // For a peer that has read indexing() since its table was last emptied.
  std::string_view indexed() const noexcept { return indexed_; }
  // For a peer with too small a table. Leaves that as it is.
  std::string_view literal() const noexcept { return literal_; }

  // Of the entries that indexing() makes, as RFC 7541, 4.1 counts.
  std::size_t table_bytes() const noexcept { return table_bytes_; }

  // What empties the peer's table and lets it hold `bytes` from then on; stands before a block (RFC
  // 7541, 4.2).
  static std::string table_update(std::uint32_t bytes);

 private:
  std::string indexing_;
  std::string indexed_;
  std::string literal_;
  std::size_t table_bytes_ = 0;
};

}  // namespace penstock::loadgen
