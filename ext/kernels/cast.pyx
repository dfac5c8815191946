"""Numbers of any type to FP32 or FP64."""

from libc.stdint cimport int64_t, uintptr_t

from kernels.column cimport BLOCK, blocks, load, penstock_column, penstock_state, storable, store


# k numeric inputs, k outputs, no state.
cdef int cast(const void* state_, const penstock_column* inputs, penstock_column* outputs,
              int64_t rows) noexcept nogil:
    cdef const penstock_state* state = <const penstock_state*>state_
    cdef double[BLOCK] values
    cdef int64_t block, start, n, c
    if state.outputs != state.inputs or not storable(outputs, state.outputs):
        return 1
    for block in range(blocks(rows)):
        start = block * BLOCK
        n = min(<int64_t>BLOCK, rows - start)
        for c in range(state.inputs):
            load(&inputs[c], start, n, values)
            store(&outputs[c], start, n, values)
    return 0


KERNELS = {"cast": <uintptr_t><void*>cast}
