# Points in time as ISO 8601 writes them in its extended format: a date, or a date and a time, perhaps with an offset from UTC.
#
#   YYYY-MM-DD [ (T | t | space) HH [ :MM [ :SS [ (. | ,) digits ] ] ] [ Z | z | (+ | -) HH [ [:] MM ] ] ]

from libc.stdint cimport int32_t, int64_t

from kernels.calendar cimport DAY, days_before_month, days_in_month, year_start


ctypedef struct Moment:
    int64_t seconds  # since 1970-01-01T00:00:00, of the clock that the text shows
    double fraction  # of a second
    int32_t offset  # seconds ahead of UTC
    bint has_offset


ctypedef struct Scan:
    const char* text
    int64_t size
    int64_t at


# `digits` digits as a number, or -1.
cdef inline int32_t _number(Scan* scan, int digits) noexcept nogil:
    cdef int32_t value = 0
    cdef int i
    cdef char c
    if scan.size - scan.at < digits:
        return -1
    for i in range(digits):
        c = scan.text[scan.at + i]
        if c < c'0' or c > c'9':
            return -1
        value = 10 * value + (c - c'0')
    scan.at += digits
    return value


cdef inline bint _follows(Scan* scan, char c) noexcept nogil:
    if scan.at < scan.size and scan.text[scan.at] == c:
        scan.at += 1
        return True
    return False


# Of 15 digits the number and its scale are exact in a double, and their quotient is the nearest one. Digits behind these are dropped.
cdef inline bint _fraction(Scan* scan, double* fraction) noexcept nogil:
    cdef int64_t digits = 0
    cdef int64_t value = 0
    cdef double scale = 1.0
    cdef char c
    while scan.at < scan.size:
        c = scan.text[scan.at]
        if c < c'0' or c > c'9':
            break
        if digits < 15:
            value = 10 * value + (c - c'0')
            scale *= 10.0
        digits += 1
        scan.at += 1
    fraction[0] = <double>value / scale
    return digits > 0


cdef inline bint _time(Scan* scan, Moment* moment) noexcept nogil:
    cdef int32_t hour = _number(scan, 2)
    cdef int32_t minute = 0
    cdef int32_t second = 0
    if hour < 0 or hour > 23:
        return False
    if _follows(scan, c':'):
        minute = _number(scan, 2)
        if minute < 0 or minute > 59:
            return False
        if _follows(scan, c':'):
            second = _number(scan, 2)
            if second < 0 or second > 59:
                return False
            if (_follows(scan, c'.') or _follows(scan, c',')) and not _fraction(scan, &moment.fraction):
                return False
    moment.seconds += 3600 * hour + 60 * minute + second
    return True


cdef inline bint _offset(Scan* scan, Moment* moment) noexcept nogil:
    cdef int32_t sign = 1
    cdef int32_t hours
    cdef int32_t minutes = 0
    if scan.at == scan.size:
        return True
    moment.has_offset = True
    if _follows(scan, c'Z') or _follows(scan, c'z'):
        return scan.at == scan.size
    if _follows(scan, c'-'):
        sign = -1
    elif not _follows(scan, c'+'):
        return False
    hours = _number(scan, 2)
    if scan.at < scan.size:
        _follows(scan, c':')
        minutes = _number(scan, 2)
    if hours < 0 or hours > 23 or minutes < 0 or minutes > 59 or scan.at != scan.size:
        return False
    moment.offset = sign * (3600 * hours + 60 * minutes)
    return True


# False for what is no such text, or a day that there is not. No leap seconds.
cdef inline bint read_moment(const char* text, int64_t size, Moment* moment) noexcept nogil:
    cdef Scan scan
    cdef int32_t year, month, day
    scan.text = text
    scan.size = size
    scan.at = 0
    moment.fraction = 0.0
    moment.offset = 0
    moment.has_offset = False
    year = _number(&scan, 4)
    if year < 1 or not _follows(&scan, c'-'):
        return False
    month = _number(&scan, 2)
    if month < 1 or month > 12 or not _follows(&scan, c'-'):
        return False
    day = _number(&scan, 2)
    if day < 1 or day > days_in_month(year, month):
        return False
    moment.seconds = DAY * (year_start(year) + days_before_month(year, month) + day - 1)
    if scan.at == size:
        return True
    if not (_follows(&scan, c'T') or _follows(&scan, c't') or _follows(&scan, c' ')):
        return False
    return _time(&scan, moment) and _offset(&scan, moment)
