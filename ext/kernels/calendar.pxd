# The proleptic Gregorian calendar: days since 1970-01-01 and dates, for the years 1 to 9999.

from libc.stdint cimport int32_t, int64_t

cdef enum:
    DAY = 86400  # seconds

cdef extern from *:
    """
    constexpr int64_t kFirstSecond = -62135596800;  // 0001-01-01T00:00:00
    constexpr int64_t kLastSecond = 253402300799;  // 9999-12-31T23:59:59
    """
    const int64_t FIRST_SECOND "kFirstSecond"
    const int64_t LAST_SECOND "kLastSecond"


ctypedef struct Date:
    int32_t year
    int32_t month
    int32_t day
    int32_t day_of_year  # from 1 on
    int32_t weekday  # Monday is 0


cdef inline bint is_leap(int32_t year) noexcept nogil:
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


cdef inline int32_t days_in_month(int32_t year, int32_t month) noexcept nogil:
    if month == 2:
        return 29 if is_leap(year) else 28
    return 30 if month == 4 or month == 6 or month == 9 or month == 11 else 31


# Days of a year before the first of a month.
cdef inline int32_t days_before_month(int32_t year, int32_t month) noexcept nogil:
    cdef int32_t days = (367 * month - 362) // 12  # as if February had 30
    if month > 2:
        days -= 1 if is_leap(year) else 2
    return days


# Days from 1970-01-01 to the first of January of a year, 1 to 10000.
cdef inline int64_t year_start(int32_t year) noexcept nogil:
    cdef int64_t before = year - 1
    return 365 * before + before // 4 - before // 100 + before // 400 - 719162


# The date of a day from 0001-01-01 to 9999-12-31.
cdef inline Date date_of(int64_t days) noexcept nogil:
    cdef Date date
    cdef int64_t since = days + 719162  # 0001-01-01 is 0, a Monday
    # An average year has 146097 / 400 days, so that this is the year or the one behind it.
    date.year = <int32_t>(since * 400 // 146097) + 1
    if year_start(date.year) > days:
        date.year -= 1
    elif year_start(date.year + 1) <= days:
        date.year += 1
    date.day_of_year = <int32_t>(days - year_start(date.year)) + 1
    # As if no month had more than 31 days: that one, or the one before it.
    date.month = (date.day_of_year - 1) // 31 + 1
    if date.month < 12 and days_before_month(date.year, date.month + 1) < date.day_of_year:
        date.month += 1
    date.day = date.day_of_year - days_before_month(date.year, date.month)
    date.weekday = <int32_t>(since % 7)
    return date


# The ISO 8601 week is that of its Thursday, and its year is the Thursday's.
cdef inline void iso_week(const Date* date, int32_t* year, int32_t* week) noexcept nogil:
    cdef int32_t thursday = date.day_of_year + 3 - date.weekday
    year[0] = date.year
    if thursday < 1:
        year[0] -= 1
        thursday += 365 + is_leap(year[0])
    elif thursday > 365 + is_leap(date.year):
        thursday -= 365 + is_leap(date.year)
        year[0] += 1
    week[0] = (thursday - 1) // 7 + 1
