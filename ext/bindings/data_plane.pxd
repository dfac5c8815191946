# What of ext/ the bindings use.
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t
from libcpp cimport bool as cbool
from libcpp.memory cimport shared_ptr, unique_ptr
from libcpp.pair cimport pair
from libcpp.string cimport string
from libcpp.vector cimport vector

from bindings.status cimport Code, Status


cdef extern from "base/cores.h" namespace "penstock" nogil:
    unsigned count_usable_cores "penstock::usable_cores"() except +

cdef extern from "base/datatype.h" namespace "penstock" nogil:
    cdef enum class DataType(int32_t):
        kInvalid
        kBytes


cdef extern from "base/tensor.h" namespace "penstock" nogil:
    cdef cppclass StringRef:
        const char* data
        int64_t size

    cdef cppclass TextView "std::string_view":
        const char* data()
        size_t size()

    cdef cppclass DimsView "std::span<const std::int64_t>":
        size_t size()
        const int64_t& operator[](size_t)

    cdef cppclass TensorView:
        TextView name
        DataType dtype
        DimsView shape
        int64_t elements
        const void* data
        size_t byte_size()

    cdef cppclass TensorSpec:
        string name
        DataType dtype
        vector[int64_t] shape

    cdef cppclass SpecsView "std::span<const penstock::TensorSpec>":
        size_t size()
        const TensorSpec& operator[](size_t)


cdef extern from "codec/arrow_text.h" nogil:
    cdef cppclass ArrowArrayStream:
        pass


cdef extern from "base/arena.h" namespace "penstock" nogil:
    cdef cppclass Arena:
        Arena()


cdef extern from "transform/column.h" nogil:
    ctypedef int (*penstock_kernel)(const void*, const void*, void*, int64_t)


cdef extern from "transform/program.h" namespace "penstock::transform" nogil:
    cdef cppclass ProgramSlot "penstock::transform::ProgramSpec::Slot":
        DataType dtype
        string name
        int32_t input
        int32_t output
        int32_t column
        int32_t width

    cdef cppclass ProgramRead "penstock::transform::ProgramSpec::Read":
        int32_t slot
        int32_t element

    cdef cppclass ByteVector "std::vector<std::byte>":
        void resize(size_t)
        void* data()

    cdef cppclass ProgramArray "penstock::transform::ProgramSpec::Array":
        DataType dtype
        ByteVector bytes

    cdef cppclass ProgramStep "penstock::transform::ProgramSpec::Step":
        string name
        penstock_kernel kernel
        vector[ProgramArray] state
        vector[ProgramRead] into "in"
        vector[int32_t] out
        int64_t scratch_bytes

    cdef cppclass ProgramOutput "penstock::transform::ProgramSpec::Output":
        string name
        DataType dtype
        int32_t width
        cbool flat

    cdef cppclass ProgramSpec:
        vector[TensorSpec] inputs
        vector[ProgramSlot] slots
        vector[ProgramStep] steps
        vector[ProgramOutput] outputs

    cdef cppclass CProgram "penstock::transform::Program":
        SpecsView inputs()
        SpecsView outputs()


cdef extern from "executor/executor.h" namespace "penstock::executor" nogil:
    cdef cppclass CExecutor "penstock::executor::Executor":
        SpecsView inputs()
        SpecsView outputs()
        string describe() except +


cdef extern from "executor/onnx.h" namespace "penstock::executor" nogil:
    cdef cppclass OnnxOptions:
        string library
        vector[string] providers
        cbool fallback
        int intra_op_threads
        int inter_op_threads
        string optimization


cdef extern from "executor/lightgbm.h" namespace "penstock::executor" nogil:
    cdef cppclass LightgbmOptions:
        string library
        string engine
        int start_iteration
        int num_iterations
        cbool raw_score


cdef extern from "executor/linear.h" namespace "penstock::executor" nogil:
    cdef cppclass LinearModel:
        vector[double] coefficients
        vector[double] intercepts
        string link
        DataType dtype


cdef extern from "executor/forest.h" namespace "penstock::executor" nogil:
    cdef cppclass ForestLink "penstock::executor::Link":
        string name
        double scale

    cdef cppclass Forest:
        int32_t features
        int32_t outputs
        int32_t values_a_leaf
        cbool inputs_are_fp32
        vector[double] base
        double divisor
        ForestLink link
        DataType dtype
        string origin


cdef extern from "bindings/forest_arrays.h" namespace "penstock::bindings" nogil:
    cdef cppclass IntegersView "std::span<const std::int32_t>":
        IntegersView()
        IntegersView(const int32_t*, size_t)

    cdef cppclass NumbersView "std::span<const double>":
        NumbersView()
        NumbersView(const double*, size_t)
        const double* data()
        size_t size()

    cdef cppclass FlagsView "std::span<const std::uint8_t>":
        FlagsView()
        FlagsView(const uint8_t*, size_t)

    cdef cppclass ForestArrays:
        IntegersView splits
        IntegersView outputs
        IntegersView features
        NumbersView thresholds
        FlagsView missing_left
        IntegersView left
        IntegersView right
        NumbersView covers
        IntegersView category_counts
        IntegersView categories
        NumbersView leaves
        NumbersView leaf_covers

    Status make_forest(const ForestArrays&, Forest&, shared_ptr[const CExecutor]*)


cdef extern from "engine/schedule.h" namespace "penstock::engine" nogil:
    cdef cppclass EngineSchedule "penstock::engine::Schedule":
        int64_t fixed_ns
        int64_t row_ns
        int64_t inline_rows
        cbool merges
        int64_t min_batch_rows
        int64_t max_batch_rows
        int64_t max_wait_ns
        int64_t queue_limit


cdef extern from "engine/version.h" namespace "penstock::engine" nogil:
    cdef cppclass Inputs:
        SpecsView specs()
        cbool takes_matrix()

    cdef cppclass VersionSpec "penstock::engine::Version::Spec":
        string model
        string version
        string digest
        shared_ptr[const CExecutor] executor
        shared_ptr[const CProgram] program
        cbool matrix_passthrough
        vector[string] empty_is_missing
        int64_t max_rows

    cdef cppclass VersionRuns "penstock::engine::Version::Runs":
        int64_t rows
        int64_t runs
        int64_t transform_ns
        int64_t execute_ns
        int64_t encode_ns

    cdef cppclass CVersion "penstock::engine::Version":
        const Inputs& inputs()
        SpecsView outputs()
        SpecsView optional_outputs()
        void set_schedule(const EngineSchedule&)
        vector[pair[string, int64_t]] counters() except +
        vector[VersionRuns] runs() except +


cdef extern from "net/options.h" namespace "penstock::net" nogil:
    cdef enum class Bridged:
        kUnary
        kStream

    cdef cppclass BridgedMap "penstock::TextMap<penstock::net::Bridged>":
        Bridged& operator[](string)

    cdef cppclass Options:
        string host
        uint16_t port
        string unix_socket
        unsigned loops
        unsigned pool_threads
        int64_t spin_ns
        size_t max_message_bytes
        uint32_t max_concurrent_streams
        size_t max_connections
        size_t max_buffered_bytes
        size_t max_total_buffered_bytes
        int64_t idle_timeout
        int64_t header_timeout
        int64_t body_timeout
        int64_t keepalive_interval
        int64_t keepalive_timeout
        int64_t stall_timeout
        BridgedMap bridged


cdef extern from "net/server.h" namespace "penstock::net" nogil:
    cdef cppclass BridgedCall:
        string method
        string message

    cdef cppclass Bridge:
        pass

    cdef cppclass CServer "penstock::net::Server":
        CServer(Options) except +
        uint16_t port()
        cbool drain(int64_t)
        void stop()
        const shared_ptr[Bridge]& bridge()
        vector[pair[string, int64_t]] counters() except +


cdef extern from "bindings/batch.h" namespace "penstock::bindings" nogil:
    cdef cppclass Batch:
        void add(string, DataType, const int64_t*, size_t, const void*) except +
        StringRef* add_strings(string, const int64_t*, size_t) except +
        Status fill(StringRef*, int64_t, ArrowArrayStream*, StringRef)
        void want(string) except +
        int64_t first_row


cdef extern from "bindings/serving.h" namespace "penstock::bindings" nogil:
    cdef cppclass Workspace:
        pass

    cdef cppclass Publication:
        Status add_model(const string&, const string&, const vector[pair[string, string]]&)
        void add_version(const string&, shared_ptr[CVersion], const string&) except +
        Status publish(CServer&, cbool)

    Status make_program(ProgramSpec&, shared_ptr[const CProgram]*)
    Status run_program(const CProgram&, const Batch&, int64_t, Arena&, vector[TensorView]*)
    Status make_onnx(const string&, const OnnxOptions&, shared_ptr[const CExecutor]*)
    Status make_lightgbm(const string&, const LightgbmOptions&, shared_ptr[const CExecutor]*)
    Status make_linear(LinearModel&, shared_ptr[const CExecutor]*)
    Status make_version(VersionSpec&, shared_ptr[CVersion]*)
    Status make_workspace(const shared_ptr[CVersion]&, unique_ptr[Workspace]*)
    Status run_version(Workspace&, const Batch&, vector[TensorView]*)
    void clear(Workspace&)
    Status infer_version(Workspace&, const char*, size_t, string*)
    Status start_server(CServer&)
    void answer_call(Bridge&, const BridgedCall&, Code, const string&, const string&)
    cbool take_call(Bridge&, int64_t, BridgedCall*) except +


cdef extern from "bindings/timing.h" namespace "penstock::bindings" nogil:
    Status time_program(const CProgram&, const Batch&, int64_t, int64_t*, int64_t)
    Status time_version(Workspace&, const Batch&, int64_t*, int64_t)
