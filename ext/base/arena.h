// Arena: memory for one request, given back all at once.
// Owned by one thread. Steady state allocates nothing: reset() keeps the memory that the largest requests
// needed, up to `retain` bytes; what a single huge request took beyond that is returned.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

namespace penstock {

class Arena {
 public:
  static constexpr std::size_t kAlignment = 64;  // a cache line, and the widest SIMD load

  explicit Arena(std::size_t first_block = 64 * 1024, std::size_t retain = 4 * 1024 * 1024);
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;
  // What was moved from is empty, and may be used on.
  Arena(Arena&& other) noexcept
      : blocks_(std::move(other.blocks_)),
        retain_(other.retain_),
        data_(std::exchange(other.data_, nullptr)),
        capacity_(std::exchange(other.capacity_, 0)),
        used_(std::exchange(other.used_, 0)) {
    other.blocks_.clear();
  }
  Arena& operator=(Arena&& other) noexcept {
    Arena taken(std::move(other));
    std::swap(blocks_, taken.blocks_);
    std::swap(retain_, taken.retain_);
    std::swap(data_, taken.data_);
    std::swap(capacity_, taken.capacity_);
    std::swap(used_, taken.used_);
    return *this;
  }
  ~Arena() = default;

  // Uninitialised bytes, valid until reset(). Throws std::bad_alloc when the system has none.
  void* allocate(std::size_t bytes, std::size_t alignment = alignof(std::max_align_t)) {
    const std::size_t start = (used_ + alignment - 1) & ~(alignment - 1);
    if (start + bytes <= capacity_ && start + bytes >= start) {
      used_ = start + bytes;
      return data_ + start;
    }
    return allocate_slow(bytes, alignment);
  }

  // `count` elements of T, value-initialised. T needs no destructor: the arena runs none.
  template <typename T>
  std::span<T> array(std::size_t count) {
    std::span<T> made = uninitialised<T>(count);
    for (T& element : made) new (&element) T();
    return made;
  }

  // As array(), without writing to the elements.
  template <typename T>
  std::span<T> uninitialised(std::size_t count) {
    static_assert(std::is_trivially_destructible_v<T>);
    if (count > SIZE_MAX / sizeof(T)) throw std::bad_alloc();
    return {static_cast<T*>(allocate(count * sizeof(T), alignof(T))), count};
  }

  void reset() noexcept;

  // Bytes held from the system; for tests and memory accounting.
  std::size_t held() const noexcept;

 private:
  struct Free {
    void operator()(std::byte* block) const noexcept {
      ::operator delete[](block, std::align_val_t{kAlignment});
    }
  };
  struct Block {
    std::unique_ptr<std::byte[], Free> data;
    std::size_t size = 0;
  };

  void* allocate_slow(std::size_t bytes, std::size_t alignment);
  void add_block(std::size_t size);

  std::vector<Block> blocks_;
  std::size_t retain_;
  std::byte* data_ = nullptr;  // the block being filled
  std::size_t capacity_ = 0;
  std::size_t used_ = 0;
};

}  // namespace penstock
