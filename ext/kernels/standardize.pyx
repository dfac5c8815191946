"""(x - mean) / scale."""

from libc.stdint cimport int64_t, uintptr_t

from kernels.column cimport BLOCK, FP64, blocks, elements, load, penstock_column, penstock_state, storable, store


# k numeric inputs, k outputs. State: mean FP64 [k], scale FP64 [k].
cdef int standardize(const void* state_, const penstock_column* inputs, penstock_column* outputs,
                     int64_t rows) noexcept nogil:
    cdef const penstock_state* state = <const penstock_state*>state_
    cdef const double* mean = <const double*>elements(state, 0, FP64, state.inputs)
    cdef const double* scale = <const double*>elements(state, 1, FP64, state.inputs)
    cdef double[BLOCK] values
    cdef int64_t block, start, n, c, i
    if mean == NULL or scale == NULL or state.outputs != state.inputs or not storable(outputs, state.outputs):
        return 1
    for block in range(blocks(rows)):
        start = block * BLOCK
        n = min(<int64_t>BLOCK, rows - start)
        for c in range(state.inputs):
            load(&inputs[c], start, n, values)
            for i in range(n):
                values[i] = (values[i] - mean[c]) / scale[c]
            store(&outputs[c], start, n, values)
    return 0


KERNELS = {"standardize": <uintptr_t><void*>standardize}
