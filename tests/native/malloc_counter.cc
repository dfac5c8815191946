// To be preloaded: counts what the calling thread asks of the C library's allocator.
#include <dlfcn.h>

#include <cstddef>
#include <cstdint>

namespace {

thread_local std::uint64_t allocations = 0;

template <typename Function>
Function next(const char* name) {
  return reinterpret_cast<Function>(dlsym(RTLD_NEXT, name));
}

}  // namespace

extern "C" {

std::uint64_t penstock_allocations() { return allocations; }

void* __libc_malloc(std::size_t size);
void* __libc_calloc(std::size_t count, std::size_t size);
void* __libc_realloc(void* block, std::size_t size);

void* malloc(std::size_t size) {
  ++allocations;
  return __libc_malloc(size);
}

void* calloc(std::size_t count, std::size_t size) {
  ++allocations;
  return __libc_calloc(count, size);
}

void* realloc(void* block, std::size_t size) {
  ++allocations;
  return __libc_realloc(block, size);
}

void* aligned_alloc(std::size_t alignment, std::size_t size) {
  ++allocations;
  static const auto real = next<void* (*)(std::size_t, std::size_t)>("aligned_alloc");
  return real(alignment, size);
}

int posix_memalign(void** block, std::size_t alignment, std::size_t size) {
  ++allocations;
  static const auto real = next<int (*)(void**, std::size_t, std::size_t)>("posix_memalign");
  return real(block, alignment, size);
}

}  // extern "C"
