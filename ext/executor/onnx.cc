#include "executor/onnx.h"

#include <array>
#include <cstring>
#include <new>

#include "executor/onnx_runtime.h"
#include "executor/onnx_session.h"

namespace penstock::executor {
namespace {

struct ElementTypeOf {
  DataType dtype;
  ort::ElementType element;
};
constexpr std::array<ElementTypeOf, kDataTypeCount - 1> kElementTypes{{{DataType::kBool, ort::kBool},
                                                                       {DataType::kUint8, ort::kUint8},
                                                                       {DataType::kUint16, ort::kUint16},
                                                                       {DataType::kUint32, ort::kUint32},
                                                                       {DataType::kUint64, ort::kUint64},
                                                                       {DataType::kInt8, ort::kInt8},
                                                                       {DataType::kInt16, ort::kInt16},
                                                                       {DataType::kInt32, ort::kInt32},
                                                                       {DataType::kInt64, ort::kInt64},
                                                                       {DataType::kFp16, ort::kFloat16},
                                                                       {DataType::kFp32, ort::kFloat},
                                                                       {DataType::kFp64, ort::kDouble},
                                                                       {DataType::kBytes, ort::kString},
                                                                       {DataType::kBf16, ort::kBfloat16}}};

ort::ElementType to_element_type(DataType dtype) {
  for (const ElementTypeOf& entry : kElementTypes) {
    if (entry.dtype == dtype) return entry.element;
  }
  return ort::kUndefined;
}

DataType to_datatype(ort::ElementType element) {
  for (const ElementTypeOf& entry : kElementTypes) {
    if (entry.element == element) return entry.dtype;
  }
  return DataType::kInvalid;
}

std::string_view kind_of(ort::ValueType type) {
  switch (type) {
    case ort::kTensor:
      return "a tensor";
    case ort::kSequence:
      return "a sequence";
    case ort::kMap:
      return "a map";
    case ort::kOpaque:
      return "an opaque value";
    case ort::kSparseTensor:
      return "a sparse tensor";
    case ort::kOptional:
      return "an optional value";
    case ort::kUnknown:
      break;
  }
  return "of unknown type";
}

// `slot` is "input" or "output". A dimension that the model names, or leaves open, becomes -1.
Status read_type(const OnnxRuntime& runtime, const ort::TypeInfo& type, std::string_view slot,
                 TensorSpec* spec) {
  const ort::Api& api = runtime.api;
  const std::string who = std::string(slot) + " '" + spec->name + "'";
  ort::ValueType kind = ort::kUnknown;
  PENSTOCK_RETURN_IF_ERROR(runtime.status(api.GetOnnxTypeFromTypeInfo(&type, &kind), who));
  if (kind != ort::kTensor) {
    return invalid_argument("the model's " + who + " is " + std::string(kind_of(kind)) +
                            ", and only tensors can be served: export the model without it (skl2onnx: "
                            "options={\"zipmap\": False} gives a classifier's probabilities as a tensor)");
  }
  const ort::TensorInfo* tensor = nullptr;
  PENSTOCK_RETURN_IF_ERROR(runtime.status(api.CastTypeInfoToTensorInfo(&type, &tensor), who));
  ort::ElementType element = ort::kUndefined;
  PENSTOCK_RETURN_IF_ERROR(runtime.status(api.GetTensorElementType(tensor, &element), who));
  spec->dtype = to_datatype(element);
  if (spec->dtype == DataType::kInvalid) {
    return invalid_argument("the model's " + who + " holds elements of ONNX type number " +
                            std::to_string(element) +
                            ", which the protocol has no datatype for: cast it inside the model");
  }
  std::size_t rank = 0;
  PENSTOCK_RETURN_IF_ERROR(runtime.status(api.GetDimensionsCount(tensor, &rank), who));
  spec->shape.resize(rank);
  PENSTOCK_RETURN_IF_ERROR(runtime.status(api.GetDimensions(tensor, spec->shape.data(), rank), who));
  for (std::int64_t& dimension : spec->shape) {
    if (dimension < 0) dimension = -1;
  }
  return Status::ok();
}

template <typename Count, typename Name, typename Type>
Status read_specs(const OnnxRuntime& runtime, const ort::Session& session, std::string_view slot,
                  const Count& count_of, const Name& name_of, const Type& type_of,
                  std::vector<TensorSpec>* specs) {
  std::size_t count = 0;
  PENSTOCK_RETURN_IF_ERROR(runtime.status(count_of(&session, &count), slot));
  specs->resize(count);
  for (std::size_t i = 0; i < count; ++i) {
    char* name = nullptr;
    PENSTOCK_RETURN_IF_ERROR(runtime.status(name_of(&session, i, runtime.allocator, &name), slot));
    (*specs)[i].name = name;
    PENSTOCK_RETURN_IF_ERROR(runtime.status(runtime.api.AllocatorFree(runtime.allocator, name), slot));
    ort::TypeInfo* raw = nullptr;
    PENSTOCK_RETURN_IF_ERROR(runtime.status(type_of(&session, i, &raw), slot));
    const ort::Owned<ort::TypeInfo> type = ort::own(raw, runtime.api.ReleaseTypeInfo);
    PENSTOCK_RETURN_IF_ERROR(read_type(runtime, *type, slot, &(*specs)[i]));
  }
  return Status::ok();
}

// The pointers that one call of the library takes. Between runs all values are null.
class OnnxContext final : public Context {
 public:
  OnnxContext(const OnnxRuntime& runtime, std::size_t inputs, std::size_t outputs)
      : runtime_(runtime), inputs_(inputs), outputs_(outputs), wanted_names_(outputs) {}
  OnnxContext(const OnnxContext&) = delete;
  OnnxContext& operator=(const OnnxContext&) = delete;
  ~OnnxContext() override { clear(); }

  void clear() noexcept {
    for (std::vector<ort::Value*>* values : {&inputs_, &outputs_}) {
      for (ort::Value*& value : *values) {
        if (value != nullptr) runtime_.api.ReleaseValue(value);
        value = nullptr;
      }
    }
  }

  std::span<ort::Value*> inputs() noexcept { return inputs_; }
  std::span<ort::Value*> outputs() noexcept { return outputs_; }
  std::span<const char*> wanted_names() noexcept { return wanted_names_; }

 private:
  const OnnxRuntime& runtime_;
  std::vector<ort::Value*> inputs_;
  std::vector<ort::Value*> outputs_;  // the first `wanted` of them are in use
  std::vector<const char*> wanted_names_;
};

// Leaves no value behind, however a run ends.
class ClearAtEnd {
 public:
  explicit ClearAtEnd(OnnxContext& context) noexcept : context_(context) {}
  ClearAtEnd(const ClearAtEnd&) = delete;
  ClearAtEnd& operator=(const ClearAtEnd&) = delete;
  ~ClearAtEnd() { context_.clear(); }

 private:
  OnnxContext& context_;
};

class OnnxExecutor final : public Executor {
 public:
  OnnxExecutor(const OnnxRuntime& runtime, OnnxSession session) noexcept
      : runtime_(runtime), session_(std::move(session)) {}

  Status read_signature() {
    const ort::Api& api = runtime_.api;
    const ort::Session& session = *session_.session;
    PENSTOCK_RETURN_IF_ERROR(read_specs(runtime_, session, "input", api.SessionGetInputCount,
                                        api.SessionGetInputName, api.SessionGetInputTypeInfo, &inputs_));
    PENSTOCK_RETURN_IF_ERROR(read_specs(runtime_, session, "output", api.SessionGetOutputCount,
                                        api.SessionGetOutputName, api.SessionGetOutputTypeInfo, &outputs_));
    for (const TensorSpec& spec : inputs_) input_names_.push_back(spec.name.c_str());
    return Status::ok();
  }

  std::span<const TensorSpec> inputs() const noexcept override { return inputs_; }
  std::span<const TensorSpec> outputs() const noexcept override { return outputs_; }

  std::string describe() const override {
    return "ONNX Runtime " + runtime_.version + ", " + session_.providers;
  }

  Status make_context(std::unique_ptr<Context>* made) const override {
    *made = std::make_unique<OnnxContext>(runtime_, inputs_.size(), outputs_.size());
    return Status::ok();
  }

  Status run(Context& context, std::span<const TensorView> inputs, std::span<const std::uint32_t> wanted,
             Arena& arena, Results* results) const override {
    results->release();
    if (inputs.size() != inputs_.size() || wanted.size() > outputs_.size()) {
      return {Code::kInternal, "the model takes " + std::to_string(inputs_.size()) + " inputs and gives " +
                                   std::to_string(outputs_.size()) + " outputs, not " +
                                   std::to_string(inputs.size()) + " and " + std::to_string(wanted.size())};
    }
    if (wanted.empty()) return Status::ok();  // the library refuses to run for nothing
    auto& scratch = static_cast<OnnxContext&>(context);
    const ClearAtEnd clear(scratch);
    try {
      for (std::size_t i = 0; i < inputs.size(); ++i) {
        PENSTOCK_RETURN_IF_ERROR(wrap(inputs[i], inputs_[i].name, &scratch.inputs()[i]));
      }
      for (std::size_t i = 0; i < wanted.size(); ++i) {
        if (wanted[i] >= outputs_.size()) {
          return {Code::kInternal, "the model has no output number " + std::to_string(wanted[i])};
        }
        scratch.wanted_names()[i] = outputs_[wanted[i]].name.c_str();
      }
      // The session is safe to run from any number of threads; its C signature just does not say so.
      PENSTOCK_RETURN_IF_ERROR(runtime_.status(
          runtime_.api.Run(session_.session.get(), nullptr, input_names_.data(), scratch.inputs().data(),
                           inputs.size(), scratch.wanted_names().data(), wanted.size(),
                           scratch.outputs().data()),
          "ONNX Runtime"));
      const std::span<TensorView> tensors = arena.array<TensorView>(wanted.size());
      for (std::size_t i = 0; i < wanted.size(); ++i) {
        PENSTOCK_RETURN_IF_ERROR(
            take(outputs_[wanted[i]], &scratch.outputs()[i], arena, results, &tensors[i]));
      }
      results->tensors = tensors;
      return Status::ok();
    } catch (const std::bad_alloc&) {
      results->release();
      return {Code::kResourceExhausted, "no memory left for the model's inputs and outputs"};
    }
  }

 private:
  // Numbers are used where they lie; strings are copied, since the library keeps them as its own objects.
  Status wrap(const TensorView& input, const std::string& name, ort::Value** value) const {
    if (input.dtype == DataType::kBytes) return wrap_strings(input, name, value);
    static std::max_align_t nothing;  // the library refuses a null pointer even for no elements
    void* data = input.data == nullptr ? &nothing : const_cast<void*>(input.data);
    return runtime_.status(runtime_.api.CreateTensorWithDataAsOrtValue(
                               runtime_.memory, data, input.byte_size(), input.shape.data(),
                               input.shape.size(), to_element_type(input.dtype), value),
                           name);
  }

  // A missing string becomes an empty one: ONNX has no missing strings.
  Status wrap_strings(const TensorView& input, const std::string& name, ort::Value** value) const {
    const ort::Api& api = runtime_.api;
    PENSTOCK_RETURN_IF_ERROR(
        runtime_.status(api.CreateTensorAsOrtValue(runtime_.allocator, input.shape.data(), input.shape.size(),
                                                   ort::kString, value),
                        name));
    std::size_t index = 0;
    for (const StringRef& element : input.strings()) {
      const std::string_view text = element.view();
      if (!text.empty()) {
        char* room = nullptr;
        PENSTOCK_RETURN_IF_ERROR(runtime_.status(
            api.GetResizedStringTensorElementBuffer(*value, index, text.size(), &room), name));
        std::memcpy(room, text.data(), text.size());
      }
      ++index;
    }
    return Status::ok();
  }

  // Numbers stay in the library's memory, which `results` takes over; strings are copied into the arena.
  Status take(const TensorSpec& spec, ort::Value** value, Arena& arena, Results* results,
              TensorView* view) const {
    const ort::Api& api = runtime_.api;
    ort::TensorInfo* raw = nullptr;
    PENSTOCK_RETURN_IF_ERROR(runtime_.status(api.GetTensorTypeAndShape(*value, &raw), spec.name));
    const ort::Owned<ort::TensorInfo> info = ort::own(raw, api.ReleaseTensorTypeAndShapeInfo);
    std::size_t rank = 0;
    PENSTOCK_RETURN_IF_ERROR(runtime_.status(api.GetDimensionsCount(raw, &rank), spec.name));
    const std::span<std::int64_t> shape = arena.uninitialised<std::int64_t>(rank);
    PENSTOCK_RETURN_IF_ERROR(runtime_.status(api.GetDimensions(raw, shape.data(), rank), spec.name));
    view->name = spec.name;
    view->dtype = spec.dtype;
    view->shape = shape;
    view->elements = 1;
    for (const std::int64_t dimension : shape) view->elements *= dimension;
    if (spec.dtype == DataType::kBytes) return copy_strings(**value, spec.name, arena, view);
    void* data = nullptr;
    PENSTOCK_RETURN_IF_ERROR(runtime_.status(api.GetTensorMutableData(*value, &data), spec.name));
    view->data = data;
    results->hold(std::exchange(*value, nullptr), release_value());
    return Status::ok();
  }

  Status copy_strings(const ort::Value& value, const std::string& name, Arena& arena,
                      TensorView* view) const {
    const ort::Api& api = runtime_.api;
    const auto count = static_cast<std::size_t>(view->elements);
    const std::span<StringRef> strings = arena.uninitialised<StringRef>(count);
    view->data = strings.data();
    if (count == 0) return Status::ok();
    std::size_t bytes = 0;
    PENSTOCK_RETURN_IF_ERROR(runtime_.status(api.GetStringTensorDataLength(&value, &bytes), name));
    const std::span<char> text = arena.uninitialised<char>(bytes);
    const std::span<std::size_t> offsets = arena.uninitialised<std::size_t>(count);
    PENSTOCK_RETURN_IF_ERROR(
        runtime_.status(api.GetStringTensorContent(&value, text.data(), bytes, offsets.data(), count), name));
    for (std::size_t i = 0; i < count; ++i) {
      const std::size_t end = i + 1 < count ? offsets[i + 1] : bytes;
      strings[i] = {text.data() + offsets[i], static_cast<std::int64_t>(end - offsets[i])};
    }
    return Status::ok();
  }

  // The library's own function, seen as one that takes any object: both take one pointer.
  void (*release_value() const noexcept)(void*) {
    return reinterpret_cast<void (*)(void*)>(runtime_.api.ReleaseValue.pointer());
  }

  const OnnxRuntime& runtime_;
  OnnxSession session_;
  std::vector<TensorSpec> inputs_;
  std::vector<TensorSpec> outputs_;
  std::vector<const char*> input_names_;  // into inputs_
};

}  // namespace

Status load_onnx(const std::string& path, const OnnxOptions& options, std::unique_ptr<Executor>* made) {
  const OnnxRuntime* runtime = nullptr;
  PENSTOCK_RETURN_IF_ERROR(OnnxRuntime::open(options.library, &runtime));
  OnnxSession session;
  PENSTOCK_RETURN_IF_ERROR(open_session(*runtime, path, options, &session));
  auto executor = std::make_unique<OnnxExecutor>(*runtime, std::move(session));
  PENSTOCK_RETURN_IF_ERROR(executor->read_signature());
  *made = std::move(executor);
  return Status::ok();
}

}  // namespace penstock::executor
