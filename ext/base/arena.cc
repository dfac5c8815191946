#include "base/arena.h"

#include <algorithm>
#include <utility>

namespace penstock {

Arena::Arena(std::size_t first_block, std::size_t retain) : retain_(retain) {
  add_block(std::max(first_block, kAlignment));
}

void Arena::add_block(std::size_t size) {
  Block block{std::unique_ptr<std::byte[], Free>(
                  static_cast<std::byte*>(::operator new[](size, std::align_val_t{kAlignment}))),
              size};
  blocks_.push_back(std::move(block));
  data_ = blocks_.back().data.get();
  capacity_ = size;
  used_ = 0;
}

void* Arena::allocate_slow(std::size_t bytes, std::size_t alignment) {
  if (bytes > SIZE_MAX / 2 || alignment > kAlignment) throw std::bad_alloc();
  // Doubling keeps the number of blocks logarithmic; reset() then folds them into one.
  add_block(std::max({bytes, capacity_ * 2, kAlignment}));
  used_ = bytes;
  return data_;
}

void Arena::reset() noexcept {
  used_ = 0;
  if (blocks_.size() == 1 && capacity_ <= retain_) return;
  // One block that fits what was needed, so that the next request like it finds its memory in one piece.
  std::size_t total = 0;
  for (const Block& block : blocks_) total += block.size;
  const std::size_t keep = std::min(total, retain_);
  blocks_.clear();
  data_ = nullptr;
  capacity_ = 0;
  try {
    add_block(std::max(keep, kAlignment));
  } catch (const std::bad_alloc&) {
    // Left empty: the next allocate() tries again and reports.
  }
}

std::size_t Arena::held() const noexcept {
  std::size_t total = 0;
  for (const Block& block : blocks_) total += block.size;
  return total;
}

}  // namespace penstock
