// The executors behind a C interface, for the tests that Python drives through ctypes (tests/unit/executor).
#include <chrono>
#include <cstring>
#include <string>

#include "executor/executor.h"
#include "executor/lightgbm.h"
#include "executor/lightgbm_text.h"
#include "executor/onnx.h"

using penstock::Arena;
using penstock::DataType;
using penstock::Status;
using penstock::TensorSpec;
using penstock::TensorView;
using namespace penstock::executor;

namespace {

struct Loaded {
  std::unique_ptr<Executor> executor;
  std::string text;  // what the last call that gives text gave
};

// As an event loop holds it: one context and one arena, used by one thread at a time.
struct Session {
  const Executor* executor = nullptr;
  std::unique_ptr<Context> context;
  Arena arena;
  Results results;
};

int report(const Status& status, char* message, std::size_t room) {
  if (room > 0) {
    const std::size_t size = std::min(status.message().size(), room - 1);
    std::memcpy(message, status.message().data(), size);
    message[size] = '\0';
  }
  return static_cast<int>(status.code());
}

std::string written(std::span<const TensorSpec> specs) {
  std::string text;
  for (const TensorSpec& spec : specs) {
    text += spec.name + '\t' + std::string(datatype_name(spec.dtype));
    for (const std::int64_t size : spec.shape) text += '\t' + std::to_string(size);
    text += '\n';
  }
  return text;
}

}  // namespace

extern "C" {

struct ProbeTensor {
  const char* dtype;
  const std::int64_t* shape;
  std::int64_t rank;
  std::int64_t elements;
  const void* data;
};

int probe_load_onnx(const char* path, const char* library, const char* const* providers, int provider_count,
                    int fallback, int intra, int inter, const char* optimization, Loaded** made,
                    char* message, std::size_t room) {
  OnnxOptions options;
  options.library = library;
  options.providers.assign(providers, providers + provider_count);
  options.fallback = fallback != 0;
  options.intra_op_threads = intra;
  options.inter_op_threads = inter;
  options.optimization = optimization;
  auto loaded = std::make_unique<Loaded>();
  const Status status = load_onnx(path, options, &loaded->executor);
  if (status.is_ok()) *made = loaded.release();
  return report(status, message, room);
}

int probe_load_lightgbm(const char* path, const char* library, const char* engine, int start_iteration,
                        int num_iterations, int raw_score, Loaded** made, char* message, std::size_t room) {
  LightgbmOptions options;
  options.library = library;
  options.engine = engine;
  options.start_iteration = start_iteration;
  options.num_iterations = num_iterations;
  options.raw_score = raw_score != 0;
  auto loaded = std::make_unique<Loaded>();
  const Status status = load_lightgbm(path, options, &loaded->executor);
  if (status.is_ok()) *made = loaded.release();
  return report(status, message, room);
}

int probe_check_lightgbm_text(const char* text, std::size_t size, char* message, std::size_t room) {
  return report(check_lightgbm_text({text, size}), message, room);
}

void probe_free(Loaded* loaded) { delete loaded; }

const char* probe_describe(Loaded* loaded) {
  loaded->text = loaded->executor->describe();
  return loaded->text.c_str();
}

std::size_t probe_default_outputs(const Loaded* loaded) { return loaded->executor->default_outputs(); }

const char* probe_specs(Loaded* loaded, int outputs) {
  loaded->text = written(outputs != 0 ? loaded->executor->outputs() : loaded->executor->inputs());
  return loaded->text.c_str();
}

int probe_open(const Loaded* loaded, Session** made, char* message, std::size_t room) {
  auto session = std::make_unique<Session>();
  session->executor = loaded->executor.get();
  const Status status = loaded->executor->make_context(&session->context);
  if (status.is_ok()) *made = session.release();
  return report(status, message, room);
}

void probe_close(Session* session) { delete session; }

// Runs `repeats` times; `nanoseconds` is what all of them took. The results of the last stay readable.
int probe_run(Session* session, const ProbeTensor* inputs, int input_count, const std::uint32_t* wanted,
              int wanted_count, int repeats, std::int64_t* nanoseconds, char* message, std::size_t room) {
  std::vector<TensorView> views;
  const std::span<const TensorSpec> specs = session->executor->inputs();
  for (int i = 0; i < input_count; ++i) {
    const ProbeTensor& input = inputs[i];
    views.push_back({specs[static_cast<std::size_t>(i)].name,
                     penstock::datatype_from_name(input.dtype).value_or(DataType::kInvalid),
                     {input.shape, static_cast<std::size_t>(input.rank)},
                     input.elements,
                     input.data});
  }
  const std::span<const std::uint32_t> chosen(wanted, static_cast<std::size_t>(wanted_count));
  Status status;
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < repeats && status.is_ok(); ++i) {
    session->results.release();
    session->arena.reset();
    status = session->executor->run(*session->context, views, chosen, session->arena, &session->results);
  }
  *nanoseconds = std::chrono::nanoseconds(std::chrono::steady_clock::now() - begin).count();
  return report(status, message, room);
}

void probe_output(const Session* session, int index, ProbeTensor* output) {
  const TensorView& tensor = session->results.tensors[static_cast<std::size_t>(index)];
  *output = {datatype_name(tensor.dtype).data(), tensor.shape.data(),
             static_cast<std::int64_t>(tensor.shape.size()), tensor.elements, tensor.data};
}

std::size_t probe_arena_bytes(const Session* session) { return session->arena.held(); }
int probe_holds(const Session* session) { return session->results.holds() ? 1 : 0; }

}  // extern "C"
