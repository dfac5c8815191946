PARTS: dict[str, int]
KERNELS: dict[str, int]

def is_moment(text: bytes) -> bool: ...
