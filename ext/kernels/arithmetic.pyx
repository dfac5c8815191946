"""One number of several: their sum, product, difference or ratio."""

from libc.math cimport NAN
from libc.stdint cimport int32_t, int64_t, uintptr_t

from kernels.column cimport FP64, INT32, ROWS, elements, load, penstock_column, penstock_state, storable, store

cdef enum Operation:
    SUM = 1
    PRODUCT
    DIFFERENCE  # of two
    RATIO  # of two

OPERATIONS = {"sum": SUM, "product": PRODUCT, "difference": DIFFERENCE, "ratio": RATIO}


# k >= 2 numeric inputs, one output. State: operation INT32 [1], zero FP64 [1], the ratio to 0.
cdef int arithmetic(const void* state_, const penstock_column* inputs, penstock_column* outputs,
                    int64_t rows) noexcept nogil:
    cdef const penstock_state* state = <const penstock_state*>state_
    cdef const int32_t* operation = <const int32_t*>elements(state, 0, INT32, 1)
    cdef const double* zero = <const double*>elements(state, 1, FP64, 1)
    cdef double[ROWS] made
    cdef double[ROWS] values
    cdef int64_t c, i
    if operation == NULL or zero == NULL or state.inputs < 2 or state.outputs != 1 or not storable(outputs, 1):
        return 1
    if operation[0] < SUM or operation[0] > RATIO or (operation[0] >= DIFFERENCE and state.inputs != 2):
        return 1
    load(&inputs[0], 0, rows, made)
    for c in range(1, state.inputs):
        load(&inputs[c], 0, rows, values)
        if operation[0] == SUM:
            for i in range(rows):
                made[i] += values[i]
        elif operation[0] == PRODUCT:
            for i in range(rows):
                made[i] *= values[i]
        elif operation[0] == DIFFERENCE:
            for i in range(rows):
                made[i] -= values[i]
        else:
            for i in range(rows):
                if values[i] == 0.0:
                    made[i] = zero[0] if made[i] == made[i] else NAN
                else:
                    made[i] /= values[i]
    store(&outputs[0], 0, rows, made)
    return 0


KERNELS = {"arithmetic": <uintptr_t><void*>arithmetic}
