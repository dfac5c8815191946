"""The distance of two points on a sphere."""

from libc.math cimport M_PI, asin, cos, sin, sqrt
from libc.stdint cimport int64_t, uintptr_t

from kernels.column cimport FP64, ROWS, elements, load, penstock_column, penstock_state, storable, store


# 4 numeric inputs, in degrees: latitude and longitude of one point and of the other. One output. State: radius FP64 [1].
cdef int haversine(const void* state_, const penstock_column* inputs, penstock_column* outputs,
                   int64_t rows) noexcept nogil:
    cdef const penstock_state* state = <const penstock_state*>state_
    cdef const double* radius = <const double*>elements(state, 0, FP64, 1)
    cdef double[ROWS] latitude
    cdef double[ROWS] longitude
    cdef double[ROWS] other_latitude
    cdef double[ROWS] other_longitude
    cdef double radians = M_PI / 180.0
    cdef double across, along, a, b
    cdef int64_t i
    if radius == NULL or state.inputs != 4 or state.outputs != 1 or not storable(outputs, 1):
        return 1
    load(&inputs[0], 0, rows, latitude)
    load(&inputs[1], 0, rows, longitude)
    load(&inputs[2], 0, rows, other_latitude)
    load(&inputs[3], 0, rows, other_longitude)
    for i in range(rows):
        a = latitude[i] * radians
        b = other_latitude[i] * radians
        across = sin(0.5 * (a - b))
        along = sin(0.5 * (longitude[i] * radians - other_longitude[i] * radians))
        a = across * across + cos(a) * cos(b) * (along * along)
        a = 1.0 if a > 1.0 else a  # opposite points, after rounding
        latitude[i] = 2.0 * radius[0] * asin(sqrt(a))
    store(&outputs[0], 0, rows, latitude)
    return 0


KERNELS = {"haversine": <uintptr_t><void*>haversine}
