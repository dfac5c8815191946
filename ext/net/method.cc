#include "net/method.h"

namespace penstock::net {

Methods::Methods(const TextMap<Bridged>& bridged) {
  const auto add = [this](std::string path, Rpc rpc) {
    Method method{rpc, path};
    methods_.insert_or_assign(std::move(path), std::move(method));
  };
  for (const auto& [path, mode] : bridged) {
    add(path, mode == Bridged::kUnary ? Rpc::kBridgedUnary : Rpc::kBridgedStream);
  }
  // Behind the bridged ones, so that nothing takes these from the data plane.
  add("/inference.GRPCInferenceService/ModelInfer", Rpc::kInfer);
  add("/inference.GRPCInferenceService/ModelStreamInfer", Rpc::kStreamInfer);
  add("/inference.GRPCInferenceService/ServerLive", Rpc::kServerLive);
  add("/inference.GRPCInferenceService/ServerReady", Rpc::kServerReady);
  add("/inference.GRPCInferenceService/ModelReady", Rpc::kModelReady);
  add("/grpc.health.v1.Health/Check", Rpc::kHealthCheck);
  add("/grpc.health.v1.Health/Watch", Rpc::kHealthWatch);
}

const Method* Methods::find(std::string_view path) const noexcept {
  const auto found = methods_.find(path);
  return found == methods_.end() ? nullptr : &found->second;
}

}  // namespace penstock::net
