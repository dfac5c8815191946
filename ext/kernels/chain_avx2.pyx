"""chain.pyx once more, for machines with AVX2: setup.py compiles what ends in _avx2 for x86-64-v3. The bits are the same."""

include "chain.pyx"
