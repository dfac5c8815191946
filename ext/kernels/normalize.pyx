"""Rows of numbers, each over its norm."""

from libc.math cimport fabs, sqrt
from libc.stdint cimport int32_t, int64_t, uintptr_t

from kernels.column cimport (FP64, INT32, ROWS, elements, load, penstock_column, penstock_state, settable,
                             store_element)

cdef enum Norm:
    L1 = 1
    L2
    MAX

NORMS = {"l1": L1, "l2": L2, "max": MAX}


# k numeric inputs, one block of k columns. State:
#   0 norm   INT32 [1]
#   1 least  FP64 [1]   a smaller norm counts as 1
cdef int normalize(const void* state_, const penstock_column* inputs, penstock_column* outputs,
                   int64_t rows) noexcept nogil:
    cdef const penstock_state* state = <const penstock_state*>state_
    cdef const int32_t* norm = <const int32_t*>elements(state, 0, INT32, 1)
    cdef const double* least = <const double*>elements(state, 1, FP64, 1)
    cdef double[ROWS] norms
    cdef double[ROWS] values
    cdef int64_t c, i
    if norm == NULL or least == NULL or norm[0] < L1 or norm[0] > MAX or state.outputs != 1:
        return 1
    if not settable(&outputs[0]) or outputs[0].width != state.inputs:
        return 1
    for i in range(rows):
        norms[i] = 0.0
    for c in range(state.inputs):
        load(&inputs[c], 0, rows, values)
        if norm[0] == L1:
            for i in range(rows):
                norms[i] += fabs(values[i])
        elif norm[0] == L2:
            for i in range(rows):
                norms[i] += values[i] * values[i]
        else:
            for i in range(rows):  # a missing value is the largest, and stays it
                norms[i] = norms[i] if norms[i] >= fabs(values[i]) or norms[i] != norms[i] else fabs(values[i])
    for i in range(rows):
        norms[i] = sqrt(norms[i]) if norm[0] == L2 else norms[i]
        norms[i] = 1.0 if norms[i] < least[0] else norms[i]
    for c in range(state.inputs):
        load(&inputs[c], 0, rows, values)
        for i in range(rows):
            values[i] = values[i] / norms[i]
        store_element(&outputs[0], c, rows, values)
    return 0


KERNELS = {"normalize": <uintptr_t><void*>normalize}
