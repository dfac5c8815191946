// StreamTable: the open streams of a connection by their number. It grows to twice what was ever open at a
// time, and then allocates no more.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "loadgen/call.h"

namespace penstock::loadgen {

class StreamTable {
 public:
  std::size_t size() const noexcept { return size_; }

  // Of a stream that is not here yet.
  void insert(Call& call) {
    if ((size_ + 1) * 2 > places_.size()) grow();
    place(call);
    ++size_;
  }

  // nullptr: it is not open.
  Call* find(std::uint32_t stream) const noexcept {
    for (std::size_t at = home(stream); places_[at] != nullptr; at = after(at))
      if (places_[at]->stream == stream) return places_[at];
    return nullptr;
  }

  // Of a stream that is here.
  void erase(std::uint32_t stream) noexcept {
    std::size_t hole = home(stream);
    while (places_[hole]->stream != stream) hole = after(hole);
    // Those behind it that a search would no longer reach over the hole move into it.
    for (std::size_t at = after(hole); places_[at] != nullptr; at = after(at)) {
      const std::size_t from_home = (at - home(places_[at]->stream)) & (places_.size() - 1);
      if (from_home < ((at - hole) & (places_.size() - 1))) continue;
      places_[hole] = places_[at];
      hole = at;
    }
    places_[hole] = nullptr;
    --size_;
  }

  template <typename Visit>
  void for_each(Visit visit) const {
    for (Call* call : places_)
      if (call != nullptr) visit(*call);
  }

 private:
  // Streams have odd numbers in order, so that their neighbours are free, as a rule.
  std::size_t home(std::uint32_t stream) const noexcept { return (stream >> 1U) & (places_.size() - 1); }
  std::size_t after(std::size_t at) const noexcept { return (at + 1) & (places_.size() - 1); }

  void place(Call& call) noexcept {
    std::size_t at = home(call.stream);
    while (places_[at] != nullptr) at = after(at);
    places_[at] = &call;
  }

  void grow() {
    std::vector<Call*> before(places_.size() * 2, nullptr);
    before.swap(places_);
    for (Call* call : before)
      if (call != nullptr) place(*call);
  }

  std::vector<Call*> places_ = std::vector<Call*>(16, nullptr);  // a power of two; half of it is free
  std::size_t size_ = 0;
};

}  // namespace penstock::loadgen
