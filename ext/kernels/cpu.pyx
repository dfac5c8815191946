"""What this machine's processor has."""

cdef extern from *:
    """
    #if defined(__x86_64__)
    static int penstock_has_v3(void) {
      __builtin_cpu_init();
      return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2") &&
             __builtin_cpu_supports("fma");
    }
    #else
    static int penstock_has_v3(void) { return 0; }
    #endif
    """
    bint penstock_has_v3() nogil


def has_avx2() -> bool:
    """Whether code for x86-64-v3 runs here."""
    return penstock_has_v3()
