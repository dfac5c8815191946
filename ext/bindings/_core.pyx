# distutils: language = c++
"""The compiled core, as Python sees it. The contract stands in src/penstock/_core.pyi."""

from cpython.bytes cimport PyBytes_AsString, PyBytes_GET_SIZE
from cpython.pycapsule cimport PyCapsule_GetPointer
from cpython.unicode cimport PyUnicode_AsUTF8AndSize
from cython.operator cimport dereference as deref
from libc.stdint cimport int32_t, int64_t, uint8_t, uintptr_t
from libc.string cimport memcpy
from libcpp cimport bool as cbool
from libcpp.memory cimport make_shared, shared_ptr, unique_ptr
from libcpp.pair cimport pair
from libcpp.string cimport string
from libcpp.utility cimport move
from libcpp.vector cimport vector

from bindings.arguments cimport nanoseconds, text
from bindings.data_plane cimport *
from bindings.status cimport Code, Status, check

import numpy as np

from penstock.errors import StatusError


# The protocol's datatypes by number (ext/base/datatype.h). NumPy has no bfloat16: its bits travel as uint16.
_NAMES = ("INVALID", "BOOL", "UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64",
          "FP16", "FP32", "FP64", "BYTES", "BF16")
_NUMBERS = {name: number for number, name in enumerate(_NAMES) if number}
_DTYPES = {
    1: np.dtype(np.bool_), 2: np.dtype(np.uint8), 3: np.dtype(np.uint16), 4: np.dtype(np.uint32),
    5: np.dtype(np.uint64), 6: np.dtype(np.int8), 7: np.dtype(np.int16), 8: np.dtype(np.int32),
    9: np.dtype(np.int64), 10: np.dtype(np.float16), 11: np.dtype(np.float32), 12: np.dtype(np.float64),
    14: np.dtype(np.uint16),
}
_NUMBER_OF_DTYPE = {dtype: number for number, dtype in reversed(_DTYPES.items())}


_FOREST_ARRAYS = {
    **dict.fromkeys(("splits", "outputs", "features", "left", "right", "category_counts", "categories"), np.int32),
    **dict.fromkeys(("thresholds", "covers", "leaves", "leaf_covers", "base"), np.float64),
    "missing_left": np.uint8,
}


cdef DataType datatype(object name) except *:
    number = _NUMBERS.get(name)
    if number is None:
        raise StatusError(3, f"{name!r} is no datatype; one of {', '.join(_NAMES[1:])} is expected")
    return <DataType><int32_t>number


cdef IntegersView integers(object array):
    cdef uintptr_t address = array.ctypes.data
    return IntegersView(<const int32_t*>address, <size_t>array.size)


cdef NumbersView numbers(object array):
    cdef uintptr_t address = array.ctypes.data
    return NumbersView(<const double*>address, <size_t>array.size)


cdef FlagsView flags(object array):
    cdef uintptr_t address = array.ctypes.data
    return FlagsView(<const uint8_t*>address, <size_t>array.size)


cdef list specs_of(SpecsView specs):
    cdef size_t i
    result = []
    for i in range(specs.size()):
        result.append((specs[i].name.decode("utf-8"), _NAMES[<int32_t>specs[i].dtype], tuple(specs[i].shape)))
    return result


cdef class _Kept:
    """A batch of Python's arrays, and the objects that own their memory."""

    cdef Batch batch
    cdef list owners
    cdef StringRef missing  # what stands for a missing string
    cdef int64_t rows  # of what was added last, as is `number`
    cdef int32_t number

    def __cinit__(self):
        self.owners = []
        self.rows = -1
        self.number = 0

    cdef int add(self, object name, object column, object expected=None) except -1:
        """`expected` is the input's datatype where it is known: an array's dtype alone cannot say BF16."""
        if hasattr(column, "__arrow_c_stream__"):
            return self.add_arrow(name, column)
        if not isinstance(column, np.ndarray) or column.dtype not in _NUMBER_OF_DTYPE:
            return self.add_strings(name, column)
        number = _NUMBER_OF_DTYPE[column.dtype]
        if expected == "BF16" and column.dtype == _DTYPES[_NUMBERS["BF16"]]:
            number = _NUMBERS["BF16"]
        return self.add_numbers(name, column, number)

    cdef int add_numbers(self, object name, object column, int32_t number) except -1:
        array = np.ascontiguousarray(column).reshape(column.shape)
        self.owners.append(array)
        cdef vector[int64_t] shape = array.shape
        cdef uintptr_t address = array.ctypes.data
        self.number = number
        self.batch.add(text(name), <DataType>number, shape.data(), shape.size(), <const void*>address)
        self.rows = shape[0] if shape.size() else 1
        return 0

    cdef int add_strings(self, object name, object column) except -1:
        cdef vector[int64_t] shape
        if isinstance(column, np.ndarray):
            shape = column.shape
            elements = column.ravel().tolist()
        else:
            elements = list(column)
            shape.push_back(len(elements))
        self.owners.append(elements)
        self.number = <int32_t>DataType.kBytes
        cdef StringRef* strings = self.batch.add_strings(text(name), shape.data(), shape.size())
        cdef Py_ssize_t size = 0
        cdef Py_ssize_t i = 0
        for element in elements:
            if isinstance(element, str):
                strings[i].data = PyUnicode_AsUTF8AndSize(element, &size)
                strings[i].size = size
            elif isinstance(element, bytes):
                strings[i].data = PyBytes_AsString(element)
                strings[i].size = PyBytes_GET_SIZE(element)
            elif element is None:
                strings[i] = self.missing
            else:
                raise StatusError(3, f"input {name!r}: element {i} is a {type(element).__name__}; str, bytes or None "
                                     f"is expected in a column that is not numeric")
            i += 1
        self.rows = shape[0] if shape.size() else 1
        return 0

    cdef int add_arrow(self, object name, object column) except -1:
        cdef vector[int64_t] shape = column.shape
        cdef int64_t count = len(column)
        capsule = column.__arrow_c_stream__()
        self.owners.append(capsule)
        cdef ArrowArrayStream* stream = <ArrowArrayStream*>PyCapsule_GetPointer(capsule, "arrow_array_stream")
        self.number = <int32_t>DataType.kBytes
        cdef StringRef* strings = self.batch.add_strings(text(name), shape.data(), shape.size())
        cdef Status status
        with nogil:
            status = self.batch.fill(strings, count, stream, self.missing)
        if not status.is_ok():
            raise StatusError(<int>status.code(), f"input {name!r}: {status.message().decode('utf-8', 'replace')}")
        self.rows = count
        return 0


cdef object array_of(const TensorView& tensor):
    cdef size_t i
    cdef int64_t e
    cdef const StringRef* strings
    shape = tuple([tensor.shape[i] for i in range(tensor.shape.size())])
    number = <int32_t>tensor.dtype
    if number == <int32_t>DataType.kBytes:
        array = np.empty(tensor.elements, dtype=object)
        strings = <const StringRef*>tensor.data
        for e in range(tensor.elements):
            array[e] = strings[e].data[: strings[e].size] if strings[e].data != NULL else None
        return array.reshape(shape)
    array = np.empty(shape, dtype=_DTYPES[number])
    cdef uintptr_t address = array.ctypes.data
    if tensor.byte_size() > 0:
        memcpy(<void*>address, tensor.data, tensor.byte_size())
    return array


cdef dict arrays_of(const vector[TensorView]& tensors):
    cdef size_t i
    arrays = {}
    for i in range(tensors.size()):
        name = tensors[i].name.data()[: tensors[i].name.size()].decode("utf-8")
        arrays[name] = array_of(tensors[i])
    return arrays


def usable_cores():
    return count_usable_cores()


cdef class Program:
    """A compiled list of transform steps. Immutable, usable from any thread."""

    cdef shared_ptr[const CProgram] program

    def __init__(self, *, inputs, slots, steps, outputs):
        cdef ProgramSpec spec
        cdef TensorSpec column
        cdef ProgramSlot slot
        cdef ProgramStep step
        cdef ProgramRead one
        cdef ProgramArray array
        cdef ProgramOutput output
        cdef uintptr_t address
        for name, dtype in inputs:
            column.name = text(name)
            column.dtype = datatype(dtype)
            column.shape = [-1]
            spec.inputs.push_back(column)
        for name, dtype, at_input, at_output, at_column, width in slots:
            slot.dtype = datatype(dtype)
            slot.name = text(name)
            slot.input = at_input
            slot.output = at_output
            slot.column = at_column
            slot.width = width
            spec.slots.push_back(slot)
        for name, kernel, state, read, written, scratch in steps:
            step.name = text(name)
            address = kernel
            step.kernel = <penstock_kernel>address
            step.state.clear()
            for values in state:
                values = np.ascontiguousarray(values)
                if values.dtype not in _NUMBER_OF_DTYPE:
                    raise StatusError(3, f"step {name!r}: a state array has dtype {values.dtype}; numbers are expected")
                array.dtype = <DataType><int32_t>_NUMBER_OF_DTYPE[values.dtype]
                array.bytes.resize(values.nbytes)
                address = values.ctypes.data
                if values.nbytes:
                    memcpy(array.bytes.data(), <const void*>address, values.nbytes)
                step.state.push_back(array)
            step.into.clear()
            for at_slot, element in read:
                one.slot = at_slot
                one.element = element
                step.into.push_back(one)
            step.out = written
            step.scratch_bytes = scratch
            spec.steps.push_back(step)
        for name, dtype, width, flat in outputs:
            output.name = text(name)
            output.dtype = datatype(dtype)
            output.width = width
            output.flat = flat
            spec.outputs.push_back(output)
        check(make_program(spec, &self.program))

    @property
    def inputs(self):
        return specs_of(deref(self.program).inputs())

    @property
    def outputs(self):
        return specs_of(deref(self.program).outputs())

    cdef int64_t keep(self, _Kept kept, columns) except -1:
        """Takes the program's inputs from `columns`; gives their rows."""
        rows = None
        for name, dtype, _ in self.inputs:
            if name not in columns:
                raise StatusError(3, f"column {name!r} is missing")
            kept.add(name, columns[name], dtype)
            if rows is not None and kept.rows != rows:
                raise StatusError(3, f"column {name!r} has {kept.rows} rows, the columns before it {rows}")
            rows = kept.rows
            came = _NAMES[kept.number]
            if came != dtype:
                raise StatusError(3, f"column {name!r}: {came} came, {dtype} is expected")
        return rows or 0

    def run(self, columns):
        cdef _Kept kept = _Kept()
        cdef Arena arena
        cdef vector[TensorView] out
        cdef Status status
        cdef int64_t count = self.keep(kept, columns)
        with nogil:
            status = run_program(deref(self.program), kept.batch, count, arena, &out)
        check(status)
        return arrays_of(out)

    def durations(self, columns, int64_t runs):
        cdef _Kept kept = _Kept()
        cdef Status status
        cdef int64_t rows = self.keep(kept, columns)
        taken = np.empty(runs, np.int64)
        cdef uintptr_t address = taken.ctypes.data
        with nogil:
            status = time_program(deref(self.program), kept.batch, rows, <int64_t*>address, runs)
        check(status)
        return taken


cdef class Executor:
    """A loaded model."""

    cdef shared_ptr[const CExecutor] executor

    @staticmethod
    def onnx(path, *, library, providers=("cpu",), fallback=False, intra_op_threads=1, inter_op_threads=1,
             optimization="all"):
        cdef OnnxOptions options
        cdef string file = text(str(path))
        cdef Executor made = Executor.__new__(Executor)
        cdef Status status
        options.library = text(str(library))
        options.providers = [p.encode("utf-8") for p in providers]
        options.fallback = fallback
        options.intra_op_threads = intra_op_threads
        options.inter_op_threads = inter_op_threads
        options.optimization = text(optimization)
        with nogil:
            status = make_onnx(file, options, &made.executor)
        check(status)
        return made

    @staticmethod
    def lightgbm(path, *, library="", engine="auto", start_iteration=0, num_iterations=-1, raw_score=False):
        cdef LightgbmOptions options
        cdef string file = text(str(path))
        cdef Executor made = Executor.__new__(Executor)
        cdef Status status
        options.library = text(str(library))
        options.engine = text(engine)
        options.start_iteration = start_iteration
        options.num_iterations = num_iterations
        options.raw_score = raw_score
        with nogil:
            status = make_lightgbm(file, options, &made.executor)
        check(status)
        return made

    @staticmethod
    def linear(coefficients, intercepts, *, link, dtype="FP64"):
        weights = np.ascontiguousarray(coefficients, np.float64)
        offsets = np.ascontiguousarray(intercepts, np.float64)
        if weights.ndim != 2 or offsets.ndim != 1 or len(weights) != len(offsets):
            raise StatusError(3, f"coefficients have the shape {list(weights.shape)}, intercepts {list(offsets.shape)}; "
                                 f"[outputs, features] and [outputs] are expected")
        cdef LinearModel model
        cdef Executor made = Executor.__new__(Executor)
        cdef uintptr_t address = weights.ctypes.data
        model.coefficients.assign(<const double*>address, <const double*>address + <size_t>weights.size)
        address = offsets.ctypes.data
        model.intercepts.assign(<const double*>address, <const double*>address + <size_t>offsets.size)
        model.link = text(link)
        model.dtype = datatype(dtype)
        check(make_linear(model, &made.executor))
        return made

    @staticmethod
    def forest(arrays, *, features, link, origin, scale=1.0, divisor=1.0, single_precision=False, dtype="FP64"):
        cdef Forest model
        cdef ForestArrays trees
        cdef Executor made = Executor.__new__(Executor)
        cdef Status status
        kept = {name: np.ascontiguousarray(arrays[name], of) for name, of in _FOREST_ARRAYS.items()}
        if kept["leaves"].ndim != 2:
            raise StatusError(3, f"leaves have the shape {list(kept['leaves'].shape)}; [leaves, values] is expected")
        trees.splits = integers(kept["splits"])
        trees.outputs = integers(kept["outputs"])
        trees.features = integers(kept["features"])
        trees.thresholds = numbers(kept["thresholds"])
        trees.missing_left = flags(kept["missing_left"])
        trees.left = integers(kept["left"])
        trees.right = integers(kept["right"])
        trees.covers = numbers(kept["covers"])
        trees.category_counts = integers(kept["category_counts"])
        trees.categories = integers(kept["categories"])
        trees.leaves = numbers(kept["leaves"])
        trees.leaf_covers = numbers(kept["leaf_covers"])
        cdef NumbersView base = numbers(kept["base"])
        model.base.assign(base.data(), base.data() + base.size())
        model.features = features
        model.outputs = len(kept["base"])
        model.values_a_leaf = kept["leaves"].shape[1]
        model.inputs_are_fp32 = single_precision
        model.divisor = divisor
        model.link.name = text(link)
        model.link.scale = scale
        model.dtype = datatype(dtype)
        model.origin = text(origin)
        with nogil:
            status = make_forest(trees, model, &made.executor)
        check(status)
        return made

    def __dealloc__(self):
        with nogil:
            self.executor.reset()

    @property
    def inputs(self):
        return specs_of(deref(self.executor).inputs())

    @property
    def outputs(self):
        return specs_of(deref(self.executor).outputs())

    @property
    def description(self):
        return deref(self.executor).describe().decode("utf-8")


cdef class _Space:
    """A workspace between two runs."""

    cdef unique_ptr[Workspace] workspace


cdef class Version:
    """One servable version: inputs, optional program, executor."""

    cdef shared_ptr[CVersion] version
    cdef dict datatypes  # of the inputs, by name
    cdef list spaces  # that no thread uses now

    def __init__(self, *, model, version, digest, Executor executor, Program program=None, matrix_passthrough=False,
                 empty_is_missing=(), max_rows=0):
        cdef VersionSpec spec
        spec.model = text(model)
        spec.version = text(version)
        spec.digest = text(digest)
        spec.executor = executor.executor
        if program is not None:
            spec.program = program.program
        spec.matrix_passthrough = matrix_passthrough
        spec.empty_is_missing = [name.encode("utf-8") for name in empty_is_missing]
        spec.max_rows = max_rows
        self.spaces = []
        check(make_version(spec, &self.version))
        self.datatypes = {name: dtype for name, dtype, _ in self.inputs}

    def __dealloc__(self):
        with nogil:
            self.version.reset()

    @property
    def inputs(self):
        return specs_of(deref(self.version).inputs().specs())

    @property
    def outputs(self):
        return specs_of(deref(self.version).outputs())

    @property
    def optional_outputs(self):
        return specs_of(deref(self.version).optional_outputs())

    @property
    def takes_matrix(self):
        return deref(self.version).inputs().takes_matrix()

    def set_schedule(self, *, fixed_ns, row_ns, inline_rows, merges, min_batch_rows, max_batch_rows, max_wait_ns, queue_limit):
        cdef EngineSchedule schedule
        schedule.fixed_ns = fixed_ns
        schedule.row_ns = row_ns
        schedule.inline_rows = inline_rows
        schedule.merges = merges
        schedule.min_batch_rows = min_batch_rows
        schedule.max_batch_rows = max_batch_rows
        schedule.max_wait_ns = max_wait_ns
        schedule.queue_limit = queue_limit
        deref(self.version).set_schedule(schedule)

    cdef _Space space(self):
        if self.spaces:
            return self.spaces.pop()
        cdef _Space space = _Space()
        check(make_workspace(self.version, &space.workspace))
        return space

    def infer(self, bytes request not None):
        cdef _Space space = self.space()
        cdef string reply
        cdef Status status
        cdef const char* message = PyBytes_AsString(request)
        cdef size_t size = PyBytes_GET_SIZE(request)
        with nogil:
            status = infer_version(deref(space.workspace), message, size, &reply)
        self.spaces.append(space)
        check(status)
        return <bytes>reply

    def run(self, inputs, outputs=(), *, first_row=0):
        cdef _Kept kept = _Kept()
        kept.missing.data = b""
        kept.batch.first_row = first_row
        for name, column in inputs.items():
            kept.add(name, column, self.datatypes.get(name))
        for name in outputs:
            kept.batch.want(text(name))
        cdef _Space space = self.space()
        cdef vector[TensorView] out
        cdef Status status
        with nogil:
            status = run_version(deref(space.workspace), kept.batch, &out)
        try:
            check(status)
            return arrays_of(out)
        finally:
            with nogil:
                clear(deref(space.workspace))
            self.spaces.append(space)

    def durations(self, inputs, int64_t runs):
        cdef _Kept kept = _Kept()
        for name, column in inputs.items():
            kept.add(name, column, self.datatypes.get(name))
        cdef _Space space = self.space()
        cdef Status status
        taken = np.empty(runs, np.int64)
        cdef uintptr_t address = taken.ctypes.data
        with nogil:
            status = time_version(deref(space.workspace), kept.batch, <int64_t*>address, runs)
            clear(deref(space.workspace))
        self.spaces.append(space)
        check(status)
        return taken

    def counters(self):
        return {name.decode("utf-8"): count for name, count in deref(self.version).counters()}

    def runs(self):
        return [
            (size.rows, size.runs, size.transform_ns, size.execute_ns, size.encode_ns)
            for size in deref(self.version).runs()
        ]


cdef class Call:
    """A request that the data plane hands to Python."""

    cdef shared_ptr[Bridge] bridge
    cdef BridgedCall call
    cdef cbool open  # taken, and not answered

    def __dealloc__(self):
        cdef string none
        cdef string message = b"the control plane dropped this call without an answer"
        if self.open:
            with nogil:
                answer_call(deref(self.bridge), self.call, Code.kInternal, message, none)

    @property
    def method(self):
        return self.call.method.decode("utf-8")

    @property
    def message(self):
        return <bytes>self.call.message

    def finish(self, int status, str message, bytes reply=None):
        cdef string reply_bytes
        cdef string message_bytes
        if not self.open:
            raise StatusError(9, f"the call of {self.method} is answered already; each is answered once")
        if not 0 <= status <= 16:
            raise StatusError(3, f"{status} is no gRPC status; 0 to 16 are expected")
        if status:
            message_bytes = message.encode("utf-8", "replace")  # a lone surrogate must not cost the caller its answer
        elif reply is not None:
            reply_bytes = reply
        self.open = False
        with nogil:
            answer_call(deref(self.bridge), self.call, <Code><int32_t>status, message_bytes, reply_bytes)


cdef class Server:
    """The data plane."""

    cdef unique_ptr[CServer] server

    def __init__(self, options):
        cdef Options made
        given = dict(options)
        made.host = text(given.pop("host", "127.0.0.1"))
        made.port = given.pop("port", 8001)
        made.unix_socket = text(given.pop("unix_socket", ""))
        made.loops = given.pop("loops", 0)
        made.pool_threads = given.pop("pool_threads", 0)
        made.spin_ns = nanoseconds(given.pop("spin_us", 50) * 1e-6)
        made.max_message_bytes = given.pop("max_message_bytes", made.max_message_bytes)
        made.max_concurrent_streams = given.pop("max_concurrent_streams", made.max_concurrent_streams)
        made.max_connections = given.pop("max_connections", made.max_connections)
        made.max_buffered_bytes = given.pop("max_buffered_bytes", made.max_buffered_bytes)
        made.max_total_buffered_bytes = given.pop("max_total_buffered_bytes", made.max_total_buffered_bytes)
        made.idle_timeout = nanoseconds(given.pop("idle_timeout_s", 3600))
        made.header_timeout = nanoseconds(given.pop("header_timeout_s", 10))
        made.body_timeout = nanoseconds(given.pop("body_timeout_s", 60))
        made.keepalive_interval = nanoseconds(given.pop("keepalive_interval_s", 60))
        made.keepalive_timeout = nanoseconds(given.pop("keepalive_timeout_s", 20))
        made.stall_timeout = nanoseconds(given.pop("stall_timeout_s", 60))
        for path, mode in given.pop("bridged", {}).items():
            if mode not in ("unary", "stream"):
                raise StatusError(3, f"bridged method {path!r} is {mode!r}; 'unary' or 'stream' is expected")
            made.bridged[text(path)] = Bridged.kUnary if mode == "unary" else Bridged.kStream
        if given:
            raise StatusError(3, f"unknown options: {', '.join(sorted(given))}")
        self.server.reset(new CServer(move(made)))

    def __dealloc__(self):
        with nogil:
            self.server.reset()

    def start(self):
        cdef Status status
        with nogil:
            status = start_server(deref(self.server))
        check(status)

    @property
    def port(self):
        return deref(self.server).port()

    def publish(self, models, ready):
        cdef Publication publication
        cdef vector[pair[string, string]] aliases
        cdef shared_ptr[CVersion] version
        cdef cbool is_ready = ready
        cdef Status status
        for name, stable, names, versions in models:
            for version_name, hosted in versions.items():
                version.reset()
                if isinstance(hosted, Version):
                    version = (<Version>hosted).version
                    publication.add_version(text(version_name), version, string())
                else:
                    publication.add_version(text(version_name), version, text(hosted))
            aliases.clear()
            for alias, target in names.items():
                aliases.push_back(pair[string, string](text(alias), text(target)))
            check(publication.add_model(text(name), text(stable), aliases))
        version.reset()
        with nogil:
            status = publication.publish(deref(self.server), is_ready)
        check(status)

    def take(self, timeout):
        cdef int64_t wait = nanoseconds(timeout)
        cdef Call call = Call()
        cdef cbool taken
        call.bridge = deref(self.server).bridge()
        with nogil:
            taken = take_call(deref(call.bridge), wait, &call.call)
        call.open = taken
        return call if taken else None

    def drain(self, timeout):
        cdef int64_t wait = nanoseconds(timeout)
        cdef cbool drained
        with nogil:
            drained = deref(self.server).drain(wait)
        return drained

    def stop(self):
        with nogil:
            deref(self.server).stop()

    def counters(self):
        return {name.decode("utf-8"): count for name, count in deref(self.server).counters()}
