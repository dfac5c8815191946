#include "executor/library.h"

#include <dlfcn.h>

#include <map>
#include <memory>
#include <mutex>

namespace penstock::executor {

Status SharedLibrary::open(const std::string& path, const SharedLibrary** opened) {
  static std::mutex mutex;
  static auto& libraries = *new std::map<std::string, std::unique_ptr<SharedLibrary>>;  // outlives statics
  const std::lock_guard lock(mutex);
  std::unique_ptr<SharedLibrary>& library = libraries[path];
  if (library == nullptr) {
    void* handle = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (handle == nullptr) {
      const char* words = ::dlerror();
      libraries.erase(path);
      return {Code::kFailedPrecondition, "cannot load the model library '" + path +
                                             "': " + one_line(words == nullptr ? "unknown reason" : words)};
    }
    library.reset(new SharedLibrary(path, handle));  // NOLINT: the constructor is private
  }
  *opened = library.get();
  return Status::ok();
}

Status SharedLibrary::find_address(const char* symbol, void** address) const {
  *address = ::dlsym(handle_, symbol);
  if (*address != nullptr) return Status::ok();
  return {Code::kFailedPrecondition, "the model library '" + path_ + "' has no function " + symbol +
                                         ": it is another library, or too old a release"};
}

std::string one_line(std::string_view words) {
  constexpr std::size_t kLongest = 1000;
  std::string line;
  bool gap = false;
  for (const char c : words) {
    if (static_cast<unsigned char>(c) <= ' ') {
      gap = !line.empty();
      continue;
    }
    if (line.size() >= kLongest) {
      line += " ...";
      break;
    }
    if (gap) line += ' ';
    gap = false;
    line += c;
  }
  return line;
}

}  // namespace penstock::executor
