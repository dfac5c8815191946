"""Numbers to the values of B-splines."""

from libc.math cimport NAN, fmod
from libc.stdint cimport int32_t, int64_t, uintptr_t

from kernels.column cimport (FP64, INT32, ROWS, clear_row, elements, load, penstock_column, penstock_state,
                             set_element, settable)

cdef enum:
    MOST = 20  # the highest degree

cdef enum Extrapolation:
    CONSTANT = 1
    LINEAR
    CONTINUE
    PERIODIC
    ERROR

HIGHEST_DEGREE = MOST
EXTRAPOLATIONS = {"constant": CONSTANT, "linear": LINEAR, "continue": CONTINUE, "periodic": PERIODIC, "error": ERROR}


# Which interval between knots x is in: the last one that starts at x or below, of those from knot `first` to knot
# `last`.
cdef inline int64_t _interval(const double* knots, int64_t first, int64_t last, double x) noexcept nogil:
    cdef int64_t middle
    last -= 1
    while first < last:
        middle = first + (last - first + 1) // 2
        if knots[middle] <= x:
            first = middle
        else:
            last = middle - 1
    return first


# The recurrence from the splines of degree d - 1 that are not zero in an interval (d of them) to those of degree d.
cdef inline void _raise(const double* knots, int64_t interval, int64_t d, double x, double* values) noexcept nogil:
    cdef double carried = 0.0
    cdef double left, right, share
    cdef int64_t j
    for j in range(d):
        left = knots[interval + 1 + j - d]
        right = knots[interval + 1 + j]
        share = values[j] / (right - left) if right != left else 0.0
        values[j] = carried + share * (right - x)
        carried = share * (x - left)
    values[d] = carried


# The degree + 1 splines that are not zero in an interval, at x, by the recurrence of Cox and de Boor.
# Source: C. de Boor, "A Practical Guide to Splines", 1978, chapter X.
cdef inline void _splines(const double* knots, int64_t interval, int64_t degree, double x, double* values) noexcept nogil:
    cdef int64_t d
    values[0] = 1.0
    for d in range(1, degree + 1):
        _raise(knots, interval, d, x, values)


# Their derivatives.
cdef inline void _slopes(const double* knots, int64_t interval, int64_t degree, double x, double* slopes) noexcept nogil:
    cdef double carried = 0.0
    cdef double left, right, share
    cdef int64_t j
    if degree == 0:
        slopes[0] = 0.0
        return
    _splines(knots, interval, degree - 1, x, slopes)
    for j in range(degree):
        left = knots[interval + 1 + j - degree]
        right = knots[interval + 1 + j]
        share = <double>degree * slopes[j] / (right - left) if right != left else 0.0
        slopes[j] = carried - share
        carried = share
    slopes[degree] = carried


# Beyond the range CONSTANT and LINEAR go on in the first or the last splines alone, as in scikit-learn: as many as are
# not zero at its end where the knots there differ, and no others where they coincide.
cdef inline int64_t _outermost(int64_t degree, int32_t extrapolation) noexcept nogil:
    return degree + 1 if degree == 0 or (degree == 1 and extrapolation == LINEAR) else degree


# k numeric inputs, k blocks of as many columns as there are splines, or one less: the last is then left out. State:
#   0 knots  FP64 [k * m]  of each column, ascending, `degree` of them before and behind those of the range
#   1 shape  INT32 [3]     degree; Extrapolation; 1 where a missing value makes zeros, else 0
cdef int spline(const void* state_, const penstock_column* inputs, penstock_column* outputs, int64_t rows) noexcept nogil:
    cdef const penstock_state* state = <const penstock_state*>state_
    cdef int64_t k = state.inputs
    cdef const int32_t* shape = <const int32_t*>elements(state, 1, INT32, 3)
    cdef const double* knots
    cdef double[ROWS] values
    cdef double[MOST + 1] splines
    cdef double[MOST + 1] slopes
    cdef double x, inside, low, high
    cdef int64_t c, i, j, m, degree, last, made, outermost, interval, index
    if shape == NULL or state.outputs != k or k < 1 or state.arrays[0].size % k != 0:
        return 1
    degree = shape[0]
    m = state.arrays[0].size // k
    last = m - degree - 1  # the knot where the range ends: also, how many splines there are
    if degree < 0 or degree > MOST or last <= degree or shape[1] < CONSTANT or shape[1] > ERROR:
        return 1
    knots = <const double*>elements(state, 0, FP64, k * m)
    if knots == NULL:
        return 1
    made = last - degree if shape[1] == PERIODIC else last
    if shape[1] == PERIODIC and made < degree:
        return 1
    outermost = _outermost(degree, shape[1])
    for c in range(k):
        if not settable(&outputs[c]) or (outputs[c].width != made and outputs[c].width != made - 1):
            return 1
        low = knots[degree]
        high = knots[last]
        load(&inputs[c], 0, rows, values)
        for i in range(rows):
            x = values[i]
            clear_row(&outputs[c], i)
            if x != x:
                if shape[2] == 0:
                    for j in range(outputs[c].width):
                        set_element(&outputs[c], i, j, NAN)
                continue
            if shape[1] == ERROR and not low <= x <= high:
                return <int>(i + 1)
            if shape[1] == PERIODIC:
                x = fmod(x - low, high - low) if high > low else 0.0
                x = low + (x + (high - low) if x < 0.0 else x)
            inside = x
            if shape[1] == CONSTANT or shape[1] == LINEAR:
                inside = low if x < low else high if x > high else x
            interval = _interval(knots, degree, last, inside)
            _splines(knots, interval, degree, inside, splines)
            if shape[1] == LINEAR and inside != x:
                _slopes(knots, interval, degree, inside, slopes)
                for j in range(degree + 1):  # infinity times no slope is no change
                    splines[j] += (x - inside) * slopes[j] if slopes[j] != 0.0 else 0.0
            if made == degree:  # the first and the last of them are the same one, a period apart
                splines[degree] += splines[0]
            for j in range(degree + 1):
                index = interval - degree + j
                if (inside > x and index >= outermost) or (inside < x and index < made - outermost):
                    continue
                index = index - made if index >= made else index
                if index < outputs[c].width:
                    set_element(&outputs[c], i, index, splines[j])
        knots += m
    return 0


KERNELS = {"spline": <uintptr_t><void*>spline}
