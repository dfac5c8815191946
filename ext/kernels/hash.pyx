"""The hashing trick: texts and integers to buckets, without a table of them."""

from libc.math cimport NAN
from libc.stdint cimport int32_t, int64_t, uint32_t, uint64_t, uintptr_t

from kernels.column cimport (BYTES, FP64, INT8, INT16, INT32, INT64, ROWS, UINT8, UINT16, UINT32, UINT64, clear_row,
                             elements, load, penstock_column, penstock_state, penstock_string, settable,
                             storable, store)
from kernels.murmur3 cimport Murmur3, hash_column, hash_is_negative, murmur3_finish, murmur3_start, murmur3_update

cdef enum:
    DIGITS = 20  # of the longest 64-bit integer, its sign among them


cdef inline bint _hashable(int32_t dtype) noexcept nogil:
    return (dtype == BYTES or dtype == INT64 or dtype == INT32 or dtype == INT16 or dtype == INT8 or dtype == UINT64
            or dtype == UINT32 or dtype == UINT16 or dtype == UINT8)


# The decimal digits of an integer, at the end of DIGITS characters: how many there are.
cdef inline int64_t _decimal(uint64_t magnitude, bint negative, char* digits) noexcept nogil:
    cdef int64_t at = DIGITS
    while True:
        at -= 1
        digits[at] = <char>(48 + magnitude % 10)
        magnitude //= 10
        if magnitude == 0:
            break
    if negative:
        at -= 1
        digits[at] = 45
    return DIGITS - at


# One row's value of a column as text: itself, or the digits of an integer in `digits`. Null data: missing.
cdef inline penstock_string _text_of(const penstock_column* column, int64_t row, char* digits) noexcept nogil:
    cdef const char* at = <const char*>column.data + row * column.stride
    cdef penstock_string text
    cdef int64_t value
    cdef double narrow = 0.0
    if column.dtype == BYTES:
        return (<const penstock_string*>at)[0]
    if column.dtype == UINT64:
        text.size = _decimal((<const uint64_t*>at)[0], False, digits)
    else:
        if column.dtype == INT64:
            value = (<const int64_t*>at)[0]
        else:
            load(column, row, 1, &narrow)  # narrower integers are exact in a double
            value = <int64_t>narrow
        text.size = _decimal(0 - <uint64_t>value if value < 0 else <uint64_t>value, value < 0, digits)
    text.data = digits + DIGITS - text.size
    return text


# A part of a combination, as Cross writes it: `\` before `\` and `|`, and `\missing` for none.
cdef inline void _update_part(Murmur3* hash_, const penstock_string* part) noexcept nogil:
    cdef int64_t start = 0
    cdef int64_t at
    if part.data == NULL:
        murmur3_update(hash_, "\\missing", 8)
        return
    for at in range(part.size):
        if part.data[at] == 92 or part.data[at] == 124:
            murmur3_update(hash_, part.data + start, at - start)
            murmur3_update(hash_, "\\", 1)
            start = at
    murmur3_update(hash_, part.data + start, part.size - start)


# Adds to one of a block's columns in one row.
cdef inline void _add(const penstock_column* block, int64_t row, int64_t element, double value) noexcept nogil:
    cdef char* first = <char*>block.data + row * block.stride
    if block.dtype == FP64:
        (<double*>first)[element] += value
    else:
        (<float*>first)[element] += <float>value


cdef inline bint _divides(const int64_t* offsets, int64_t count, int64_t size) noexcept nogil:
    cdef int64_t i
    for i in range(count):
        if offsets[i] < 0 or offsets[i + 1] < offsets[i] or offsets[i + 1] > size:
            return False
    return True


# Whether there is an output for each value: a block of so many buckets, which may be one for all values, or a number where that is 0.
cdef inline bint _writable(const penstock_column* outputs, int64_t count, int64_t values, int64_t buckets) noexcept nogil:
    cdef int64_t c
    if buckets == 0:
        return count == values and storable(outputs, count)
    for c in range(count):
        if not settable(&outputs[c]) or outputs[c].width != buckets:
            return False
    return count == values or count == 1


# k inputs of text or integers. State:
#   0 settings  INT64 [4]            buckets, at least 1; whether values count as 1 or -1 by the hash's sign; whether all columns of a
#                                    row are hashed as one combination; whether to write the bucket itself
#   1 offsets   INT64 [values + 1]   where what goes before a value starts in ...
#   2 text      UINT8                ... text; values: k, or 1 for combinations
# Outputs: a block of `buckets` columns for each value, or one that all add up in; or the bucket of each value, NaN for missing.
cdef int hash_values(const void* state_, const penstock_column* inputs, penstock_column* outputs,
                     int64_t rows) noexcept nogil:
    cdef const penstock_state* state = <const penstock_state*>state_
    cdef const int64_t* settings = <const int64_t*>elements(state, 0, INT64, 4)
    cdef const int64_t* offsets
    cdef const char* text
    cdef char[DIGITS] digits
    cdef double[ROWS] found
    cdef penstock_string part
    cdef Murmur3 hash_
    cdef int64_t values, value, row, c, bucket
    cdef uint32_t hashed
    cdef bint signed_, combined, indexed
    cdef penstock_column* block
    if settings == NULL or settings[0] < 1 or state.inputs < 1 or state.count < 3:
        return 1
    signed_ = settings[1] != 0
    combined = settings[2] != 0
    indexed = settings[3] != 0
    values = 1 if combined else state.inputs
    offsets = <const int64_t*>elements(state, 1, INT64, values + 1)
    text = <const char*>state.arrays[2].data
    if offsets == NULL or state.arrays[2].dtype != UINT8 or not _divides(offsets, values, state.arrays[2].size):
        return 1
    for c in range(state.inputs):
        if not _hashable(inputs[c].dtype):
            return 1
    if not _writable(outputs, state.outputs, values, 0 if indexed else settings[0]):
        return 1
    if not indexed:
        for c in range(state.outputs):
            for row in range(rows):
                clear_row(&outputs[c], row)
    for value in range(values):
        block = &outputs[value if state.outputs == values else 0]
        for row in range(rows):
            murmur3_start(&hash_, 0)
            murmur3_update(&hash_, text + offsets[value], offsets[value + 1] - offsets[value])
            if combined:
                for c in range(state.inputs):
                    if c > 0:
                        murmur3_update(&hash_, "|", 1)
                    part = _text_of(&inputs[c], row, digits)
                    _update_part(&hash_, &part)
            else:
                part = _text_of(&inputs[value], row, digits)
                if part.data == NULL:
                    found[row] = NAN
                    continue
                murmur3_update(&hash_, part.data, part.size)
            hashed = murmur3_finish(&hash_)
            bucket = hash_column(hashed, settings[0])
            if indexed:
                found[row] = <double>bucket
            else:
                _add(block, row, bucket, -1.0 if signed_ and hash_is_negative(hashed) else 1.0)
        if indexed:
            store(block, 0, rows, found)
    return 0


KERNELS = {"hash": <uintptr_t><void*>hash_values}
