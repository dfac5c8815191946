# Ranks among a column's quantiles, and the normal distribution's quantile of a rank.

from libc.math cimport INFINITY, NAN, log, sqrt
from libc.stdint cimport int64_t


# How many of the ascending `values` are at each of n numbers or below. Takes any values: one beyond the array is
# never read. The n searches go side by side, and without a jump that depends on a value: which way one goes cannot be
# foretold.
cdef inline void below_or_at(const double* values, int64_t count, const double* x, int64_t n, int64_t* found) noexcept nogil:
    cdef int64_t half, i, low
    for i in range(n):
        found[i] = 0
    while count > 1:
        half = count // 2
        for i in range(n):
            low = found[i]
            found[i] = low + half if values[low + half - 1] <= x[i] else low
        count -= half
    if count == 1:
        for i in range(n):
            found[i] += <int64_t>(values[found[i]] <= x[i])


# How many of the ascending `values` are below x.
cdef inline int64_t below(const double* values, int64_t count, double x) noexcept nogil:
    cdef int64_t first = 0
    cdef int64_t half
    while count > 1:
        half = count // 2
        first += half & -<int64_t>(values[first + half - 1] < x)
        count -= half
    return first + 1 if count == 1 and values[first] < x else first


# On the line from (x0, y0) to (x1, y1), as numpy.interp has it: from the left point, and from the right one where the
# left gives no number (the slope may be infinite or too small).
cdef inline double _between(double x, double x0, double y0, double x1, double y1) noexcept nogil:
    cdef double slope = (y1 - y0) / (x1 - x0)
    cdef double y = slope * (x - x0) + y0
    if y == y:
        return y
    y = slope * (x - x1) + y1
    if y != y and y0 == y1:
        return y0
    return y


cdef inline double _sum(double x, double y, bint single) noexcept nogil:
    return <double>(<float>x + <float>y) if single else x + y


# The rank of x among `n` ascending quantiles, n > 0, whose ranks are `references`: between two neighbours on the
# line, for one that occurs several times the middle of their ranks. `above` of the quantiles are at x or below. The
# ends, and what is within `margin` of them, have the ranks 0 and 1: what scikit-learn's QuantileTransformer does. There
# a margin of no effect (x + margin is x) leaves ties at an end the middle of their ranks; `single`: x is of single
# precision, and so are x + margin and x - margin.
cdef inline double rank(double x, double margin, bint single, const double* references, const double* quantiles,
                        int64_t n, int64_t above) noexcept nogil:
    cdef double low = quantiles[0]
    cdef double high = quantiles[n - 1]
    cdef double ascending, descending
    cdef int64_t from_below
    if x != x:
        return x
    if (_sum(x, -margin, single) < low) if margin > 0.0 else x == low:
        return 0.0
    if (_sum(x, margin, single) > high) if margin > 0.0 else x == high:
        return 1.0
    if above == 0:
        return references[0]
    if quantiles[above - 1] == x:
        from_below = below(quantiles, n, x)
        return 0.5 * (references[above - 1] + references[from_below])
    if above == n:
        return references[n - 1]
    ascending = _between(x, quantiles[above - 1], references[above - 1], quantiles[above], references[above])
    descending = _between(-x, -quantiles[above], -references[above], -quantiles[above - 1], -references[above - 1])
    return 0.5 * (ascending - descending)


# The quantile over p - 0.5, for |p - 0.5| <= 0.425, of r = 0.425^2 - (p - 0.5)^2.
cdef inline double _central(double r) noexcept nogil:
    cdef double above = (((((((2.5090809287301226727e3 * r + 3.3430575583588128105e4) * r + 6.7265770927008700853e4) * r
                         + 4.5921953931549871457e4) * r + 1.3731693765509461125e4) * r + 1.9715909503065514427e3) * r +
                         1.3314166789178437745e2) * r + 3.3871328727963666080e0)
    cdef double under = (((((((5.2264952788528545610e3 * r + 2.8729085735721942674e4) * r + 3.9307895800092710610e4) * r
                         + 2.1213794301586595867e4) * r + 5.3941960214247511077e3) * r + 6.8718700749205790830e2) * r +
                         4.2313330701600911252e1) * r + 1.0)
    return above / under


# The quantile's size in the tails, of r = sqrt(-log p) - 1.6, for sqrt(-log p) <= 5.
cdef inline double _tail(double r) noexcept nogil:
    cdef double above = (((((((7.74545014278341407640e-4 * r + 2.27238449892691845833e-2) * r +
                         2.41780725177450611770e-1) * r + 1.27045825245236838258e0) * r + 3.64784832476320460504e0) * r +
                         5.76949722146069140550e0) * r + 4.63033784615654529590e0) * r + 1.42343711074968357734e0)
    cdef double under = (((((((1.05075007164441684324e-9 * r + 5.47593808499534494600e-4) * r +
                         1.51986665636164571966e-2) * r + 1.48103976427480074590e-1) * r + 6.89767334985100004550e-1) * r
                         + 1.67638483018380384940e0) * r + 2.05319162663775882187e0) * r + 1.0)
    return above / under


# The same beyond, of r = sqrt(-log p) - 5.
cdef inline double _far_tail(double r) noexcept nogil:
    cdef double above = (((((((2.01033439929228813265e-7 * r + 2.71155556874348757815e-5) * r +
                         1.24266094738807843860e-3) * r + 2.65321895265761230930e-2) * r + 2.96560571828504891230e-1) * r
                         + 1.78482653991729133580e0) * r + 5.46378491116411436990e0) * r + 6.65790464350110377720e0)
    cdef double under = (((((((2.04426310338993978564e-15 * r + 1.42151175831644588870e-7) * r +
                         1.84631831751005468180e-5) * r + 7.86869131145613259100e-4) * r + 1.48753612908506148525e-2) * r
                         + 1.36929880922735805310e-1) * r + 5.99832206555887937690e-1) * r + 1.0)
    return above / under


# The standard normal distribution's quantile: -inf at 0, inf at 1, NaN outside. Source: M. J. Wichura, "Algorithm AS
# 241: the percentage points of the normal distribution", Applied Statistics 37, 1988 (PPND16: about 1 part in 10^16).
cdef inline double normal_quantile(double p) noexcept nogil:
    cdef double q = p - 0.5
    cdef double r
    if p != p or p < 0.0 or p > 1.0:
        return NAN
    if p == 0.0 or p == 1.0:
        return -INFINITY if p == 0.0 else INFINITY
    if -0.425 <= q <= 0.425:
        return q * _central(0.180625 - q * q)
    r = sqrt(-log(p if q < 0.0 else 1.0 - p))
    r = _tail(r - 1.6) if r <= 5.0 else _far_tail(r - 5.0)
    return -r if q < 0.0 else r
