"""Combinations of categories to texts."""

from libc.stdint cimport int64_t, uint64_t, uintptr_t

from kernels.category cimport MISSING, Categories, Table, categories_of, find_number, find_rows, table_of
from kernels.column cimport BYTES, INT64, ROWS, UINT8, elements, penstock_column, penstock_state, penstock_string


# k inputs, one BYTES output. State: tables of k + 1 columns (category.pxd), the last of the combinations' numbers; behind them
#   4 offsets  INT64 [combinations + 2]  where a combination's text starts in ...
#   5 text     UINT8                     ... text; the last one is for a combination that is none of them
# A combination's number counts its parts, the last one fastest; the missing value of a column comes behind its categories.
cdef int cross(const void* state_, const penstock_column* inputs, penstock_column* outputs, int64_t rows) noexcept nogil:
    cdef const penstock_state* state = <const penstock_state*>state_
    cdef Categories categories
    cdef Table combinations
    cdef const int64_t* offsets
    cdef const char* text
    cdef int64_t[ROWS] found
    cdef uint64_t[ROWS] numbers
    cdef bint[ROWS] unseen
    cdef penstock_string* out
    cdef int64_t c, row, count, combination, last
    if state.inputs < 1 or not categories_of(state, state.inputs + 1, &categories):
        return 1
    combinations = table_of(&categories, state.inputs)
    last = <int64_t>combinations.count
    offsets = <const int64_t*>elements(state, 4, INT64, last + 2)
    if offsets == NULL or state.count < 6 or state.arrays[5].dtype != UINT8:
        return 1
    text = <const char*>state.arrays[5].data
    if state.outputs != 1 or outputs[0].dtype != BYTES or outputs[0].width != 1:
        return 1
    for row in range(rows):
        numbers[row] = 0
        unseen[row] = False
    for c in range(state.inputs):
        find_rows(&categories, c, &inputs[c], rows, found)
        count = categories.firsts[c + 1] - categories.firsts[c]
        for row in range(rows):
            if found[row] == MISSING:
                found[row] = count
            unseen[row] |= found[row] < 0
            numbers[row] = numbers[row] * <uint64_t>(count + 1) + <uint64_t>found[row]
    for row in range(rows):
        combination = last
        if not unseen[row]:
            combination = find_number(combinations, <int64_t>numbers[row])
            if combination < 0:
                combination = last
        if offsets[combination] < 0 or offsets[combination + 1] < offsets[combination]:
            return <int>(row + 1)
        if offsets[combination + 1] > state.arrays[5].size:
            return <int>(row + 1)
        out = <penstock_string*>(<char*>outputs[0].data + row * outputs[0].stride)
        out.data = text + offsets[combination]
        out.size = offsets[combination + 1] - offsets[combination]
    return 0


KERNELS = {"cross": <uintptr_t><void*>cross}
