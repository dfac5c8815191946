// Executor: a loaded model. Load, warm, run, describe: anything that can do these can be served.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/arena.h"
#include "base/status.h"
#include "base/tensor.h"

namespace penstock::executor {

// What a run gave: tensors in the order asked for, and what keeps their memory alive. Moves; owned by one
// thread at a time. The arena that run() was given must outlive it too.
class Results {
 public:
  Results() noexcept = default;
  Results(const Results&) = delete;
  Results& operator=(const Results&) = delete;
  Results(Results&& other) noexcept;
  Results& operator=(Results&& other) noexcept;
  ~Results() { release(); }

  std::span<const TensorView> tensors;

  // Calls release(object) once, when these results are dropped.
  void hold(void* object, void (*release)(void*));
  // True where a tensor's memory is held here rather than in the arena.
  bool holds() const noexcept { return !held_.empty(); }
  // Drops what is held; keeps the room for the next use.
  void release() noexcept;

 private:
  struct Held {
    void* object;
    void (*release)(void*);
  };
  std::vector<Held> held_;
};

// What one thread needs to run one executor (scratch, a fast-path handle). Used by that thread alone.
class Context {
 public:
  virtual ~Context() = default;
};

class Executor {
 public:
  virtual ~Executor() = default;

  // As the model file has them; fixed from load on.
  virtual std::span<const TensorSpec> inputs() const noexcept = 0;
  virtual std::span<const TensorSpec> outputs() const noexcept = 0;
  // So many of the outputs, the first ones, are given to a request that names none; the others only to those
  // that do.
  virtual std::size_t default_outputs() const noexcept { return outputs().size(); }

  // A line for people: "ONNX Runtime 1.32.0, cpu", with the provider that really runs the model.
  virtual std::string describe() const = 0;

  virtual Status make_context(std::unique_ptr<Context>* made) const = 0;

  // Runs the model on `inputs` (one for each of inputs(), in that order, checked by the caller for type and
  // rank; rows agree). `wanted` are indices into outputs(). Results live in `arena` or are held by `results`.
  // Any number of threads may run at once, each with its own context. Takes no GIL. INTERNAL with the model
  // library's words on failure.
  virtual Status run(Context& context, std::span<const TensorView> inputs,
                     std::span<const std::uint32_t> wanted, Arena& arena, Results* results) const = 0;
};

}  // namespace penstock::executor
