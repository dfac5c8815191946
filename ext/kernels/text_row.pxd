# One row of a block while its n-grams are counted: doubles, which are the block's own memory where it is FP64 and scratch memory where
# it is FP32.

from libc.math cimport fabs, sqrt
from libc.stdint cimport int64_t
from libc.string cimport memset

from kernels.column cimport FP64, penstock_column

cdef enum Norm:
    NO_NORM = 0
    L1 = 1
    L2 = 2


# Zeros. `scratch` has room for a row of doubles.
cdef inline double* open_row(const penstock_column* block, int64_t row, void* scratch) noexcept nogil:
    cdef double* values = <double*>scratch
    if block.dtype == FP64:
        values = <double*>(<char*>block.data + row * block.stride)
    memset(values, 0, <size_t>block.width * sizeof(double))
    return values


cdef inline void close_row(const penstock_column* block, int64_t row, const double* values) noexcept nogil:
    cdef float* narrow = <float*>(<char*>block.data + row * block.stride)
    cdef int64_t i
    if block.dtype != FP64:
        for i in range(block.width):
            narrow[i] = <float>values[i]


# Four sums beside each other: additions need not wait for one another.
cdef inline double _length(const double* values, int64_t width, bint squares) noexcept nogil:
    cdef double[4] sums
    cdef int64_t i = 0
    cdef int lane
    memset(sums, 0, sizeof(sums))
    while i < width:
        for lane in range(4):
            if i + lane < width:
                sums[lane] += values[i + lane] * values[i + lane] if squares else fabs(values[i + lane])
        i += 4
    sums[0] = (sums[0] + sums[1]) + (sums[2] + sums[3])
    return sqrt(sums[0]) if squares else sums[0]


# Divides the row by its length, unless that is 0.
cdef inline void normalize_row(double* values, int64_t width, int norm) noexcept nogil:
    cdef double length
    cdef int64_t i
    if norm == NO_NORM:
        return
    length = _length(values, width, norm == L2)
    if length != 0.0:
        for i in range(width):
            values[i] /= length
