"""Fills the hash tables of categories. Their layout, and the lookups, are in category.pxd."""

from libc.stdint cimport int64_t, uint64_t

from kernels.category cimport SHORT_TEXT, CategoryKey, hash_shift, key_hash, number_key, text_key

LONGEST_IN_ENTRY = SHORT_TEXT


def fill_table(uint64_t[::1] entries not None, list values not None, int64_t text_size) -> None:
    """Puts the distinct `values`, in order, into one column's table: UTF-8, or integers as keys of numbers.

    `entries` are four words for each of a power of two of entries, more than there are values, all 0. Texts of more than
    LONGEST_IN_ENTRY bytes stand one after the other in the state's text, from `text_size` on.
    """
    cdef uint64_t mask = <uint64_t>(entries.shape[0] // 4 - 1)
    cdef int shift = hash_shift(mask + 1)
    cdef uint64_t at
    cdef int64_t category = 0
    cdef CategoryKey key
    for value in values:
        if isinstance(value, bytes):
            key = text_key(value, len(value))
            if key.size > SHORT_TEXT:
                key.second = <uint64_t>text_size
                text_size += <int64_t>key.size
        else:
            key = number_key(value)
        at = key_hash(key) >> shift
        while entries[4 * at + 3] != 0:
            at = (at + 1) & mask
        category += 1
        entries[4 * at] = key.first
        entries[4 * at + 1] = key.second
        entries[4 * at + 2] = key.size
        entries[4 * at + 3] = <uint64_t>category
