# MurmurHash3_x86_32, the hash of the hashing trick: Austin Appleby's, public domain (github.com/aappleby/smhasher).
#
# The whole text at once with murmur3_32(), or in parts: murmur3_start(), any number of murmur3_update(), murmur3_finish(). How a text is
# cut into parts does not change its hash. Words are little-endian, as on every machine that this runs on.

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy


ctypedef struct Murmur3:
    uint64_t size  # bytes so far
    uint32_t hash  # of the whole words so far
    uint32_t tail  # size % 4 bytes that make no word yet, the first lowest


cdef inline uint32_t _rotated(uint32_t value, int bits) noexcept nogil:
    return value << bits | value >> (32 - bits)


cdef inline uint32_t _scrambled(uint32_t word) noexcept nogil:
    return _rotated(word * <uint32_t>0xCC9E2D51U, 15) * <uint32_t>0x1B873593U


cdef inline uint32_t _folded(uint32_t hash_, uint32_t word) noexcept nogil:
    return _rotated(hash_ ^ _scrambled(word), 13) * 5 + <uint32_t>0xE6546B64U


cdef inline void murmur3_start(Murmur3* state, uint32_t seed) noexcept nogil:
    state.size = 0
    state.hash = seed
    state.tail = 0


cdef inline void murmur3_update(Murmur3* state, const char* text, int64_t size) noexcept nogil:
    cdef const uint8_t* bytes_ = <const uint8_t*>text
    cdef int held = <int>(state.size & 3)
    cdef uint32_t hash_ = state.hash
    cdef uint32_t tail = state.tail
    cdef uint32_t word = 0
    cdef int64_t at = 0
    state.size += <uint64_t>size
    while held != 0 and at < size:
        tail |= <uint32_t>bytes_[at] << (8 * held)
        at += 1
        held = (held + 1) & 3
        if held == 0:
            hash_ = _folded(hash_, tail)
            tail = 0
    while size - at >= 4:
        memcpy(&word, text + at, 4)
        hash_ = _folded(hash_, word)
        at += 4
    while at < size:
        tail |= <uint32_t>bytes_[at] << (8 * held)
        at += 1
        held += 1
    state.hash = hash_
    state.tail = tail


cdef inline uint32_t _finished(uint32_t hash_, uint32_t tail, uint64_t size) noexcept nogil:
    if size & 3:
        hash_ ^= _scrambled(tail)
    hash_ ^= <uint32_t>size
    hash_ = (hash_ ^ (hash_ >> 16)) * <uint32_t>0x85EBCA6BU
    hash_ = (hash_ ^ (hash_ >> 13)) * <uint32_t>0xC2B2AE35U
    return hash_ ^ (hash_ >> 16)


# The hash of all parts so far; more may follow.
cdef inline uint32_t murmur3_finish(const Murmur3* state) noexcept nogil:
    return _finished(state.hash, state.tail, state.size)


# The hash of a whole text, without a state: of short ones that is most of the time.
cdef inline uint32_t murmur3_32(const char* text, int64_t size, uint32_t seed) noexcept nogil:
    cdef const uint8_t* bytes_ = <const uint8_t*>text
    cdef uint32_t hash_ = seed
    cdef uint32_t tail = 0
    cdef uint32_t word = 0
    cdef int64_t at = 0
    while size - at >= 4:
        memcpy(&word, text + at, 4)
        hash_ = _folded(hash_, word)
        at += 4
    if size & 2:
        tail = <uint32_t>bytes_[at] | <uint32_t>bytes_[at + 1] << 8
    if size & 1:
        tail |= <uint32_t>bytes_[size - 1] << (8 * (size & 2))
    return _finished(hash_, tail, <uint64_t>size)


# Whether a hash is negative as a signed number: it then counts -1 where signs are wanted.
cdef inline bint hash_is_negative(uint32_t hash_) noexcept nogil:
    return hash_ >> 31 != 0


# scikit-learn's choice of a column: the absolute value of the hash as a signed number, modulo the columns, at least 1. That of -2^31,
# which has no absolute value among them, is 2^31.
cdef inline int64_t hash_column(uint32_t hash_, int64_t columns) noexcept nogil:
    cdef uint32_t size = <uint32_t>(0 - hash_) if hash_is_negative(hash_) else hash_
    if columns > <int64_t>0xFFFFFFFFU:
        return <int64_t>size
    return <int64_t>(size % <uint32_t>columns)
