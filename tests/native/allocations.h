// Counts what a test program takes through operator new (nghttp2's and other C code's malloc is not counted),
// and lets it fail.
// One source file of the program defines PENSTOCK_ALLOCATIONS_IMPLEMENT before it includes this.
#pragma once

#include <cstdint>

namespace penstock::testing {

std::int64_t allocations() noexcept;  // calls of operator new so far
std::int64_t live_bytes() noexcept;   // given out and not taken back

// While this lives, one operator new throws: the `nth` one, counted from 0, of all threads but that which
// made it.
class FailingAllocation {
 public:
  explicit FailingAllocation(std::int64_t nth) noexcept;
  FailingAllocation(const FailingAllocation&) = delete;
  FailingAllocation& operator=(const FailingAllocation&) = delete;
  ~FailingAllocation();
  bool failed() const noexcept;  // so far
};

}  // namespace penstock::testing

#ifdef PENSTOCK_ALLOCATIONS_IMPLEMENT

#include <malloc.h>

#include <atomic>
#include <cstdlib>
#include <limits>
#include <new>

namespace {

thread_local bool allocates_always = false;
// Allocations until the one that fails; negative: it did, or none is to.
std::atomic<std::int64_t> until_failure{std::numeric_limits<std::int64_t>::min()};

bool fails() noexcept {
  if (allocates_always || until_failure.load(std::memory_order_relaxed) < 0) return false;
  return until_failure.fetch_sub(1, std::memory_order_relaxed) == 0;
}

std::atomic<std::int64_t> allocation_count{0};
std::atomic<std::int64_t> allocated_bytes{0};

void* counted(void* memory) {
  if (memory == nullptr) throw std::bad_alloc();
  if (fails()) {
    std::free(memory);
    throw std::bad_alloc();
  }
  allocation_count.fetch_add(1, std::memory_order_relaxed);
  allocated_bytes.fetch_add(static_cast<std::int64_t>(malloc_usable_size(memory)), std::memory_order_relaxed);
  return memory;
}

void* take(std::size_t size) { return counted(std::malloc(size == 0 ? 1 : size)); }

void* take(std::size_t size, std::align_val_t alignment) {
  const auto align = static_cast<std::size_t>(alignment);
  return counted(std::aligned_alloc(align, (size + align - 1) / align * align));
}

template <typename... Alignment>
void* take_or_none(std::size_t size, Alignment... alignment) noexcept {
  try {
    return take(size, alignment...);
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}

void give_back(void* memory) noexcept {
  if (memory == nullptr) return;
  allocated_bytes.fetch_sub(static_cast<std::int64_t>(malloc_usable_size(memory)), std::memory_order_relaxed);
  std::free(memory);
}

}  // namespace

void* operator new(std::size_t size) { return take(size); }
void* operator new[](std::size_t size) { return take(size); }
void* operator new(std::size_t size, std::align_val_t alignment) { return take(size, alignment); }
void* operator new[](std::size_t size, std::align_val_t alignment) { return take(size, alignment); }
// Model libraries allocate by these; AddressSanitizer's own would not go with the operators delete here.
void* operator new(std::size_t size, const std::nothrow_t&) noexcept { return take_or_none(size); }
void* operator new[](std::size_t size, const std::nothrow_t&) noexcept { return take_or_none(size); }
void* operator new(std::size_t size, std::align_val_t alignment, const std::nothrow_t&) noexcept {
  return take_or_none(size, alignment);
}
void* operator new[](std::size_t size, std::align_val_t alignment, const std::nothrow_t&) noexcept {
  return take_or_none(size, alignment);
}
void operator delete(void* memory) noexcept { give_back(memory); }
void operator delete[](void* memory) noexcept { give_back(memory); }
void operator delete(void* memory, std::size_t) noexcept { give_back(memory); }
void operator delete[](void* memory, std::size_t) noexcept { give_back(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { give_back(memory); }
void operator delete[](void* memory, std::align_val_t) noexcept { give_back(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { give_back(memory); }
void operator delete[](void* memory, std::size_t, std::align_val_t) noexcept { give_back(memory); }

namespace penstock::testing {

std::int64_t allocations() noexcept { return allocation_count.load(std::memory_order_relaxed); }
FailingAllocation::FailingAllocation(std::int64_t nth) noexcept {
  allocates_always = true;
  until_failure.store(nth);
}
FailingAllocation::~FailingAllocation() {
  until_failure.store(std::numeric_limits<std::int64_t>::min());
  allocates_always = false;
}
bool FailingAllocation::failed() const noexcept { return until_failure.load() < 0; }
std::int64_t live_bytes() noexcept { return allocated_bytes.load(std::memory_order_relaxed); }

}  // namespace penstock::testing

#endif
