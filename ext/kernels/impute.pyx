"""A constant in place of each missing text, flags that say where a value is missing, and a check that none is."""

from libc.stdint cimport int32_t, int64_t, uintptr_t
from libc.string cimport memcmp

from kernels.column cimport (BYTES, FP64, INT32, INT64, ROWS, UINT8, elements, load, penstock_array, penstock_column,
                             penstock_state, penstock_string, storable, store)


# Whether a text is missing, or is the one that means it. `word` is null where none does.
cdef inline bint _is_missing(const penstock_string* value, const penstock_array* word) noexcept nogil:
    if value.data == NULL:
        return True
    if word == NULL or value.size != word.size:
        return False
    return word.size == 0 or memcmp(value.data, word.data, <size_t>word.size) == 0


# k BYTES inputs; k BYTES outputs that refer to the inputs' text or to the state's; one output of 0 and 1 for each
# flagged input. State:
#   0 offsets  INT64 [k + 1]        where each input's text starts
#   1 text     UINT8
#   2 flagged  INT32 [outputs - k]  indices of inputs
#   3 word     UINT8                a text that means missing ...
#   4 given    INT32 [1]            ... where this is not 0
cdef int impute_text(const void* state_, const penstock_column* inputs, penstock_column* outputs,
                     int64_t rows) noexcept nogil:
    cdef const penstock_state* state = <const penstock_state*>state_
    cdef int64_t k = state.inputs
    cdef const int64_t* offsets = <const int64_t*>elements(state, 0, INT64, k + 1)
    cdef const int32_t* flagged = <const int32_t*>elements(state, 2, INT32, state.outputs - k)
    cdef const int32_t* given = <const int32_t*>elements(state, 4, INT32, 1)
    cdef const penstock_array* word
    cdef const penstock_string* value
    cdef const char* text
    cdef const char* source
    cdef char* target
    cdef double[ROWS] values
    cdef penstock_string fill
    cdef int64_t c, i
    if offsets == NULL or flagged == NULL or given == NULL or state.outputs < k:
        return 1
    if state.arrays[1].dtype != UINT8 or state.arrays[3].dtype != UINT8 or not storable(outputs + k, state.outputs - k):
        return 1
    text = <const char*>state.arrays[1].data
    word = &state.arrays[3] if given[0] != 0 else NULL
    for c in range(k):
        if inputs[c].dtype != BYTES or outputs[c].dtype != BYTES:
            return 1
        if offsets[c] < 0 or offsets[c] > offsets[c + 1] or offsets[c + 1] > state.arrays[1].size:
            return 1
        fill.data = text + offsets[c]
        fill.size = offsets[c + 1] - offsets[c]
        source = <const char*>inputs[c].data
        target = <char*>outputs[c].data
        for i in range(rows):
            value = <const penstock_string*>source
            (<penstock_string*>target)[0] = fill if _is_missing(value, word) else value[0]
            source += inputs[c].stride
            target += outputs[c].stride
    for c in range(state.outputs - k):
        if flagged[c] < 0 or flagged[c] >= k:
            return 1
        source = <const char*>inputs[flagged[c]].data
        for i in range(rows):
            value = <const penstock_string*>(source + i * inputs[flagged[c]].stride)
            values[i] = 1.0 if _is_missing(value, word) else 0.0
        store(&outputs[k + c], 0, rows, values)
    return 0


# One input of any type; one output of 1 where it is missing, else 0, or none: the row is then refused. State:
#   0 word    UINT8          as above
#   1 given   INT32 [1]
#   2 number  FP64 [0 or 1]  a number that means missing, too
cdef int missing(const void* state_, const penstock_column* inputs, penstock_column* outputs,
                 int64_t rows) noexcept nogil:
    cdef const penstock_state* state = <const penstock_state*>state_
    cdef const int32_t* given = <const int32_t*>elements(state, 1, INT32, 1)
    cdef const penstock_array* word
    cdef const penstock_string* value
    cdef const double* number
    cdef double[ROWS] values
    cdef int64_t i
    if given == NULL or state.count != 3 or state.arrays[0].dtype != UINT8 or state.arrays[2].size > 1:
        return 1
    number = <const double*>elements(state, 2, FP64, state.arrays[2].size)
    if number == NULL or state.inputs != 1 or state.outputs > 1 or not storable(outputs, state.outputs):
        return 1
    if inputs[0].dtype == BYTES:
        word = &state.arrays[0] if given[0] != 0 else NULL
        for i in range(rows):
            value = <const penstock_string*>(<const char*>inputs[0].data + i * inputs[0].stride)
            values[i] = 1.0 if _is_missing(value, word) else 0.0
    else:
        load(&inputs[0], 0, rows, values)
        for i in range(rows):
            values[i] = 1.0 if values[i] != values[i] or (state.arrays[2].size == 1 and values[i] == number[0]) else 0.0
    if state.outputs == 1:
        store(&outputs[0], 0, rows, values)
        return 0
    for i in range(rows):
        if values[i] != 0.0:
            return <int>(i + 1)
    return 0


KERNELS = {"impute_text": <uintptr_t><void*>impute_text, "missing": <uintptr_t><void*>missing}
