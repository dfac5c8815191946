// The part of ONNX Runtime's C interface that the executor calls, as a binary interface: the wheel ships the
// library and no header. OrtGetApiBase()->GetApi(version) gives a table of function pointers that only ever
// grows at its end, so a function's slot, once released, is its address for good. The newest slot used here,
// 252, came with release 1.15.
#pragma once

#include <cstddef>
#include <cstdint>

namespace penstock::executor::ort {

// Objects of the library, known by pointer only. Each is given back through its Release function.
struct Env;
struct Status;  // null is success
struct Session;
struct SessionOptions;
struct Value;
struct MemoryInfo;
struct Allocator;
struct TypeInfo;
struct TensorInfo;
struct RunOptions;
struct CudaOptions;
struct TensorRtOptions;

enum LoggingLevel : int { kLogError = 3, kLogFatal = 4 };
enum ErrorCode : int { kInvalidArgument = 2, kNoSuchFile = 3 };
enum ExecutionMode : int { kSequential = 0, kParallel = 1 };
enum OptimizationLevel : int { kDisableAll = 0, kEnableBasic = 1, kEnableExtended = 2, kEnableAll = 99 };
enum AllocatorType : int { kDeviceAllocator = 0 };
enum MemoryType : int { kDefaultMemory = 0 };
enum ValueType : int {
  kUnknown = 0,
  kTensor = 1,
  kSequence = 2,
  kMap = 3,
  kOpaque = 4,
  kSparseTensor = 5,
  kOptional = 6
};
enum ElementType : int {
  kUndefined = 0,
  kFloat = 1,
  kUint8 = 2,
  kInt8 = 3,
  kUint16 = 4,
  kInt16 = 5,
  kInt32 = 6,
  kInt64 = 7,
  kString = 8,
  kBool = 9,
  kFloat16 = 10,
  kDouble = 11,
  kUint32 = 12,
  kUint64 = 13,
  kBfloat16 = 16,
};

using Logger = void (*)(void* parameter, LoggingLevel, const char* category, const char* id,
                        const char* location, const char* message);

using Table = const void* const*;

struct ApiBase {
  Table (*get_api)(std::uint32_t version) noexcept;
  const char* (*get_version_string)() noexcept;
};

inline constexpr std::uint32_t kApiVersion = 20;

template <std::size_t kSlot, typename Signature>
class Function;

// One function of the table. None of them throws.
template <std::size_t kSlot, typename Result, typename... Arguments>
class Function<kSlot, Result(Arguments...)> {
 public:
  using Pointer = Result (*)(Arguments...) noexcept;

  explicit Function(Table table) noexcept : pointer_(reinterpret_cast<Pointer>(table[kSlot])) {}

  Result operator()(Arguments... arguments) const noexcept { return pointer_(arguments...); }
  Pointer pointer() const noexcept { return pointer_; }

 private:
  Pointer pointer_;
};

// The functions by their names in the library's own interface. Immutable.
struct Api {
  explicit Api(Table from) noexcept : table(from) {}

  Table table;

  Function<1, ErrorCode(const Status*)> GetErrorCode{table};
  Function<2, const char*(const Status*)> GetErrorMessage{table};
  Function<93, void(Status*)> ReleaseStatus{table};

  Function<4, Status*(Logger, void* parameter, LoggingLevel, const char* id, Env**)>
      CreateEnvWithCustomLogger{table};
  Function<6, Status*(const Env*)> DisableTelemetryEvents{table};
  Function<125, Status*(char*** names, int* count)> GetAvailableProviders{table};
  Function<126, Status*(char** names, int count)> ReleaseAvailableProviders{table};

  Function<10, Status*(SessionOptions**)> CreateSessionOptions{table};
  Function<100, void(SessionOptions*)> ReleaseSessionOptions{table};
  Function<13, Status*(SessionOptions*, ExecutionMode)> SetSessionExecutionMode{table};
  Function<17, Status*(SessionOptions*)> DisableMemPattern{table};
  Function<19, Status*(SessionOptions*)> DisableCpuMemArena{table};
  Function<22, Status*(SessionOptions*, int level)> SetSessionLogSeverityLevel{table};
  Function<23, Status*(SessionOptions*, OptimizationLevel)> SetSessionGraphOptimizationLevel{table};
  Function<24, Status*(SessionOptions*, int)> SetIntraOpNumThreads{table};
  Function<25, Status*(SessionOptions*, int)> SetInterOpNumThreads{table};
  Function<130, Status*(SessionOptions*, const char* key, const char* value)> AddSessionConfigEntry{table};

  Function<205, Status*(CudaOptions**)> CreateCUDAProviderOptions{table};
  Function<208, void(CudaOptions*)> ReleaseCUDAProviderOptions{table};
  Function<204, Status*(SessionOptions*, const CudaOptions*)> SessionOptionsAppendExecutionProvider_CUDA_V2{
      table};
  Function<171, Status*(TensorRtOptions**)> CreateTensorRTProviderOptions{table};
  Function<174, void(TensorRtOptions*)> ReleaseTensorRTProviderOptions{table};
  Function<170, Status*(SessionOptions*, const TensorRtOptions*)>
      SessionOptionsAppendExecutionProvider_TensorRT_V2{table};

  Function<7, Status*(const Env*, const char* path, const SessionOptions*, Session**)> CreateSession{table};
  Function<95, void(Session*)> ReleaseSession{table};
  Function<30, Status*(const Session*, std::size_t*)> SessionGetInputCount{table};
  Function<31, Status*(const Session*, std::size_t*)> SessionGetOutputCount{table};
  Function<33, Status*(const Session*, std::size_t, TypeInfo**)> SessionGetInputTypeInfo{table};
  Function<34, Status*(const Session*, std::size_t, TypeInfo**)> SessionGetOutputTypeInfo{table};
  Function<36, Status*(const Session*, std::size_t, Allocator*, char**)> SessionGetInputName{table};
  Function<37, Status*(const Session*, std::size_t, Allocator*, char**)> SessionGetOutputName{table};
  Function<9, Status*(Session*, const RunOptions*, const char* const* input_names, const Value* const* inputs,
                      std::size_t input_count, const char* const* output_names, std::size_t output_count,
                      Value** outputs)>
      Run{table};

  Function<98, void(TypeInfo*)> ReleaseTypeInfo{table};
  Function<56, Status*(const TypeInfo*, ValueType*)> GetOnnxTypeFromTypeInfo{table};
  // The tensor's part is owned by the type it is taken from.
  Function<55, Status*(const TypeInfo*, const TensorInfo**)> CastTypeInfoToTensorInfo{table};
  Function<60, Status*(const TensorInfo*, ElementType*)> GetTensorElementType{table};
  Function<61, Status*(const TensorInfo*, std::size_t*)> GetDimensionsCount{table};
  Function<62, Status*(const TensorInfo*, std::int64_t*, std::size_t)> GetDimensions{table};
  Function<99, void(TensorInfo*)> ReleaseTensorTypeAndShapeInfo{table};

  Function<69, Status*(AllocatorType, MemoryType, MemoryInfo**)> CreateCpuMemoryInfo{table};
  Function<78, Status*(Allocator**)> GetAllocatorWithDefaultOptions{table};
  Function<76, Status*(Allocator*, void*)> AllocatorFree{table};

  Function<48, Status*(Allocator*, const std::int64_t* shape, std::size_t rank, ElementType, Value**)>
      CreateTensorAsOrtValue{table};
  Function<49, Status*(const MemoryInfo*, void* data, std::size_t bytes, const std::int64_t* shape,
                       std::size_t rank, ElementType, Value**)>
      CreateTensorWithDataAsOrtValue{table};
  Function<51, Status*(Value*, void**)> GetTensorMutableData{table};
  Function<53, Status*(const Value*, std::size_t* bytes)> GetStringTensorDataLength{table};
  Function<54, Status*(const Value*, void* text, std::size_t bytes, std::size_t* offsets, std::size_t count)>
      GetStringTensorContent{table};
  Function<65, Status*(const Value*, TensorInfo**)> GetTensorTypeAndShape{table};
  // Room for `bytes` characters in one element; the only way in for text that holds NULs.
  Function<252, Status*(Value*, std::size_t index, std::size_t bytes, char** text)>
      GetResizedStringTensorElementBuffer{table};
  Function<96, void(Value*)> ReleaseValue{table};
};

}  // namespace penstock::executor::ort
