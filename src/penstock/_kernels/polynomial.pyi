SCRATCH_OF_COLUMN: int  # bytes of scratch memory for each input
KERNELS: dict[str, int]
