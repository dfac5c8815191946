# Categories and the hash tables that find them, for kernels that turn a category into something.
#
# Tables of k columns (the inputs of the step, unless its kernel says otherwise), each of text or of numbers; a column's categories are
# counted from 0. State:
#   0 entries     UINT64 [4 * capacities]  open addressing, linear probing; an entry is four words: the value as two words, its size
#                                          (text: bytes; numbers: 0), and 1 + its category (0: free)
#   1 starts      INT64 [k + 1]            where a column's entries start; each capacity a power of two from 2 on
#   2 firsts      INT64 [k + 1]            where a column's categories start, in arrays of all columns' categories one after the other
#   3 text        UINT8                    the UTF-8 of texts of more than 16 bytes
# Whatever a table holds, a lookup ends and reads inside the arrays.
#
# Text of up to 16 bytes is the two words, so that a lookup compares words and touches one cache line: 8 bytes and more are the first
# and the last 8 of them, 4-7 bytes the first and the last 4, 1-3 bytes the first, middle and last; with the size these hold every byte.
# Of longer text the words are its hash and where it starts in `text`. A number is its value (integers) or its bits (doubles, -0.0 as
# 0.0). Lookups insert nothing, so that callers cannot make a table slow.
#
# Long text is hashed in words of 8 bytes, little-endian, each folded in by a product and a shift, at the end by the whole 64-bit
# finaliser of MurmurHash3 (Austin Appleby, public domain, github.com/aappleby/smhasher); the last word overlaps the one before. A
# value's place in the table is the upper bits of its words times an odd constant (Fibonacci hashing: Knuth, The Art of Computer
# Programming 3, 6.4).

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy

from kernels.column cimport (BF16, BYTES, FP16, FP32, FP64, INT64, ROWS, UINT8, UINT64, elements, load, penstock_column,
                             penstock_state, penstock_string)

cdef extern from *:
    int __builtin_clzll(uint64_t word) noexcept nogil

cdef enum:
    UNKNOWN = -1  # no such category
    MISSING = -2  # no value
    SHORT_TEXT = 16  # bytes of the longest text that is in its entry


ctypedef struct Categories:
    const uint64_t* entries
    const int64_t* starts
    const int64_t* firsts
    int64_t count  # of all columns
    const char* text
    int64_t text_size


# One column's table, for loops that look up many values.
ctypedef struct Table:
    const uint64_t* entries
    uint64_t mask  # entries - 1
    int shift      # from a hash to an entry
    uint64_t count
    const char* text
    int64_t text_size


ctypedef struct CategoryKey:
    uint64_t first
    uint64_t second
    uint64_t size


cdef inline uint64_t mixed(uint64_t word) noexcept nogil:
    word = (word ^ (word >> 33)) * <uint64_t>0xFF51AFD7ED558CCDU
    word = (word ^ (word >> 33)) * <uint64_t>0xC4CEB9FE1A85EC53U
    return word ^ (word >> 33)


# Of 8 bytes and more.
cdef inline uint64_t long_text_hash(const char* text, int64_t size) noexcept nogil:
    cdef uint64_t value = <uint64_t>size * <uint64_t>0x9E3779B97F4A7C15U
    cdef uint64_t word = 0
    cdef int64_t at = 0
    while at < size - 8:
        memcpy(&word, text + at, 8)
        value = (value ^ word) * <uint64_t>0xFF51AFD7ED558CCDU
        value ^= value >> 32
        at += 8
    memcpy(&word, text + size - 8, 8)
    return mixed(value ^ word)


# The words of a text; of a long one the second is to be where the text starts.
cdef inline CategoryKey text_key(const char* text, int64_t size) noexcept nogil:
    cdef CategoryKey key
    cdef uint32_t low, high
    cdef const uint8_t* bytes_ = <const uint8_t*>text
    key.first = 0
    key.second = 0
    key.size = <uint64_t>size
    if size > SHORT_TEXT:
        key.first = long_text_hash(text, size)
    elif size >= 8:
        memcpy(&key.first, text, 8)
        memcpy(&key.second, text + size - 8, 8)
    elif size >= 4:
        memcpy(&low, text, 4)
        memcpy(&high, text + size - 4, 4)
        key.first = <uint64_t>high << 32 | low
    elif size > 0:
        key.first = <uint64_t>bytes_[0] | <uint64_t>bytes_[size >> 1] << 8 | <uint64_t>bytes_[size - 1] << 16
    return key


cdef inline CategoryKey number_key(int64_t value) noexcept nogil:
    cdef CategoryKey key
    key.first = <uint64_t>value
    key.second = 0
    key.size = 0
    return key


# The second word of a long text is no part of what is hashed.
cdef inline uint64_t key_hash(const CategoryKey key) noexcept nogil:
    cdef uint64_t second = key.second if key.size <= SHORT_TEXT else 0
    cdef uint64_t word = key.first + (second + key.size) * <uint64_t>0xC4CEB9FE1A85EC53U
    return (word ^ (word >> 32)) * <uint64_t>0x9E3779B97F4A7C15U


# How far to shift a hash for an entry of a table of so many, a power of two from 2 on.
cdef inline int hash_shift(uint64_t capacity) noexcept nogil:
    return __builtin_clzll(capacity) + 1


cdef inline int64_t double_bits(double value) noexcept nogil:
    cdef int64_t key
    value += 0.0
    memcpy(&key, &value, 8)
    return key


# False when the arrays do not have the sizes above, for `columns` tables.
cdef inline bint categories_of(const penstock_state* state, int64_t columns, Categories* found) noexcept nogil:
    cdef const int64_t* starts = <const int64_t*>elements(state, 1, INT64, columns + 1)
    cdef const int64_t* firsts = <const int64_t*>elements(state, 2, INT64, columns + 1)
    cdef int64_t c, capacity
    if state.count < 4 or state.arrays[0].dtype != UINT64 or state.arrays[3].dtype != UINT8:
        return False
    if starts == NULL or firsts == NULL or starts[0] != 0 or firsts[0] != 0:
        return False
    for c in range(columns):
        if starts[c + 1] > state.arrays[0].size or starts[c + 1] <= starts[c] or firsts[c + 1] < firsts[c]:
            return False
        capacity = starts[c + 1] - starts[c]
        if capacity < 2 or capacity & (capacity - 1) != 0:
            return False
    if state.arrays[0].size % 4 != 0 or starts[columns] != state.arrays[0].size // 4:
        return False
    if firsts[columns] > starts[columns]:  # every category has an entry; and so no size computed of it overflows
        return False
    found.entries = <const uint64_t*>state.arrays[0].data
    found.starts = starts
    found.firsts = firsts
    found.count = firsts[columns]
    found.text = <const char*>state.arrays[3].data
    found.text_size = state.arrays[3].size
    return True


cdef inline Table table_of(const Categories* categories, int64_t column) noexcept nogil:
    cdef Table table
    cdef uint64_t capacity = <uint64_t>(categories.starts[column + 1] - categories.starts[column])
    table.entries = categories.entries + 4 * categories.starts[column]
    table.mask = capacity - 1
    table.shift = hash_shift(capacity)
    table.count = <uint64_t>(categories.firsts[column + 1] - categories.firsts[column])
    table.text = categories.text
    table.text_size = categories.text_size
    return table


# Whether an entry of a long text's hash and size is that text.
cdef inline bint _same_text(const Table table, const uint64_t* entry, const char* text, int64_t size) noexcept nogil:
    if size > table.text_size or entry[1] > <uint64_t>(table.text_size - size):
        return False
    return memcmp(table.text + entry[1], text, <size_t>size) == 0


# The category of a key, or UNKNOWN. `text` is that of a key of more than SHORT_TEXT bytes.
cdef inline int64_t find_key(const Table table, const CategoryKey key, const char* text) noexcept nogil:
    cdef uint64_t at = key_hash(key) >> table.shift
    cdef uint64_t probe
    cdef const uint64_t* entry
    for probe in range(table.mask + 1):
        entry = table.entries + 4 * at
        if entry[3] == 0:
            return UNKNOWN
        if entry[0] == key.first and entry[2] == key.size:
            if entry[1] == key.second if key.size <= SHORT_TEXT else _same_text(table, entry, text, <int64_t>key.size):
                return <int64_t>(entry[3] - 1) if entry[3] <= table.count else UNKNOWN
        at = (at + 1) & table.mask
    return UNKNOWN


# As find_key. Most keys are where they are looked for first: one comparison of all words, without a loop.
cdef inline int64_t find_first(const Table table, const CategoryKey key, const char* text) noexcept nogil:
    cdef const uint64_t* entry = table.entries + 4 * (key_hash(key) >> table.shift)
    cdef uint64_t differs = (entry[0] ^ key.first) | (entry[1] ^ key.second) | (entry[2] ^ key.size)
    if differs == 0 and key.size <= SHORT_TEXT and entry[3] - 1 < table.count:
        return <int64_t>(entry[3] - 1)
    return find_key(table, key, text)


# The category of a text, or UNKNOWN, or MISSING.
cdef inline int64_t find_text(const Table table, const penstock_string* text) noexcept nogil:
    if text.data == NULL:
        return MISSING
    return find_first(table, text_key(text.data, text.size), text.data)


# The category of a number: an integer, or the bits of a double.
cdef inline int64_t find_number(const Table table, int64_t value) noexcept nogil:
    return find_first(table, number_key(value), NULL)


# The categories of the rows of one column, of text or of numbers.
cdef inline void find_rows(const Categories* categories, int64_t c, const penstock_column* column, int64_t rows,
                           int64_t* found) noexcept nogil:
    cdef Table table = table_of(categories, c)
    cdef const char* at = <const char*>column.data
    cdef int64_t stride = column.stride
    cdef int32_t dtype = column.dtype
    cdef double[ROWS] values
    cdef int64_t row
    if dtype == BYTES:
        for row in range(rows):
            found[row] = find_text(table, <const penstock_string*>(at + row * stride))
    elif dtype == INT64 or dtype == UINT64:
        for row in range(rows):
            found[row] = find_number(table, (<const int64_t*>(at + row * stride))[0])
    elif dtype == FP64 or dtype == FP32 or dtype == FP16 or dtype == BF16:
        load(column, 0, rows, values)
        for row in range(rows):
            if values[row] != values[row]:
                found[row] = MISSING
            else:
                found[row] = find_number(table, double_bits(values[row]))
    else:  # narrower integers, which are exact in a double
        load(column, 0, rows, values)
        for row in range(rows):
            found[row] = find_number(table, <int64_t>values[row])
