# Categories and the hash tables that find them, for kernels that turn a category into something.
#
# A step reads k columns, all text or all numbers; the categories of its columns stand one column after the other. State:
#   0 entries     UINT64 [sum of capacities]  open addressing, linear probing: the upper half of the hash << 32 | 1 + category; 0: free
#   1 starts      INT64 [k + 1]               where a column's entries start; each capacity a power of two, never full
#   2 offsets     INT64 [categories + 1]      text: where a category's text starts in ...
#     or keys     INT64 [categories]          numbers: the value of an integer, the bits of a double (-0.0 as 0.0)
#   3 text        UINT8                       ... the UTF-8 of all categories; numbers: empty
# Whatever a table holds, a lookup ends and reads inside the arrays.
#
# The hash: words of 8 bytes, little-endian, each folded in by the 64-bit finaliser of MurmurHash3 (Austin Appleby, public domain,
# github.com/aappleby/smhasher). The last word of a longer text overlaps the one before; text of 4-7 bytes is two overlapping halves, of
# 1-3 bytes its first, middle and last byte. The length is the seed, which tells these apart. Lookups insert nothing, so that callers cannot
# make a table slow.

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy

from kernels.column cimport (BF16, FP16, FP32, FP64, INT64, UINT8, UINT64, load, penstock_column,
                             penstock_state, penstock_string)

cdef enum:
    UNKNOWN = -1  # no such category
    MISSING = -2  # no value


ctypedef struct Categories:
    const uint64_t* entries
    const int64_t* starts
    int64_t capacity  # of all columns
    const int64_t* keys  # or offsets
    int64_t count
    const char* text
    int64_t text_size


cdef inline uint64_t mixed(uint64_t word) noexcept nogil:
    word = (word ^ (word >> 33)) * <uint64_t>0xFF51AFD7ED558CCDU
    word = (word ^ (word >> 33)) * <uint64_t>0xC4CEB9FE1A85EC53U
    return word ^ (word >> 33)


cdef inline uint64_t text_hash(const char* text, int64_t size) noexcept nogil:
    cdef uint64_t value = <uint64_t>size * <uint64_t>0x9E3779B97F4A7C15U
    cdef uint64_t word = 0
    cdef uint32_t low, high
    cdef int64_t at = 0
    cdef const uint8_t* bytes_ = <const uint8_t*>text
    if size >= 8:
        while at < size - 8:
            memcpy(&word, text + at, 8)
            value = mixed(value ^ word)
            at += 8
        memcpy(&word, text + size - 8, 8)
    elif size >= 4:
        memcpy(&low, text, 4)
        memcpy(&high, text + size - 4, 4)
        word = <uint64_t>high << 32 | low
    elif size > 0:
        word = <uint64_t>bytes_[0] | <uint64_t>bytes_[size >> 1] << 8 | <uint64_t>bytes_[size - 1] << 16
    return mixed(value ^ word)


cdef inline int64_t double_key(double value) noexcept nogil:
    cdef int64_t key
    value += 0.0
    memcpy(&key, &value, 8)
    return key


# False when the arrays do not have the sizes above.
cdef inline bint categories_of(const penstock_state* state, bint text, Categories* found) noexcept nogil:
    cdef int64_t c, start, end
    if state.count < 4 or state.arrays[0].dtype != UINT64 or state.arrays[1].dtype != INT64:
        return False
    if state.arrays[2].dtype != INT64 or state.arrays[3].dtype != UINT8:
        return False
    if state.arrays[1].size != state.inputs + 1 or (text and state.arrays[2].size < 1):
        return False
    found.entries = <const uint64_t*>state.arrays[0].data
    found.capacity = state.arrays[0].size
    found.starts = <const int64_t*>state.arrays[1].data
    found.keys = <const int64_t*>state.arrays[2].data
    found.count = state.arrays[2].size - (1 if text else 0)
    found.text = <const char*>state.arrays[3].data
    found.text_size = state.arrays[3].size
    for c in range(state.inputs):
        start = found.starts[c]
        end = found.starts[c + 1]
        if start < 0 or end <= start or end > found.capacity or (end - start) & (end - start - 1) != 0:
            return False
    return True


# The category of a text in one column, counted over all columns of the step.
cdef inline int64_t find_text(const Categories* categories, int64_t column, const penstock_string* text) noexcept nogil:
    cdef const uint64_t* entries = categories.entries + categories.starts[column]
    cdef uint64_t mask = <uint64_t>(categories.starts[column + 1] - categories.starts[column] - 1)
    cdef uint64_t value, at, probe
    cdef int64_t category, begin, end
    if text.data == NULL:
        return MISSING
    if text.size > categories.text_size:
        return UNKNOWN
    value = text_hash(text.data, text.size)
    at = value & mask
    for probe in range(mask + 1):
        if entries[at] == 0:
            return UNKNOWN
        if entries[at] >> 32 == value >> 32:
            category = <int64_t>(entries[at] & 0xFFFFFFFFU) - 1
            if category < 0 or category >= categories.count:
                return UNKNOWN
            begin = categories.keys[category]
            end = categories.keys[category + 1]
            if 0 <= begin <= end <= categories.text_size and end - begin == text.size:
                if memcmp(categories.text + begin, text.data, <size_t>text.size) == 0:
                    return category
        at = (at + 1) & mask
    return UNKNOWN


# As find_text, for a key.
cdef inline int64_t find_key(const Categories* categories, int64_t column, int64_t key) noexcept nogil:
    cdef const uint64_t* entries = categories.entries + categories.starts[column]
    cdef uint64_t mask = <uint64_t>(categories.starts[column + 1] - categories.starts[column] - 1)
    cdef uint64_t value = mixed(<uint64_t>key)
    cdef uint64_t at = value & mask
    cdef uint64_t probe
    cdef int64_t category
    for probe in range(mask + 1):
        if entries[at] == 0:
            return UNKNOWN
        if entries[at] >> 32 == value >> 32:
            category = <int64_t>(entries[at] & 0xFFFFFFFFU) - 1
            if category < 0 or category >= categories.count:
                return UNKNOWN
            if categories.keys[category] == key:
                return category
        at = (at + 1) & mask
    return UNKNOWN


# The category of one row of a BYTES column.
cdef inline int64_t text_category(const Categories* categories, int64_t c, const penstock_column* column,
                                  int64_t row) noexcept nogil:
    return find_text(categories, c, <const penstock_string*>(<const char*>column.data + row * column.stride))


# The category of one row of a column of integers, booleans or floating point numbers.
cdef inline int64_t number_category(const Categories* categories, int64_t c, const penstock_column* column,
                                    int64_t row) noexcept nogil:
    cdef const char* at = <const char*>column.data + row * column.stride
    cdef int32_t dtype = column.dtype
    cdef double value
    if dtype == INT64 or dtype == UINT64:
        return find_key(categories, c, (<const int64_t*>at)[0])
    load(column, row, 1, &value)
    if dtype == FP64 or dtype == FP32 or dtype == FP16 or dtype == BF16:
        return MISSING if value != value else find_key(categories, c, double_key(value))
    return find_key(categories, c, <int64_t>value)  # narrower integers are exact in a double
