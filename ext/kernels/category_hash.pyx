"""The hashes of category tables, for whoever builds one. The lookups are in category.pxd."""

from libc.stdint cimport int64_t, uint64_t

from kernels.category cimport mixed, text_hash


def hash_text(bytes text not None) -> int:
    """The 64-bit hash of a UTF-8 text."""
    return text_hash(text, len(text))


def hash_key(int64_t key) -> int:
    """The 64-bit hash of an integer, or of the bits of a double."""
    return mixed(<uint64_t>key)
