"""Categories to columns of 0 and 1."""

from libc.stdint cimport int32_t, int64_t, uintptr_t
from libc.string cimport memset

from kernels.category cimport MISSING, Categories, categories_of, find_rows
from kernels.column cimport (BYTES, FP64, INT32, ROWS, elements, penstock_column, penstock_state, set_element,
                             settable)

cdef enum:
    NONE = -1  # sets no output


cdef inline int64_t _row_bytes(const penstock_column* block) noexcept nogil:
    return <int64_t>block.width * (8 if block.dtype == FP64 else 4)


# Zeros in all rows of all blocks. Blocks that lie side by side in one matrix are cleared as one, and whole rows of it at once.
cdef inline void _clear(const penstock_column* blocks, int64_t count, int64_t rows) noexcept nogil:
    cdef int64_t c = 0
    cdef int64_t size, row
    cdef char* first
    while c < count:
        first = <char*>blocks[c].data
        size = _row_bytes(&blocks[c])
        while c + 1 < count and blocks[c + 1].data == first + size and blocks[c + 1].stride == blocks[c].stride:
            c += 1
            size += _row_bytes(&blocks[c])
        if size == blocks[c].stride:
            memset(first, 0, <size_t>(size * rows))
        else:
            for row in range(rows):
                memset(first + row * blocks[c].stride, 0, <size_t>size)
        c += 1


# k inputs; k blocks, or none, where values are only to be checked. State, after the categories' four arrays (category.pxd):
#   4 positions  INT32 [categories]  which of its block's columns a category sets, or NONE
#   5 unknown    INT32 [k]           which one any other value sets, or NONE, or -2: refused
#   6 missing    INT32 [k]           the same for missing values
cdef inline int _one_hot(const penstock_state* state, const penstock_column* inputs, penstock_column* outputs,
                         int64_t rows, bint text) noexcept nogil:
    cdef Categories categories
    cdef const int32_t* positions
    cdef const int32_t* unknown
    cdef const int32_t* missing
    cdef int64_t[ROWS] found
    cdef int64_t c, row, first
    cdef int64_t refused = rows
    cdef int32_t position
    cdef bint writes = state.outputs > 0
    if not categories_of(state, state.inputs, &categories) or (writes and state.outputs != state.inputs):
        return 1
    positions = <const int32_t*>elements(state, 4, INT32, categories.count)
    unknown = <const int32_t*>elements(state, 5, INT32, state.inputs)
    missing = <const int32_t*>elements(state, 6, INT32, state.inputs)
    if positions == NULL or unknown == NULL or missing == NULL:
        return 1
    for c in range(state.inputs):
        if (inputs[c].dtype == BYTES) != text or (writes and not settable(&outputs[c])):
            return 1
    if writes:
        _clear(outputs, state.outputs, rows)
    for c in range(state.inputs):
        find_rows(&categories, c, &inputs[c], rows, found)
        first = categories.firsts[c]
        for row in range(rows):
            if found[row] >= 0:
                position = positions[first + found[row]]
            elif found[row] == MISSING:
                position = missing[c]
            else:
                position = unknown[c]
            if position >= 0 and writes and position < outputs[c].width:
                set_element(&outputs[c], row, position, 1.0)
            elif position != NONE and row < refused:
                refused = row
    return 0 if refused == rows else <int>(refused + 1)


cdef int one_hot_text(const void* state, const penstock_column* inputs, penstock_column* outputs,
                      int64_t rows) noexcept nogil:
    return _one_hot(<const penstock_state*>state, inputs, outputs, rows, True)


cdef int one_hot_number(const void* state, const penstock_column* inputs, penstock_column* outputs,
                        int64_t rows) noexcept nogil:
    return _one_hot(<const penstock_state*>state, inputs, outputs, rows, False)


KERNELS = {"one_hot_text": <uintptr_t><void*>one_hot_text, "one_hot_number": <uintptr_t><void*>one_hot_number}
