"""Numbers to integers and booleans."""

from libc.math cimport fabs, trunc
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t, uintptr_t

from kernels.column cimport (BOOL, BYTES, INT8, INT16, INT32, INT64, ROWS, UINT8, UINT16, UINT32, UINT64, elements,
                             load, penstock_column, penstock_state)

# What can be cast to.
DATATYPES = {
    "BOOL": BOOL,
    "INT8": INT8,
    "INT16": INT16,
    "INT32": INT32,
    "INT64": INT64,
    "UINT8": UINT8,
    "UINT16": UINT16,
    "UINT32": UINT32,
    "UINT64": UINT64,
}


# Bits of an integer type, or 0 for another one.
cdef inline int _bits(int64_t dtype) noexcept nogil:
    if dtype == INT8 or dtype == UINT8:
        return 8
    if dtype == INT16 or dtype == UINT16:
        return 16
    if dtype == INT32 or dtype == UINT32:
        return 32
    if dtype == INT64 or dtype == UINT64:
        return 64
    return 0


cdef inline bint _is_signed(int64_t dtype) noexcept nogil:
    return dtype == INT8 or dtype == INT16 or dtype == INT32 or dtype == INT64


# Sign and size of a number without its fraction; False where 64 bits do not hold it, or it is missing.
cdef inline bint _whole(double value, bint* negative, uint64_t* size) noexcept nogil:
    cdef double whole = fabs(trunc(value))
    if not whole < 18446744073709551616.0:
        return False
    negative[0] = value < 0.0
    size[0] = <uint64_t>whole
    return True


# One numeric input, one output of an integer type or BOOL. State: that type, INT32 [1]. Refuses a missing value and
# one that the type does not hold.
cdef int cast(const void* state_, const penstock_column* inputs, penstock_column* outputs, int64_t rows) noexcept nogil:
    cdef const penstock_state* state = <const penstock_state*>state_
    cdef const int32_t* datatype = <const int32_t*>elements(state, 0, INT32, 1)
    cdef double[ROWS] values
    cdef const char* source
    cdef char* target
    cdef uint64_t size, largest, least  # of the type, and the size of its least number
    cdef bint negative, fits
    cdef int64_t row, signed_value
    cdef int bits
    if datatype == NULL or state.inputs != 1 or state.outputs != 1 or datatype[0] != outputs[0].dtype:
        return 1
    if outputs[0].width != 1 or inputs[0].dtype == BYTES:
        return 1
    bits = _bits(outputs[0].dtype)
    if bits == 0 and outputs[0].dtype != BOOL:
        return 1
    least = (<uint64_t>1 << (bits - 1)) if _is_signed(outputs[0].dtype) else 0
    largest = least - 1 if least > 0 else <uint64_t>0xFFFFFFFFFFFFFFFF >> (64 - bits if bits > 0 else 0)
    load(&inputs[0], 0, rows, values)
    for row in range(rows):
        source = <const char*>inputs[0].data + row * inputs[0].stride
        target = <char*>outputs[0].data + row * outputs[0].stride
        if bits == 0:
            if values[row] != values[row]:
                return <int>(row + 1)
            (<uint8_t*>target)[0] = 1 if values[row] != 0.0 else 0
            continue
        if inputs[0].dtype == INT64:  # which doubles do not hold
            signed_value = (<const int64_t*>source)[0]
            negative = signed_value < 0
            size = 0 - <uint64_t>signed_value if negative else <uint64_t>signed_value
            fits = True
        elif inputs[0].dtype == UINT64:
            negative = False
            size = (<const uint64_t*>source)[0]
            fits = True
        else:
            fits = _whole(values[row], &negative, &size)
        if not fits or size > (least if negative else largest):
            return <int>(row + 1)
        size = 0 - size if negative else size
        if bits == 8:
            (<uint8_t*>target)[0] = <uint8_t>size
        elif bits == 16:
            (<uint16_t*>target)[0] = <uint16_t>size
        elif bits == 32:
            (<uint32_t*>target)[0] = <uint32_t>size
        else:
            (<uint64_t*>target)[0] = size
    return 0


KERNELS = {"cast": <uintptr_t><void*>cast}
