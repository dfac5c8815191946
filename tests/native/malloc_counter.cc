// To be preloaded: counts what the calling thread asks of the C library's allocator, and of the kernel.
#include <dlfcn.h>
#include <sys/types.h>

#include <cstddef>
#include <cstdint>

namespace {

thread_local std::uint64_t allocations = 0;

template <typename Function>
Function next(const char* name) {
  return reinterpret_cast<Function>(dlsym(RTLD_NEXT, name));
}

using Aligned = void* (*)(std::size_t, std::size_t);
using Mapped = void* (*)(void*, std::size_t, int, int, int, off_t);

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

void* reallocarray(void* block, std::size_t count, std::size_t size) {
  ++allocations;
  static const auto real = next<void* (*)(void*, std::size_t, std::size_t)>("reallocarray");
  return real(block, count, size);
}

void* aligned_alloc(std::size_t alignment, std::size_t size) {
  ++allocations;
  static const auto real = next<Aligned>("aligned_alloc");
  return real(alignment, size);
}

void* memalign(std::size_t alignment, std::size_t size) {
  ++allocations;
  static const auto real = next<Aligned>("memalign");
  return real(alignment, size);
}

int posix_memalign(void** block, std::size_t alignment, std::size_t size) {
  ++allocations;
  static const auto real = next<int (*)(void**, std::size_t, std::size_t)>("posix_memalign");
  return real(block, alignment, size);
}

void* valloc(std::size_t size) {
  ++allocations;
  static const auto real = next<void* (*)(std::size_t)>("valloc");
  return real(size);
}

void* mmap(void* address, std::size_t size, int protection, int flags, int file, off_t offset) {
  ++allocations;
  static const auto real = next<Mapped>("mmap");
  return real(address, size, protection, flags, file, offset);
}

// What a program calls that was compiled for large files.
void* mmap64(void* address, std::size_t size, int protection, int flags, int file, off_t offset) {
  ++allocations;
  static const auto real = next<Mapped>("mmap64");
  return real(address, size, protection, flags, file, offset);
}

}  // extern "C"
