OPERATIONS: dict[str, tuple[int, int]]
KERNELS: dict[str, int]
