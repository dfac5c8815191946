"""Categories to numbers."""

from libc.stdint cimport int64_t, uint8_t, uintptr_t

from kernels.category cimport MISSING, Categories, categories_of, find_rows
from kernels.column cimport (BYTES, FP64, ROWS, UINT8, elements, penstock_column, penstock_state, storable, store)


# k inputs, k outputs. State, after the categories' four arrays (category.pxd):
#   4 codes    FP64 [categories]  what a category becomes
#   5 unknown  FP64 [k]           what any other value becomes
#   6 missing  FP64 [k]           what a missing value becomes
#   7 refused  UINT8 [k]          1: unknown values are refused; 2: missing ones too
cdef inline int _ordinal(const penstock_state* state, const penstock_column* inputs, penstock_column* outputs,
                         int64_t rows, bint text) noexcept nogil:
    cdef Categories categories
    cdef const double* codes
    cdef const double* unknown
    cdef const double* missing
    cdef const uint8_t* refused
    cdef int64_t[ROWS] found
    cdef double[ROWS] values
    cdef int64_t c, row, first
    cdef int64_t first_refused = rows
    if not categories_of(state, state.inputs, &categories):
        return 1
    codes = <const double*>elements(state, 4, FP64, categories.count)
    unknown = <const double*>elements(state, 5, FP64, state.inputs)
    missing = <const double*>elements(state, 6, FP64, state.inputs)
    refused = <const uint8_t*>elements(state, 7, UINT8, state.inputs)
    if codes == NULL or unknown == NULL or missing == NULL or refused == NULL:
        return 1
    if state.outputs != state.inputs or not storable(outputs, state.outputs):
        return 1
    for c in range(state.inputs):
        if (inputs[c].dtype == BYTES) != text:
            return 1
    for c in range(state.inputs):
        find_rows(&categories, c, &inputs[c], rows, found)
        first = categories.firsts[c]
        for row in range(rows):
            if found[row] >= 0:
                values[row] = codes[first + found[row]]
            elif found[row] == MISSING:
                values[row] = missing[c]
                if refused[c] > 1 and row < first_refused:
                    first_refused = row
            else:
                values[row] = unknown[c]
                if refused[c] > 0 and row < first_refused:
                    first_refused = row
        store(&outputs[c], 0, rows, values)
    return 0 if first_refused == rows else <int>(first_refused + 1)


cdef int ordinal_text(const void* state, const penstock_column* inputs, penstock_column* outputs,
                      int64_t rows) noexcept nogil:
    return _ordinal(<const penstock_state*>state, inputs, outputs, rows, True)


cdef int ordinal_number(const void* state, const penstock_column* inputs, penstock_column* outputs,
                        int64_t rows) noexcept nogil:
    return _ordinal(<const penstock_state*>state, inputs, outputs, rows, False)


KERNELS = {"ordinal_text": <uintptr_t><void*>ordinal_text, "ordinal_number": <uintptr_t><void*>ordinal_number}
