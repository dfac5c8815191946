"""A constant in place of each missing value, and a flag that says where one was missing."""

from libc.stdint cimport int32_t, int64_t, uintptr_t

from kernels.column cimport (BLOCK, BYTES, FP64, INT32, INT64, UINT8, blocks, elements, load, penstock_column,
                             penstock_state, penstock_string, storable, store)


# k numeric inputs; k outputs, then one output of 0 and 1 for each flagged input.
# State: fill FP64 [k], flagged INT32 [outputs - k], indices of inputs.
cdef int impute_number(const void* state_, const penstock_column* inputs, penstock_column* outputs,
                       int64_t rows) noexcept nogil:
    cdef const penstock_state* state = <const penstock_state*>state_
    cdef int64_t k = state.inputs
    cdef const double* fill = <const double*>elements(state, 0, FP64, k)
    cdef const int32_t* flagged = <const int32_t*>elements(state, 1, INT32, state.outputs - k)
    cdef double[BLOCK] values
    cdef int64_t block, start, n, c, i
    if fill == NULL or flagged == NULL or not storable(outputs, state.outputs):
        return 1
    for block in range(blocks(rows)):
        start = block * BLOCK
        n = min(<int64_t>BLOCK, rows - start)
        for c in range(k):
            load(&inputs[c], start, n, values)
            for i in range(n):
                values[i] = values[i] if values[i] == values[i] else fill[c]
            store(&outputs[c], start, n, values)
        for c in range(state.outputs - k):
            if flagged[c] < 0 or flagged[c] >= k:
                return 1
            load(&inputs[flagged[c]], start, n, values)
            for i in range(n):
                values[i] = 0.0 if values[i] == values[i] else 1.0
            store(&outputs[k + c], start, n, values)
    return 0


# As impute_number, for BYTES; the first k outputs are BYTES that refer to the inputs' text or to the state's.
# State: offsets INT64 [k + 1] into text UINT8, flagged INT32 [outputs - k].
cdef int impute_text(const void* state_, const penstock_column* inputs, penstock_column* outputs,
                     int64_t rows) noexcept nogil:
    cdef const penstock_state* state = <const penstock_state*>state_
    cdef int64_t k = state.inputs
    cdef const int64_t* offsets = <const int64_t*>elements(state, 0, INT64, k + 1)
    cdef const int32_t* flagged = <const int32_t*>elements(state, 2, INT32, state.outputs - k)
    cdef const char* text
    cdef const char* source
    cdef char* target
    cdef double[BLOCK] values
    cdef penstock_string fill
    cdef int64_t block, start, n, c, i
    if offsets == NULL or flagged == NULL or state.arrays[1].dtype != UINT8 or state.outputs < k:
        return 1
    if not storable(outputs + k, state.outputs - k):
        return 1
    text = <const char*>state.arrays[1].data
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
            (<penstock_string*>target)[0] = (<const penstock_string*>source)[0]
            if (<const penstock_string*>source).data == NULL:
                (<penstock_string*>target)[0] = fill
            source += inputs[c].stride
            target += outputs[c].stride
    for c in range(state.outputs - k):
        if flagged[c] < 0 or flagged[c] >= k:
            return 1
        for block in range(blocks(rows)):
            start = block * BLOCK
            n = min(<int64_t>BLOCK, rows - start)
            source = <const char*>inputs[flagged[c]].data + start * inputs[flagged[c]].stride
            for i in range(n):
                values[i] = 1.0 if (<const penstock_string*>(source + i * inputs[flagged[c]].stride)).data == NULL else 0.0
            store(&outputs[k + c], start, n, values)
    return 0


KERNELS = {"impute_number": <uintptr_t><void*>impute_number, "impute_text": <uintptr_t><void*>impute_text}
