"""Points in time to parts of their dates and times in a time zone."""

from libc.math cimport NAN, floor
from libc.stdint cimport int32_t, int64_t, uint32_t, uintptr_t

from kernels.calendar cimport (DAY, FIRST_SECOND, LAST_SECOND, Date, date_of, days_in_month, is_leap, iso_week)
from kernels.column cimport (BYTES, FP64, INT32, INT64, UINT32, elements, penstock_column, penstock_state,
                             penstock_string, set_element, settable)
from kernels.iso8601 cimport Moment, read_moment

cdef enum Part:
    YEAR
    ISO_YEAR
    QUARTER
    MONTH
    WEEK
    DAY_OF_MONTH
    DAY_OF_YEAR
    WEEKDAY
    HOUR
    MINUTE
    SECOND
    MINUTE_OF_DAY
    IS_WEEKEND
    IS_MONTH_START
    IS_MONTH_END
    IS_LEAP_YEAR
    DAYS_IN_MONTH
    UTC_OFFSET
    EPOCH_SECONDS
    PARTS_END

PARTS = {
    "year": YEAR,
    "iso_year": ISO_YEAR,
    "quarter": QUARTER,
    "month": MONTH,
    "week": WEEK,
    "day": DAY_OF_MONTH,
    "day_of_year": DAY_OF_YEAR,
    "weekday": WEEKDAY,
    "hour": HOUR,
    "minute": MINUTE,
    "second": SECOND,
    "minute_of_day": MINUTE_OF_DAY,
    "is_weekend": IS_WEEKEND,
    "is_month_start": IS_MONTH_START,
    "is_month_end": IS_MONTH_END,
    "is_leap_year": IS_LEAP_YEAR,
    "days_in_month": DAYS_IN_MONTH,
    "utc_offset": UTC_OFFSET,
    "epoch_seconds": EPOCH_SECONDS,
}

cdef extern from *:
    """
    // After so many seconds the Gregorian calendar comes again, weekdays and all: 400 years.
    constexpr int64_t kCycle = INT64_C(146097) * 86400;
    """
    const int64_t CYCLE "kCycle"


# Offsets from UTC: offsets[0] before instants[0], offsets[i + 1] from instants[i] on. From `horizon` on they repeat every CYCLE.
ctypedef struct Zone:
    const int64_t* instants
    const int32_t* offsets
    int64_t count
    int64_t horizon
    bint naive  # whether numbers count on the zone's clock, not in UTC


ctypedef struct Point:
    int64_t local  # seconds since 1970-01-01T00:00:00 of the zone's clock
    int64_t offset
    double fraction


cdef inline int64_t _folded(const Zone* zone, int64_t seconds) noexcept nogil:
    if seconds < zone.horizon:
        return seconds
    return seconds - ((seconds - zone.horizon) // CYCLE + 1) * CYCLE


# How many changes are over. `local`: `seconds` is what the clock shows; of an hour that it shows twice the first one counts, and one that
# it leaves out counts as if it had not changed yet. (PEP 495, fold=0.)
cdef inline int64_t _changes(const Zone* zone, int64_t seconds, bint local) noexcept nogil:
    cdef int64_t low = 0
    cdef int64_t high = zone.count
    cdef int64_t middle, instant
    seconds = _folded(zone, seconds)
    while low < high:
        middle = (low + high) // 2
        instant = seconds
        if local:
            instant -= max(zone.offsets[middle], zone.offsets[middle + 1])
        if zone.instants[middle] <= instant:
            low = middle + 1
        else:
            high = middle
    return low


cdef inline bint _in_range(int64_t seconds, int64_t margin) noexcept nogil:
    return FIRST_SECOND - margin <= seconds <= LAST_SECOND + margin


# An instant on the zone's clock; False where that shows no year from 1 to 9999.
cdef inline bint _at_instant(const Zone* zone, int64_t seconds, Point* point) noexcept nogil:
    if not _in_range(seconds, 2 * DAY):
        return False
    point.offset = zone.offsets[_changes(zone, seconds, False)]
    point.local = seconds + point.offset
    return _in_range(point.local, 0)


# What the zone's clock shows; False where that is no year from 1 to 9999.
cdef inline bint _on_clock(const Zone* zone, int64_t seconds, Point* point) noexcept nogil:
    if not _in_range(seconds, 0):
        return False
    point.local = seconds
    point.offset = zone.offsets[_changes(zone, seconds, True)]
    return True


cdef inline bint _of_ticks(const Zone* zone, int64_t ticks, int64_t per_second, Point* point) noexcept nogil:
    cdef int64_t seconds = ticks // per_second
    cdef int64_t rest = ticks % per_second
    if rest < 0:  # C divides towards zero
        seconds -= 1
        rest += per_second
    point.fraction = <double>rest / <double>per_second
    return _on_clock(zone, seconds, point) if zone.naive else _at_instant(zone, seconds, point)


cdef inline bint _of_double(const Zone* zone, double ticks, int64_t per_second, Point* point) noexcept nogil:
    cdef double whole = floor(ticks)
    if not (-9.2e18 < whole < 9.2e18):  # also NaN
        return False
    if not _of_ticks(zone, <int64_t>whole, per_second, point):
        return False
    point.fraction += (ticks - whole) / <double>per_second
    return True


cdef inline bint _of_text(const Zone* zone, const penstock_string* text, Point* point) noexcept nogil:
    cdef Moment moment
    if text.data == NULL or not read_moment(text.data, text.size, &moment):
        return False
    point.fraction = moment.fraction
    if moment.has_offset:
        return _at_instant(zone, moment.seconds - moment.offset, point)
    return _on_clock(zone, moment.seconds, point)


cdef inline bint _read(const Zone* zone, const penstock_column* column, int64_t row, int64_t per_second,
                       Point* point) noexcept nogil:
    cdef const char* at = <const char*>column.data + row * column.stride
    if column.dtype == INT64:
        return _of_ticks(zone, (<const int64_t*>at)[0], per_second, point)
    if column.dtype == FP64:
        return _of_double(zone, (<const double*>at)[0], per_second, point)
    if column.dtype == BYTES:
        return _of_text(zone, <const penstock_string*>at, point)
    if column.dtype == INT32:
        return _of_ticks(zone, (<const int32_t*>at)[0], per_second, point)
    return _of_ticks(zone, (<const uint32_t*>at)[0], per_second, point)


cdef inline double _part(int32_t part, const Point* point, int64_t days, const Date* date) noexcept nogil:
    cdef int64_t second = point.local - days * DAY
    cdef int32_t iso_year, week
    if part == YEAR:
        return date.year
    if part == ISO_YEAR or part == WEEK:
        iso_week(date, &iso_year, &week)
        return week if part == WEEK else iso_year
    if part == QUARTER:
        return (date.month - 1) // 3 + 1
    if part == MONTH:
        return date.month
    if part == DAY_OF_MONTH:
        return date.day
    if part == DAY_OF_YEAR:
        return date.day_of_year
    if part == WEEKDAY:
        return date.weekday
    if part == HOUR:
        return <double>(second // 3600)
    if part == MINUTE:
        return <double>(second // 60 % 60)
    if part == SECOND:
        return <double>(second % 60)
    if part == MINUTE_OF_DAY:
        return <double>(second // 60)
    if part == IS_WEEKEND:
        return date.weekday >= 5
    if part == IS_MONTH_START:
        return date.day == 1
    if part == IS_MONTH_END:
        return date.day == days_in_month(date.year, date.month)
    if part == IS_LEAP_YEAR:
        return is_leap(date.year)
    if part == DAYS_IN_MONTH:
        return days_in_month(date.year, date.month)
    if part == UTC_OFFSET:
        return <double>point.offset / 60.0
    return <double>(point.local - point.offset) + point.fraction


# One input: INT64, INT32, UINT32 or FP64 ticks since 1970-01-01T00:00:00, or BYTES of ISO 8601; one block, of a column for each part.
# State:
#   0 parts     INT32 [parts]
#   1 instants  INT64 [changes]      ascending: when the zone's offset changes
#   2 offsets   INT32 [changes + 1]  seconds ahead of UTC: before them, and from each on
#   3 settings  INT64 [4]            ticks a second; from when on the offsets repeat every 400 years; 1 where what is no point in time is
#                                    refused, 0 where it is NaN in all parts; 1 where ticks count on the zone's clock, 0 where in UTC
cdef int date_parts(const void* state_, const penstock_column* inputs, penstock_column* outputs, int64_t rows) noexcept nogil:
    cdef const penstock_state* state = <const penstock_state*>state_
    cdef const int64_t* settings = <const int64_t*>elements(state, 3, INT64, 4)
    cdef const int32_t* parts
    cdef Zone zone
    cdef Point point
    cdef Date date
    cdef int64_t row, days, p
    cdef int32_t dtype = inputs[0].dtype
    if state.count != 4 or state.inputs != 1 or state.outputs != 1 or settings == NULL or not settable(&outputs[0]):
        return 1
    if dtype != INT64 and dtype != FP64 and dtype != BYTES and dtype != INT32 and dtype != UINT32:
        return 1
    zone.count = state.arrays[1].size
    zone.instants = <const int64_t*>elements(state, 1, INT64, zone.count)
    zone.offsets = <const int32_t*>elements(state, 2, INT32, zone.count + 1)
    zone.horizon = settings[1]
    zone.naive = settings[3] != 0
    parts = <const int32_t*>elements(state, 0, INT32, outputs[0].width)
    if zone.instants == NULL or zone.offsets == NULL or parts == NULL or settings[0] < 1:
        return 1
    if not _in_range(zone.horizon, 0):
        return 1
    for p in range(outputs[0].width):
        if parts[p] < 0 or parts[p] >= PARTS_END:
            return 1
    for row in range(rows):
        if _read(&zone, &inputs[0], row, settings[0], &point):
            days = (point.local - FIRST_SECOND) // DAY + FIRST_SECOND // DAY
            date = date_of(days)
            for p in range(outputs[0].width):
                set_element(&outputs[0], row, p, _part(parts[p], &point, days, &date))
        elif settings[2] != 0:
            return <int>(row + 1)
        else:
            for p in range(outputs[0].width):
                set_element(&outputs[0], row, p, NAN)
    return 0


def is_moment(bytes text not None) -> bool:
    """Whether a text is a point in time, as the kernel reads it."""
    cdef Moment moment
    return read_moment(text, len(text), &moment)


KERNELS = {"date_parts": <uintptr_t><void*>date_parts}
