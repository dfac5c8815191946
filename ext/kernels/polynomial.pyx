"""Products of columns."""

from libc.stdint cimport int32_t, int64_t, uintptr_t

from kernels.column cimport (INT32, INT64, ROWS, elements, load, penstock_column, penstock_state, settable,
                             store_element)

SCRATCH_OF_COLUMN = ROWS * sizeof(double)  # bytes


# k numeric inputs, one block of a column for each term. Scratch: SCRATCH_OF_COLUMN for each input. State:
#   0 starts   INT64 [terms + 1]  where a term's factors start
#   1 factors  INT32 [factors]    indices of inputs; they are multiplied from the last to the first. No factors: 1
cdef int polynomial(const void* state_, const penstock_column* inputs, penstock_column* outputs,
                    int64_t rows) noexcept nogil:
    cdef const penstock_state* state = <const penstock_state*>state_
    cdef int64_t k = state.inputs
    cdef const int64_t* starts
    cdef const int32_t* factors
    cdef double* columns
    cdef const double* column
    cdef double[ROWS] made
    cdef int64_t c, f, i, t
    if state.count != 2 or state.outputs != 1 or not settable(&outputs[0]):
        return 1
    if outputs[1].data == NULL or outputs[1].stride < k * ROWS * <int64_t>sizeof(double):
        return 1
    starts = <const int64_t*>elements(state, 0, INT64, outputs[0].width + 1)
    factors = <const int32_t*>elements(state, 1, INT32, state.arrays[1].size)
    if starts == NULL or factors == NULL:
        return 1
    columns = <double*>outputs[1].data
    for c in range(k):
        load(&inputs[c], 0, rows, columns + c * ROWS)
    for t in range(outputs[0].width):
        if starts[t] < 0 or starts[t] > starts[t + 1] or starts[t + 1] > state.arrays[1].size:
            return 1
        for i in range(rows):
            made[i] = 1.0
        for f in range(starts[t + 1] - 1, starts[t] - 1, -1):
            if factors[f] < 0 or factors[f] >= k:
                return 1
            column = columns + factors[f] * ROWS
            for i in range(rows):
                made[i] = column[i] * made[i]
        store_element(&outputs[0], t, rows, made)
    return 0


KERNELS = {"polynomial": <uintptr_t><void*>polynomial}
