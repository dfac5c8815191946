// Where the tests find the model libraries: the environment says, else the checkout's own .venv.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <string>

namespace penstock::testing {

inline std::string library(const char* variable, const std::string& folder, const std::string& prefix) {
  namespace fs = std::filesystem;
  if (const char* given = std::getenv(variable)) return given;
  const fs::path root = fs::path(__FILE__).parent_path().parent_path().parent_path().parent_path();
  const fs::path environment = root / ".venv" / "lib";
  if (fs::exists(environment)) {
    for (const fs::directory_entry& python : fs::directory_iterator(environment)) {
      const fs::path where = python.path() / "site-packages" / folder;
      if (!fs::exists(where)) continue;
      for (const fs::directory_entry& file : fs::directory_iterator(where)) {
        if (file.path().filename().string().starts_with(prefix)) return file.path().string();
      }
    }
  }
  throw std::runtime_error(prefix + " is not in .venv: install the package or set " + variable);
}

inline std::string onnxruntime() {
  return library("PENSTOCK_TEST_ONNXRUNTIME", "onnxruntime/capi", "libonnxruntime.so");
}
inline std::string lightgbm() { return library("PENSTOCK_TEST_LIGHTGBM", "lightgbm/lib", "lib_lightgbm.so"); }

// A file that is gone when the test is over.
class TemporaryFile {
 public:
  explicit TemporaryFile(const std::string& content) {
    std::string name = (std::filesystem::temp_directory_path() / "penstock-XXXXXX").string();
    const int descriptor = ::mkstemp(name.data());
    if (descriptor < 0) throw std::runtime_error("no temporary file");
    path_ = name;
    std::FILE* file = ::fdopen(descriptor, "wb");
    const bool whole = std::fwrite(content.data(), 1, content.size(), file) == content.size();
    if (std::fclose(file) != 0 || !whole) throw std::runtime_error("cannot write " + name);
  }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  ~TemporaryFile() { std::filesystem::remove(path_); }

  const std::string& path() const noexcept { return path_; }

 private:
  std::string path_;
};

}  // namespace penstock::testing
