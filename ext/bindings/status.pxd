# The core's Status, and the exception that it is to Python.
from libc.stdint cimport int32_t
from libcpp cimport bool as cbool
from libcpp.string cimport string


cdef extern from "base/status.h" namespace "penstock" nogil:
    cdef enum class Code(int32_t):
        kInternal

    cdef cppclass Status:
        Status()
        Status(Code, string)
        cbool is_ok()
        Code code()
        const string& message()


cdef inline int check(const Status& status) except -1:
    if not status.is_ok():
        from penstock.errors import StatusError  # a .pxd can import for its functions alone

        raise StatusError(<int>status.code(), status.message().decode("utf-8", "replace"))
    return 0
