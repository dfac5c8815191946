// RowSums: a small model for tests. Input "x" [-1, columns] FP64; outputs "sum" and "largest" [-1] FP64.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <new>
#include <numeric>
#include <string>
#include <thread>
#include <vector>

#include "engine/pipeline.h"
#include "engine/requests.h"
#include "engine/snapshot.h"
#include "engine/version.h"
#include "executor/executor.h"

namespace penstock::engine::testing {

class RowSums final : public executor::Executor {
 public:
  explicit RowSums(std::int64_t columns = 3) : columns_(columns) {
    inputs_ = {{"x", DataType::kFp64, {-1, columns}}};
    outputs_ = {{"sum", DataType::kFp64, {-1}}, {"largest", DataType::kFp64, {-1}}};
  }
  ~RowSums() override {
    if (at_end) at_end();
  }

  std::span<const TensorSpec> inputs() const noexcept override { return inputs_; }
  std::span<const TensorSpec> outputs() const noexcept override { return outputs_; }
  std::string describe() const override { return "sums of rows"; }
  Status make_context(std::unique_ptr<executor::Context>* made) const override {
    *made = std::make_unique<executor::Context>();
    return Status::ok();
  }

  Status run(executor::Context&, std::span<const TensorView> inputs, std::span<const std::uint32_t> wanted,
             Arena& arena, executor::Results* results) const override {
    if (out_of_memory) throw std::bad_alloc();
    if (at_run) at_run(inputs[0].shape[0]);
    if (throws) throw std::runtime_error("the model broke");
    if (takes_ns > 0) std::this_thread::sleep_for(std::chrono::nanoseconds(takes_ns));
    const auto* values = static_cast<const double*>(inputs[0].data);
    const std::int64_t rows = inputs[0].shape[0];
    const std::span<std::int64_t> shape = arena.array<std::int64_t>(1);
    shape[0] = rows;
    const std::span<TensorView> tensors = arena.array<TensorView>(wanted.size());
    for (std::size_t i = 0; i < wanted.size(); ++i) {
      double* out = nullptr;
      if (holds) {
        auto owned = std::make_unique<std::vector<double>>(static_cast<std::size_t>(rows));
        out = owned->data();
        results->hold(owned.release(),
                      [](void* object) { delete static_cast<std::vector<double>*>(object); });
      } else {
        out = arena.uninitialised<double>(static_cast<std::size_t>(rows)).data();
      }
      for (std::int64_t row = 0; row < rows; ++row) {
        const double* first = values + row * columns_;
        out[row] = wanted[i] == 0 ? std::accumulate(first, first + columns_, 0.0)
                                  : *std::max_element(first, first + columns_);
      }
      tensors[i] = {outputs_[wanted[i]].name, DataType::kFp64, shape, rows, out};
    }
    results->tensors = tensors;
    return Status::ok();
  }

  bool out_of_memory = false;
  bool throws = false;
  bool holds = false;  // answers from memory of its own rather than the arena's
  std::int64_t takes_ns = 0;
  std::function<void(std::int64_t rows)> at_run;
  std::function<void()> at_end;

 private:
  std::int64_t columns_;
  std::vector<TensorSpec> inputs_;
  std::vector<TensorSpec> outputs_;
};

inline std::shared_ptr<Version> version_of(std::shared_ptr<const executor::Executor> executor,
                                           std::string name = "1") {
  std::shared_ptr<Version> version;
  const Status status = Version::make(
      {"rows", std::move(name), "sha256:d1", std::move(executor), nullptr, false, {}, 0}, &version);
  if (!status.is_ok()) throw std::runtime_error(status.message());
  return version;
}

// A snapshot that serves `version` as the model "rows", stable.
inline std::shared_ptr<Snapshot> snapshot_of(std::shared_ptr<const Version> version) {
  auto snapshot = std::make_shared<Snapshot>();
  Model model;
  const std::string name = version->version();
  const Status status = route::Route::make({name}, name, {}, &model.route);
  if (!status.is_ok()) throw std::runtime_error(status.message());
  model.hosted.push_back({name, std::move(version), "", {}});
  snapshot->models.emplace("rows", std::move(model));
  snapshot->ready = true;
  return snapshot;
}

// One request to what a snapshot serves, run where it is.
inline Status infer(const Snapshot& snapshot, std::size_t lane, const InferCall& call, Arena& arena,
                    InferAnswer* made) {
  Admitted admitted;
  Place place = Place::kHere;
  PENSTOCK_RETURN_IF_ERROR(admit(snapshot, lane, 1, call, arena, &admitted, &place));
  return answer(admitted, arena, made);
}

inline Tensor matrix(std::int64_t rows, const std::vector<double>& values) {
  return {"x",
          "FP64",
          {rows, static_cast<std::int64_t>(values.size()) / std::max<std::int64_t>(rows, 1)},
          raw_bytes(values)};
}

}  // namespace penstock::engine::testing
