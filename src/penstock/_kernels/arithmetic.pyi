OPERATIONS: dict[str, int]  # by name: the code that the state holds
KERNELS: dict[str, int]
