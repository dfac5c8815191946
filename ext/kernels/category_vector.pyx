"""Categories to vectors."""

from libc.stdint cimport int32_t, int64_t, uint8_t, uintptr_t
from libc.string cimport memcpy

from kernels.category cimport MISSING, Categories, categories_of, find_rows
from kernels.column cimport (BYTES, FP32, FP64, ROWS, UINT8, elements, floating, penstock_column, penstock_state,
                             settable)


cdef inline void _copy(const floating* vector, const penstock_column* block, int64_t row) noexcept nogil:
    cdef char* first = <char*>block.data + row * block.stride
    cdef int64_t i
    if (block.dtype == FP64) == (sizeof(floating) == 8):
        memcpy(first, vector, <size_t>block.width * sizeof(floating))
    elif block.dtype == FP64:
        for i in range(block.width):
            (<double*>first)[i] = vector[i]
    else:
        for i in range(block.width):
            (<float*>first)[i] = <float>vector[i]


# One of the vectors of a block's width, which stand one after the other in `vectors`.
cdef inline void _put(const void* vectors, int32_t dtype, int64_t start, const penstock_column* block,
                      int64_t row) noexcept nogil:
    if dtype == FP64:
        _copy(<const double*>vectors + start, block, row)
    else:
        _copy(<const float*>vectors + start, block, row)


# k inputs, k blocks of any widths. State, after the categories' four arrays (category.pxd):
#   4 vectors  FP64 or FP32 [sum of categories * width]  what each category becomes
#   5 unknown  as vectors [sum of widths]                what any other value becomes
#   6 missing  as vectors [sum of widths]                what a missing value becomes
#   7 refused  UINT8 [k]                                 1: unknown values are refused; 2: missing ones too
cdef inline int _vectors(const penstock_state* state, const penstock_column* inputs, penstock_column* outputs,
                         int64_t rows, bint text) noexcept nogil:
    cdef Categories categories
    cdef const void* vectors
    cdef const void* unknown
    cdef const void* missing
    cdef const uint8_t* refused
    cdef int64_t[ROWS] found
    cdef int64_t c, row, width
    cdef int64_t size = 0
    cdef int64_t widths = 0
    cdef int64_t first_refused = rows
    cdef int32_t dtype
    if not categories_of(state, state.inputs, &categories) or state.outputs != state.inputs:
        return 1
    for c in range(state.inputs):
        if (inputs[c].dtype == BYTES) != text or not settable(&outputs[c]):
            return 1
        size += (categories.firsts[c + 1] - categories.firsts[c]) * outputs[c].width
        widths += outputs[c].width
    if state.count < 5:
        return 1
    dtype = state.arrays[4].dtype
    vectors = elements(state, 4, dtype, size)
    unknown = elements(state, 5, dtype, widths)
    missing = elements(state, 6, dtype, widths)
    refused = <const uint8_t*>elements(state, 7, UINT8, state.inputs)
    if (dtype != FP64 and dtype != FP32) or vectors == NULL or unknown == NULL or missing == NULL or refused == NULL:
        return 1
    size = 0
    widths = 0
    for c in range(state.inputs):
        width = outputs[c].width
        find_rows(&categories, c, &inputs[c], rows, found)
        for row in range(rows):
            if found[row] >= 0:
                _put(vectors, dtype, size + found[row] * width, &outputs[c], row)
            elif found[row] == MISSING:
                _put(missing, dtype, widths, &outputs[c], row)
                if refused[c] > 1 and row < first_refused:
                    first_refused = row
            else:
                _put(unknown, dtype, widths, &outputs[c], row)
                if refused[c] > 0 and row < first_refused:
                    first_refused = row
        size += (categories.firsts[c + 1] - categories.firsts[c]) * width
        widths += width
    return 0 if first_refused == rows else <int>(first_refused + 1)


cdef int category_vector_text(const void* state, const penstock_column* inputs, penstock_column* outputs,
                              int64_t rows) noexcept nogil:
    return _vectors(<const penstock_state*>state, inputs, outputs, rows, True)


cdef int category_vector_number(const void* state, const penstock_column* inputs, penstock_column* outputs,
                                int64_t rows) noexcept nogil:
    return _vectors(<const penstock_state*>state, inputs, outputs, rows, False)


KERNELS = {
    "category_vector_text": <uintptr_t><void*>category_vector_text,
    "category_vector_number": <uintptr_t><void*>category_vector_number,
}
