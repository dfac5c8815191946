# The power transforms that make a column's distribution more like a normal one.

from libc.math cimport exp, expm1, fabs, log, log1p


# (x^lambda - 1) / lambda, and log(x) for lambda 0. -inf or -1 / lambda at 0, NaN below. Source: G. E. P. Box and D.
# R. Cox, "An analysis of transformations", Journal of the Royal Statistical Society B 26, 1964.
cdef inline double box_cox(double x, double power) noexcept nogil:
    cdef double exponent
    if fabs(power) < 1e-19:  # then power * log(x) is lost beside 1 for every double x
        return log(x)
    exponent = power * log(x)
    if exponent <= 709.0:  # exp() of it is a double
        return expm1(exponent) / power
    # x^lambda may be too large for a double, and x^lambda / lambda not.
    exponent = exp(exponent - log(fabs(power)))
    return (exponent if power > 0.0 else -exponent) - 1.0 / power


# Box-Cox of 1 + x with lambda, and for negative numbers minus that of 1 - x with 2 - lambda. Source: I.-K. Yeo and R.
# A. Johnson, "A new family of power transformations to improve normality or symmetry", Biometrika 87, 2000.
cdef inline double yeo_johnson(double x, double power) noexcept nogil:
    cdef bint negative = x < 0.0
    cdef double size = log1p(fabs(x))
    cdef double y
    if negative:
        power = 2.0 - power
    y = size if fabs(power) <= 2.220446049250313e-16 else expm1(power * size) / power
    return -y if negative else y
