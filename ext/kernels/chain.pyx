"""Chains of operations on numbers: each column through its own, one after the other, in double precision."""

from libc.math cimport (acos, acosh, asin, asinh, atan, atanh, cbrt, ceil, cos, cosh, exp, exp2, expm1, fabs, floor,
                        isfinite, isinf, log, log1p, log2, log10, rint, signbit, sin, sinh, sqrt, tan, tanh, trunc)
from libc.math cimport M_PI, NAN, fmod
from libc.stdint cimport int32_t, int64_t, uintptr_t

from kernels.column cimport (FP64, INT32, INT64, ROWS, elements, load, penstock_column, penstock_state, storable,
                             store)
from kernels.power cimport box_cox, yeo_johnson
from kernels.quantile cimport below_or_at, normal_quantile, rank

# Every operation keeps a missing value (NaN) unless it says otherwise.
cdef enum Operation:
    FILL = 1  # a: a in place of NaN
    IS_MISSING  # 1 for NaN, else 0
    MISSING  # a: NaN in place of a
    STANDARDIZE  # a, b: (x - a) / b
    AFFINE  # a, b: x * a + b
    CLIP  # a, b: not below a nor above b
    SINGLE  # rounded to single precision
    BINARIZE  # a: 1 above a, else 0
    BUCKETIZE  # ascending edges: how many are at x or below
    RANK  # margin, 1 where it is added in single precision (else 0), references and as many quantiles: see rank()
    NORMAL_QUANTILE  # the standard normal's quantile of x
    YEO_JOHNSON  # lambda
    BOX_COX  # lambda
    SINE  # period: sin(2 pi x / period)
    COSINE  # period
    ABSOLUTE
    SQUARE
    RECIPROCAL
    SIGN  # -1, 0 or 1
    SIGN_BIT  # 1 where it is set, of NaN too; else 0
    IS_FINITE  # 1 for a finite number, else 0, NaN too
    IS_INFINITE  # 1 for either infinity, else 0, NaN too
    FUNCTION  # from here on: one of FUNCTIONS

# By name: the code, and how many constants it takes; -1: any number.
OPERATIONS = {
    "fill": (FILL, 1),
    "is_missing": (IS_MISSING, 0),
    "missing": (MISSING, 1),
    "standardize": (STANDARDIZE, 2),
    "affine": (AFFINE, 2),
    "clip": (CLIP, 2),
    "single": (SINGLE, 0),
    "binarize": (BINARIZE, 1),
    "bucketize": (BUCKETIZE, -1),
    "rank": (RANK, -1),
    "normal_quantile": (NORMAL_QUANTILE, 0),
    "yeo_johnson": (YEO_JOHNSON, 1),
    "box_cox": (BOX_COX, 1),
    "sine": (SINE, 1),
    "cosine": (COSINE, 1),
    "absolute": (ABSOLUTE, 0),
    "square": (SQUARE, 0),
    "reciprocal": (RECIPROCAL, 0),
    "sign": (SIGN, 0),
    "sign_bit": (SIGN_BIT, 0),
    "is_finite": (IS_FINITE, 0),
    "is_infinite": (IS_INFINITE, 0),
}

ctypedef double (*unary)(double) noexcept nogil

cdef enum:
    MOST = 64  # more than there are codes

cdef unary[MOST] FUNCTIONS
cdef int32_t[MOST] COUNTS  # of constants, by code; -2 for no such code


cdef void _enter(str name, unary function):
    cdef int32_t code = <int32_t>len(OPERATIONS) + 1
    FUNCTIONS[code - FUNCTION] = function
    OPERATIONS[name] = (code, 0)


# Functions of the C library, under NumPy's names.
_enter("arccos", acos)
_enter("arccosh", acosh)
_enter("arcsin", asin)
_enter("arcsinh", asinh)
_enter("arctan", atan)
_enter("arctanh", atanh)
_enter("cbrt", cbrt)
_enter("ceil", ceil)
_enter("cos", cos)
_enter("cosh", cosh)
_enter("exp", exp)
_enter("exp2", exp2)
_enter("expm1", expm1)
_enter("floor", floor)
_enter("log", log)
_enter("log10", log10)
_enter("log1p", log1p)
_enter("log2", log2)
_enter("rint", rint)
_enter("sin", sin)
_enter("sinh", sinh)
_enter("sqrt", sqrt)
_enter("tan", tan)
_enter("tanh", tanh)
_enter("trunc", trunc)

for _code in range(MOST):
    COUNTS[_code] = -2
for _code, _count in OPERATIONS.values():
    COUNTS[_code] = _count


# The remainder of x by its period is exact, so that values one period apart give the same bits however large they are.
cdef inline double _angle(double x, double period) noexcept nogil:
    return 2.0 * M_PI * (fmod(x, period) / period)


# The constants are as many as COUNTS says. False where their number makes no sense for an operation that takes any.
cdef inline bint _apply(int32_t code, const double* constants, int64_t count, double* x, int64_t n) noexcept nogil:
    cdef int64_t i, quantiles
    cdef double a = constants[0] if count > 0 else 0.0
    cdef double b = constants[1] if count > 1 else 0.0
    cdef int64_t[ROWS] found
    cdef unary function
    if code == FILL:
        for i in range(n):
            x[i] = x[i] if x[i] == x[i] else a
    elif code == IS_MISSING:
        for i in range(n):
            x[i] = 0.0 if x[i] == x[i] else 1.0
    elif code == MISSING:
        for i in range(n):
            x[i] = NAN if x[i] == a else x[i]
    elif code == STANDARDIZE:
        for i in range(n):
            x[i] = (x[i] - a) / b
    elif code == AFFINE:
        for i in range(n):
            x[i] = x[i] * a + b
    elif code == CLIP:
        for i in range(n):
            x[i] = a if x[i] < a else x[i]
            x[i] = b if x[i] > b else x[i]
    elif code == SINGLE:
        for i in range(n):
            x[i] = <double><float>x[i]
    elif code == BINARIZE:
        for i in range(n):
            x[i] = (1.0 if x[i] > a else 0.0) if x[i] == x[i] else x[i]
    elif code == BUCKETIZE:
        below_or_at(constants, count, x, n, found)
        for i in range(n):
            x[i] = <double>found[i] if x[i] == x[i] else x[i]
    elif code == RANK:
        if count < 4 or count % 2 != 0:
            return False
        quantiles = count // 2 - 1
        below_or_at(constants + 2 + quantiles, quantiles, x, n, found)
        for i in range(n):
            x[i] = rank(x[i], a, b != 0.0, constants + 2, constants + 2 + quantiles, quantiles, found[i])
    elif code == NORMAL_QUANTILE:
        for i in range(n):
            x[i] = normal_quantile(x[i])
    elif code == YEO_JOHNSON:
        for i in range(n):
            x[i] = yeo_johnson(x[i], a)
    elif code == BOX_COX:
        for i in range(n):
            x[i] = box_cox(x[i], a)
    elif code == SINE:
        for i in range(n):
            x[i] = sin(_angle(x[i], a))
    elif code == COSINE:
        for i in range(n):
            x[i] = cos(_angle(x[i], a))
    elif code == ABSOLUTE:
        for i in range(n):
            x[i] = fabs(x[i])
    elif code == SQUARE:
        for i in range(n):
            x[i] = x[i] * x[i]
    elif code == RECIPROCAL:
        for i in range(n):
            x[i] = 1.0 / x[i]
    elif code == SIGN:
        for i in range(n):
            x[i] = <double>(x[i] > 0.0) - <double>(x[i] < 0.0) if x[i] == x[i] else x[i]
    elif code == SIGN_BIT:
        for i in range(n):
            x[i] = 1.0 if signbit(x[i]) else 0.0
    elif code == IS_FINITE:
        for i in range(n):
            x[i] = 1.0 if isfinite(x[i]) else 0.0
    elif code == IS_INFINITE:
        for i in range(n):
            x[i] = 1.0 if isinf(x[i]) else 0.0
    else:
        function = FUNCTIONS[code - FUNCTION]
        for i in range(n):
            x[i] = function(x[i])
    return True


# k numeric inputs, k outputs. State:
#   0 starts     INT64 [k + 1]           where a column's operations start
#   1 codes      INT32 [operations]
#   2 offsets    INT64 [operations + 1]  where an operation's constants start
#   3 constants  FP64
cdef int chain(const void* state_, const penstock_column* inputs, penstock_column* outputs, int64_t rows) noexcept nogil:
    cdef const penstock_state* state = <const penstock_state*>state_
    cdef int64_t k = state.inputs
    cdef const int64_t* starts = <const int64_t*>elements(state, 0, INT64, k + 1)
    cdef const int64_t* offsets
    cdef const int32_t* codes
    cdef const double* constants
    cdef double[ROWS] values
    cdef int64_t c, o, operations, count
    if starts == NULL or state.count != 4 or state.outputs != k or not storable(outputs, k):
        return 1
    operations = state.arrays[1].size
    codes = <const int32_t*>elements(state, 1, INT32, operations)
    offsets = <const int64_t*>elements(state, 2, INT64, operations + 1)
    constants = <const double*>elements(state, 3, FP64, state.arrays[3].size)
    if codes == NULL or offsets == NULL or constants == NULL:
        return 1
    for c in range(k):
        if starts[c] < 0 or starts[c] > starts[c + 1] or starts[c + 1] > operations:
            return 1
        load(&inputs[c], 0, rows, values)
        for o in range(starts[c], starts[c + 1]):
            if offsets[o] < 0 or offsets[o + 1] < offsets[o] or offsets[o + 1] > state.arrays[3].size:
                return 1
            count = offsets[o + 1] - offsets[o]
            if codes[o] < 1 or codes[o] >= MOST or (COUNTS[codes[o]] != count and COUNTS[codes[o]] != -1):
                return 1
            if not _apply(codes[o], constants + offsets[o], count, values, rows):
                return 1
        store(&outputs[c], 0, rows, values)
    return 0


KERNELS = {"chain": <uintptr_t><void*>chain}
