# One row of a block while its n-grams are counted. Blocks are wide and a text touches few of their columns: it counts in scratch memory
# and notes what it touches, so that beyond clearing the block a row costs what its text does and not the width.

from libc.math cimport fabs, sqrt
from libc.stdint cimport int32_t, int64_t, uint64_t
from libc.string cimport memcpy, memset

from kernels.column cimport clear_row, penstock_column, set_element

cdef extern from *:
    int __builtin_ctzll(uint64_t word) noexcept nogil

cdef enum Norm:
    NO_NORM = 0
    L1 = 1
    L2 = 2


ctypedef struct TextRow:
    double* counts     # [width]; those of columns that are not touched are anything
    uint64_t* touched  # a bit for each column
    int32_t* columns   # [width], once collected: the touched ones, ascending
    int64_t words      # of touched
    int64_t size       # of columns


# The scratch memory of a row.
cdef inline int64_t row_bytes(int64_t width) noexcept nogil:
    return 12 * width + 8 * ((width + 63) >> 6)


# A row without touched columns, in scratch memory of row_bytes() that is aligned to 8 bytes.
cdef inline void open_row(TextRow* row, int64_t width, void* scratch) noexcept nogil:
    row.words = (width + 63) >> 6
    row.counts = <double*>scratch
    row.touched = <uint64_t*>(row.counts + width)
    row.columns = <int32_t*>(row.touched + row.words)
    row.size = 0
    memset(row.touched, 0, <size_t>row.words * sizeof(uint64_t))


# The count so far of a column, 0 <= column < width; the caller writes the next one to `counts`. Without a branch: whether a column was
# touched before is what nothing predicts.
cdef inline double touch(TextRow* row, int64_t column) noexcept nogil:
    cdef uint64_t* word = row.touched + (column >> 6)
    cdef uint64_t was_touched = word[0] >> (column & 63) & 1
    cdef uint64_t bits
    cdef double count
    word[0] |= <uint64_t>1 << (column & 63)
    memcpy(&bits, row.counts + column, sizeof(bits))
    bits &= 0 - was_touched
    memcpy(&count, &bits, sizeof(count))
    return count


# Lists the touched columns, and forgets their bits for the next row.
cdef inline void collect(TextRow* row) noexcept nogil:
    cdef uint64_t bits
    cdef int64_t word
    row.size = 0
    for word in range(row.words):
        bits = row.touched[word]
        row.touched[word] = 0
        while bits != 0:
            row.columns[row.size] = <int32_t>(word << 6) + __builtin_ctzll(bits)
            row.size += 1
            bits &= bits - 1


# Four sums beside each other, of each fourth column in ascending order: additions need not wait for one another, and the zeros of the
# other columns would change none of them.
cdef inline double _length(const TextRow* row, bint squares) noexcept nogil:
    cdef double[4] sums
    cdef double value
    cdef int64_t i
    memset(sums, 0, sizeof(sums))
    for i in range(row.size):
        value = row.counts[row.columns[i]]
        sums[row.columns[i] & 3] += value * value if squares else fabs(value)
    sums[0] = (sums[0] + sums[1]) + (sums[2] + sums[3])
    return sqrt(sums[0]) if squares else sums[0]


# Writes a collected row, divided by its length, unless that is 0, or as it is without a norm.
cdef inline void write_row(const penstock_column* block, int64_t at, const TextRow* row, int norm) noexcept nogil:
    cdef double length = 1.0 if norm == NO_NORM else _length(row, norm == L2)
    cdef int64_t i
    clear_row(block, at)
    if length == 0.0:
        length = 1.0
    for i in range(row.size):
        set_element(block, at, row.columns[i], row.counts[row.columns[i]] / length)
