# The kernel ABI (ext/transform/column.h) and the two ways across it for numbers: load() takes rows of a column of any
# numeric type as doubles, store() puts doubles into a column of FP32 or FP64. Kernels compute on doubles.

from libc.math cimport NAN
from libc.stdint cimport int8_t, int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset


cdef extern from "transform/column.h" nogil:
    ctypedef struct penstock_string:
        const char* data
        int64_t size

    ctypedef struct penstock_column:
        void* data
        int64_t stride
        int32_t dtype
        int32_t width

    ctypedef struct penstock_array:
        const void* data
        int64_t size
        int32_t dtype

    ctypedef struct penstock_state:
        const penstock_array* arrays
        int64_t count
        int64_t inputs
        int64_t outputs

    enum:
        ROWS "PENSTOCK_ROWS"  # the most rows of one call


cdef extern from "base/datatype.h" nogil:
    const int32_t BOOL "static_cast<int32_t>(penstock::DataType::kBool)"
    const int32_t UINT8 "static_cast<int32_t>(penstock::DataType::kUint8)"
    const int32_t UINT16 "static_cast<int32_t>(penstock::DataType::kUint16)"
    const int32_t UINT32 "static_cast<int32_t>(penstock::DataType::kUint32)"
    const int32_t UINT64 "static_cast<int32_t>(penstock::DataType::kUint64)"
    const int32_t INT8 "static_cast<int32_t>(penstock::DataType::kInt8)"
    const int32_t INT16 "static_cast<int32_t>(penstock::DataType::kInt16)"
    const int32_t INT32 "static_cast<int32_t>(penstock::DataType::kInt32)"
    const int32_t INT64 "static_cast<int32_t>(penstock::DataType::kInt64)"
    const int32_t FP16 "static_cast<int32_t>(penstock::DataType::kFp16)"
    const int32_t FP32 "static_cast<int32_t>(penstock::DataType::kFp32)"
    const int32_t FP64 "static_cast<int32_t>(penstock::DataType::kFp64)"
    const int32_t BYTES "static_cast<int32_t>(penstock::DataType::kBytes)"
    const int32_t BF16 "static_cast<int32_t>(penstock::DataType::kBf16)"


ctypedef fused plain:
    int8_t
    int16_t
    int32_t
    int64_t
    uint8_t
    uint16_t
    uint32_t
    uint64_t
    float
    double

ctypedef fused floating:
    float
    double


cdef inline void _widen(const plain* first, int64_t stride, int64_t n, double* values) noexcept nogil:
    cdef int64_t i
    if stride == sizeof(plain):
        for i in range(n):
            values[i] = <double>first[i]
        return
    for i in range(n):
        values[i] = <double>(<const plain*>(<const char*>first + i * stride))[0]


cdef inline double _from_bits(uint32_t bits) noexcept nogil:
    cdef float value
    memcpy(&value, &bits, sizeof(float))
    return <double>value


# IEEE 754 binary16: 1 sign bit, 5 of exponent (bias 15), 10 of fraction.
cdef inline double _from_half(uint16_t half) noexcept nogil:
    cdef uint32_t sign = <uint32_t>(half >> 15) << 31
    cdef uint32_t exponent = (half >> 10) & 0x1F
    cdef uint32_t fraction = half & 0x3FF
    if exponent == 0x1F:
        return _from_bits(sign | 0x7F800000 | (fraction << 13))
    if exponent == 0:  # zero and subnormals: fraction * 2^-24
        return (-5.9604644775390625e-08 if sign else 5.9604644775390625e-08) * <double>fraction
    return _from_bits(sign | ((exponent + 112) << 23) | (fraction << 13))


# Rows start..start+n of a numeric column as doubles; NaN where the column's type is none of the numeric ones.
cdef inline void load(const penstock_column* column, int64_t start, int64_t n, double* values) noexcept nogil:
    cdef int32_t dtype = column.dtype
    cdef int64_t stride = column.stride
    cdef const char* first = <const char*>column.data + start * stride
    cdef int64_t i
    if dtype == FP64:
        _widen(<const double*>first, stride, n, values)
    elif dtype == FP32:
        _widen(<const float*>first, stride, n, values)
    elif dtype == INT64:
        _widen(<const int64_t*>first, stride, n, values)
    elif dtype == INT32:
        _widen(<const int32_t*>first, stride, n, values)
    elif dtype == BOOL:
        for i in range(n):
            values[i] = 1.0 if first[i * stride] != 0 else 0.0
    elif dtype == INT16:
        _widen(<const int16_t*>first, stride, n, values)
    elif dtype == INT8:
        _widen(<const int8_t*>first, stride, n, values)
    elif dtype == UINT64:
        _widen(<const uint64_t*>first, stride, n, values)
    elif dtype == UINT32:
        _widen(<const uint32_t*>first, stride, n, values)
    elif dtype == UINT16:
        _widen(<const uint16_t*>first, stride, n, values)
    elif dtype == UINT8:
        _widen(<const uint8_t*>first, stride, n, values)
    elif dtype == FP16:
        for i in range(n):
            values[i] = _from_half((<const uint16_t*>(first + i * stride))[0])
    elif dtype == BF16:  # the upper half of a binary32
        for i in range(n):
            values[i] = _from_bits(<uint32_t>(<const uint16_t*>(first + i * stride))[0] << 16)
    else:
        for i in range(n):
            values[i] = NAN


cdef inline void _narrow(floating* first, int64_t stride, int64_t n, const double* values) noexcept nogil:
    cdef int64_t i
    for i in range(n):
        (<floating*>(<char*>first + i * stride))[0] = <floating>values[i]


# True where store() can write the columns: all are FP32 or FP64, and one element wide.
cdef inline bint storable(const penstock_column* columns, int64_t count) noexcept nogil:
    cdef int64_t c
    for c in range(count):
        if (columns[c].dtype != FP64 and columns[c].dtype != FP32) or columns[c].width != 1:
            return False
    return True


# True where clear_row() and set_element() can write a block of columns: FP32 or FP64, of any width.
cdef inline bint settable(const penstock_column* block) noexcept nogil:
    return (block.dtype == FP64 or block.dtype == FP32) and block.width > 0


# Zeros in all of a block's columns, in one row.
cdef inline void clear_row(const penstock_column* block, int64_t row) noexcept nogil:
    memset(<char*>block.data + row * block.stride, 0, <size_t>block.width * (8 if block.dtype == FP64 else 4))


# One of a block's columns, 0 <= element < width, in one row.
cdef inline void set_element(const penstock_column* block, int64_t row, int64_t element, double value) noexcept nogil:
    cdef char* first = <char*>block.data + row * block.stride
    if block.dtype == FP64:
        (<double*>first)[element] = value
    else:
        (<float*>first)[element] = <float>value


# Doubles into rows start..start+n of a column that is storable().
cdef inline void store(penstock_column* column, int64_t start, int64_t n, const double* values) noexcept nogil:
    cdef char* first = <char*>column.data + start * column.stride
    if column.dtype == FP64:
        _narrow(<double*>first, column.stride, n, values)
    else:
        _narrow(<float*>first, column.stride, n, values)


# The elements of a state array, or null where it is missing or has another type or size: the caller then refuses.
cdef inline const void* elements(const penstock_state* state, int64_t index, int32_t dtype, int64_t size) noexcept nogil:
    if index >= state.count or state.arrays[index].dtype != dtype or state.arrays[index].size != size:
        return NULL
    return state.arrays[index].data


# Doubles into one of a block's columns, 0 <= element < width, rows 0..n, where the block is settable().
cdef inline void store_element(const penstock_column* block, int64_t element, int64_t n, const double* values) noexcept nogil:
    if block.dtype == FP64:
        _narrow(<double*>block.data + element, block.stride, n, values)
    else:
        _narrow(<float*>block.data + element, block.stride, n, values)
