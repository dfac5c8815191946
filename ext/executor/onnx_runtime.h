// OnnxRuntime: the loaded library, its function table and what all sessions of the process share.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/status.h"
#include "executor/onnx_abi.h"

namespace penstock::executor {

namespace ort {

// Gives an object back to the library that made it.
template <typename Object>
struct Release {
  void (*release)(Object*) noexcept = nullptr;
  void operator()(Object* object) const noexcept { release(object); }
};

template <typename Object>
using Owned = std::unique_ptr<Object, Release<Object>>;

// Takes ownership of what the C interface wrote through an out parameter.
template <typename Object, typename ReleaseFunction>
Owned<Object> own(Object* object, const ReleaseFunction& release) noexcept {
  return Owned<Object>(object, Release<Object>{release.pointer()});
}

}  // namespace ort

// One for each library path, kept until the process ends. Immutable, usable from any thread.
class OnnxRuntime {
 public:
  // Loads the library at `path` on the first call for it. Vendor telemetry is off before its first
  // instruction runs. FAILED_PRECONDITION for a library that is missing or too old.
  static Status open(const std::string& path, const OnnxRuntime** opened);

  // Ok for null. Otherwise releases `failed` and gives its words, on one line, after `doing`:
  // INVALID_ARGUMENT where the library says so, NOT_FOUND for a missing file, else INTERNAL.
  Status status(ort::Status* failed, std::string_view doing) const;

  // What the library last logged as an error on this thread, as one line; empty where it logged nothing since
  // the last call. Some failures name their cause there and nowhere else.
  static std::string take_logged();

  ort::Api api;
  std::string version;            // "1.32.0"
  const ort::Env* env = nullptr;  // the three below are never released: sessions may outlive statics
  const ort::MemoryInfo* memory = nullptr;  // plain CPU memory
  ort::Allocator* allocator = nullptr;      // the library's own, for names and string tensors

 private:
  explicit OnnxRuntime(ort::Table table) : api(table) {}
  static Status load(const std::string& path, std::unique_ptr<OnnxRuntime>* loaded);
};

}  // namespace penstock::executor
