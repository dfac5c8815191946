// SharedLibrary: a model library, loaded at run time from the path that a bundle's options name.
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"

namespace penstock::executor {

// One for each path, kept until the process ends: model libraries start threads and register handlers, and do
// not survive being unloaded. Its symbols stay local, so that two releases can live in one process.
// Immutable, usable from any thread.
class SharedLibrary {
 public:
  // FAILED_PRECONDITION, with the loader's words, where there is no such library.
  static Status open(const std::string& path, const SharedLibrary** opened);

  const std::string& path() const noexcept { return path_; }

  // Sets *function to the exported symbol; FAILED_PRECONDITION where the library has none of that name.
  template <typename Function>
  Status find(const char* symbol, Function** function) const {
    void* address = nullptr;
    PENSTOCK_RETURN_IF_ERROR(find_address(symbol, &address));
    *function = reinterpret_cast<Function*>(address);
    return Status::ok();
  }

 private:
  SharedLibrary(std::string path, void* handle) : path_(std::move(path)), handle_(handle) {}
  Status find_address(const char* symbol, void** address) const;

  std::string path_;
  void* handle_;
};

// What a model library said of a failure, as one line of at most 1,000 bytes.
std::string one_line(std::string_view words);

}  // namespace penstock::executor
