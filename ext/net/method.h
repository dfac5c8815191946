// Method: the RPCs that the callers' port knows, by path.
#pragma once

#include <string>
#include <string_view>

#include "base/text_map.h"
#include "net/options.h"

namespace penstock::net {

enum class Rpc : unsigned char {
  kInfer,
  kStreamInfer,
  kServerLive,
  kServerReady,
  kModelReady,
  kHealthCheck,
  kHealthWatch,
  kBridgedUnary,
  kBridgedStream,
};

struct Method {
  Rpc rpc = Rpc::kInfer;
  std::string path;

  // Whether messages are handled one by one as they come, rather than one at the caller's half-close.
  bool takes_stream() const noexcept { return rpc == Rpc::kStreamInfer || rpc == Rpc::kBridgedStream; }
};

// Immutable once made; shared by all loops.
class Methods {
 public:
  explicit Methods(const TextMap<Bridged>& bridged);
  const Method* find(std::string_view path) const noexcept;  // null: not known

 private:
  TextMap<Method> methods_;
};

}  // namespace penstock::net
