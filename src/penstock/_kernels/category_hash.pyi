"""The hashes of category tables (ext/kernels/category.pxd)."""

def hash_text(text: bytes) -> int:
    """The 64-bit hash of a UTF-8 text."""

def hash_key(key: int) -> int:
    """The 64-bit hash of an integer, or of the bits of a double."""
