"""A point on the circle: sin and cos of 2 pi x / period."""

from libc.math cimport M_PI, cos, fmod, sin
from libc.stdint cimport int64_t, uintptr_t

from kernels.column cimport BLOCK, FP64, blocks, elements, load, penstock_column, penstock_state, storable, store


# k numeric inputs, 2 k outputs: sin, cos of the first, sin, cos of the second ... State: period FP64 [k].
# The remainder of x by its period is exact, so that values one period apart give the same bits however large they are.
cdef int cyclic(const void* state_, const penstock_column* inputs, penstock_column* outputs,
                int64_t rows) noexcept nogil:
    cdef const penstock_state* state = <const penstock_state*>state_
    cdef const double* period = <const double*>elements(state, 0, FP64, state.inputs)
    cdef double[BLOCK] sines
    cdef double[BLOCK] cosines
    cdef double angle
    cdef int64_t block, start, n, c, i
    if period == NULL or state.outputs != 2 * state.inputs or not storable(outputs, state.outputs):
        return 1
    for block in range(blocks(rows)):
        start = block * BLOCK
        n = min(<int64_t>BLOCK, rows - start)
        for c in range(state.inputs):
            load(&inputs[c], start, n, sines)
            for i in range(n):
                angle = 2.0 * M_PI * (fmod(sines[i], period[c]) / period[c])
                sines[i] = sin(angle)
                cosines[i] = cos(angle)
            store(&outputs[2 * c], start, n, sines)
            store(&outputs[2 * c + 1], start, n, cosines)
    return 0


KERNELS = {"cyclic": <uintptr_t><void*>cyclic}
