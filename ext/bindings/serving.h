// Serving: the calls of _core.pyx that hold no Python object, in the shape that Cython can say. No exceptions
// come out.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/arena.h"
#include "base/clock.h"
#include "base/guarded.h"
#include "base/status.h"
#include "bindings/batch.h"
#include "engine/pipeline.h"
#include "engine/version.h"
#include "executor/lightgbm.h"
#include "executor/linear.h"
#include "executor/onnx.h"
#include "net/server.h"
#include "transform/program.h"

namespace penstock::bindings {

// A lane and its memory, for one thread of Python's at a time.
struct Workspace {
  std::shared_ptr<const engine::Version> version;  // what a run gave may be the model's memory
  engine::Lane* lane = nullptr;
  Arena arena;
  engine::Execution execution;
};

inline Status make_program(transform::ProgramSpec& spec,
                           std::shared_ptr<const transform::Program>* made) noexcept {
  return guarded([&]() -> Status {
    std::unique_ptr<transform::Program> program;
    PENSTOCK_RETURN_IF_ERROR(transform::Program::make(std::move(spec), &program));
    *made = std::move(program);
    return Status::ok();
  });
}

inline Status run_program(const transform::Program& program, const Batch& batch, std::int64_t rows,
                          Arena& arena, std::vector<TensorView>* out) noexcept {
  return guarded([&]() -> Status {
    std::span<const TensorView> made;
    PENSTOCK_RETURN_IF_ERROR(program.run(batch.columns(), rows, arena, &made));
    out->assign(made.begin(), made.end());
    return Status::ok();
  });
}

inline Status make_onnx(const std::string& path, const executor::OnnxOptions& options,
                        std::shared_ptr<const executor::Executor>* made) noexcept {
  return guarded([&]() -> Status {
    std::unique_ptr<executor::Executor> executor;
    PENSTOCK_RETURN_IF_ERROR(executor::load_onnx(path, options, &executor));
    *made = std::move(executor);
    return Status::ok();
  });
}

inline Status make_lightgbm(const std::string& path, const executor::LightgbmOptions& options,
                            std::shared_ptr<const executor::Executor>* made) noexcept {
  return guarded([&]() -> Status {
    std::unique_ptr<executor::Executor> executor;
    PENSTOCK_RETURN_IF_ERROR(executor::load_lightgbm(path, options, &executor));
    *made = std::move(executor);
    return Status::ok();
  });
}

inline Status make_linear(executor::LinearModel& model,
                          std::shared_ptr<const executor::Executor>* made) noexcept {
  return guarded([&]() -> Status {
    std::unique_ptr<executor::Executor> executor;
    PENSTOCK_RETURN_IF_ERROR(executor::load_linear(std::move(model), &executor));
    *made = std::move(executor);
    return Status::ok();
  });
}

inline Status make_version(engine::Version::Spec& spec, std::shared_ptr<engine::Version>* made) noexcept {
  return guarded([&] { return engine::Version::make(std::move(spec), made); });
}

inline Status make_workspace(const std::shared_ptr<const engine::Version>& version,
                             std::unique_ptr<Workspace>* made) noexcept {
  return guarded([&]() -> Status {
    auto workspace = std::make_unique<Workspace>();
    workspace->version = version;
    PENSTOCK_RETURN_IF_ERROR(version->add_lane(false, &workspace->lane));
    *made = std::move(workspace);
    return Status::ok();
  });
}

// Results live in the workspace until clear().
inline Status run_version(Workspace& workspace, const Batch& batch, std::vector<TensorView>* out) noexcept {
  return guarded([&]() -> Status {
    PENSTOCK_RETURN_IF_ERROR(
        workspace.version->run(*workspace.lane, batch.request(), workspace.arena, &workspace.execution));
    const std::span<const TensorView> tensors = workspace.execution.results.tensors;
    out->assign(tensors.begin(), tensors.end());
    return Status::ok();
  });
}

inline void clear(Workspace& workspace) noexcept {
  workspace.execution.clear();
  workspace.arena.reset();
}

inline Status infer_version(Workspace& workspace, const char* message, std::size_t size,
                            std::string* reply) noexcept {
  return guarded([&]() -> Status {
    workspace.arena.reset();
    const std::span<const char> bytes(message, size);
    const engine::InferCall call{std::as_bytes(bytes), monotonic_ns()};
    engine::InferAnswer answer;
    PENSTOCK_RETURN_IF_ERROR(
        engine::infer(*workspace.version, *workspace.lane, call, workspace.arena, &answer));
    reply->reserve(answer.bytes);
    for (const codec::Piece& piece : answer.pieces) {
      reply->append(reinterpret_cast<const char*>(piece.bytes.data()), piece.bytes.size());
    }
    return Status::ok();
  });
}

// Collects what is to be published; Python adds model by model.
class Publication {
 public:
  Status add_model(const std::string& name, const std::string& stable,
                   const std::vector<std::pair<std::string, std::string>>& aliases) noexcept {
    return guarded([&]() -> Status {
      std::vector<std::string> versions;
      for (const engine::Hosted& hosted : hosted_) versions.push_back(hosted.name);
      engine::Model model;
      PENSTOCK_RETURN_IF_ERROR(route::Route::make(versions, stable, aliases, &model.route));
      model.hosted = std::exchange(hosted_, {});
      if (!snapshot_->models.emplace(name, std::move(model)).second) {
        return invalid_argument("model '" + name + "' is listed twice");
      }
      return Status::ok();
    });
  }

  // For the next add_model().
  void add_version(const std::string& name, std::shared_ptr<const engine::Version> version,
                   const std::string& reason) {
    engine::Hosted hosted;
    hosted.name = name;
    hosted.version = std::move(version);
    hosted.reason = reason;
    hosted_.push_back(std::move(hosted));
  }

  Status publish(net::Server& server, bool ready) noexcept {
    return guarded([&]() -> Status {
      snapshot_->ready = ready;
      return server.publish(std::exchange(snapshot_, std::make_shared<engine::Snapshot>()));
    });
  }

 private:
  std::vector<engine::Hosted> hosted_;
  std::shared_ptr<engine::Snapshot> snapshot_ = std::make_shared<engine::Snapshot>();
};

inline Status start_server(net::Server& server) noexcept {
  return guarded([&] { return server.start(); });
}

inline void answer_call(net::Bridge& bridge, const net::BridgedCall& call, Code code,
                        const std::string& message, const std::string& reply) noexcept {
  // Without memory for it the answer is lost; the call's deadline ends it.
  [[maybe_unused]] const Status status = guarded([&]() -> Status {
    bridge.answer(call, Status(code, message), reply);
    return Status::ok();
  });
}

// False: nothing came in time.
inline bool take_call(net::Bridge& bridge, std::int64_t wait_ns, net::BridgedCall* call) {
  std::optional<net::BridgedCall> taken = bridge.take(std::chrono::nanoseconds(wait_ns));
  if (!taken) return false;
  *call = std::move(*taken);
  return true;
}

}  // namespace penstock::bindings
