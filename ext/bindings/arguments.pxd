# What Python passes, as the core takes it.
from libc.stdint cimport int64_t
from libcpp.string cimport string


cdef inline string text(object value) except *:
    return (<str?>value).encode("utf-8")


cdef inline int64_t nanoseconds(object seconds) except -1:
    if not 0 <= seconds < 1e9:
        from penstock.errors import StatusError

        raise StatusError(3, f"{seconds} is no duration in seconds")
    return <int64_t>(seconds * 1e9)
