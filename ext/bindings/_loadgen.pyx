# distutils: language = c++
"""The load generator, as Python sees it. The contract stands in src/penstock/_loadgen.pyi."""

from cython.operator cimport dereference as deref
from libc.stdint cimport int64_t, uintptr_t
from libcpp cimport bool as cbool
from libcpp.memory cimport unique_ptr
from libcpp.pair cimport pair
from libcpp.string cimport string
from libcpp.utility cimport move
from libcpp.vector cimport vector

from bindings.arguments cimport nanoseconds, text
from bindings.load_generator cimport *
from bindings.status cimport Status, check

import struct

import numpy as np

from penstock.errors import StatusError

# By the number of Failure in ext/loadgen/outcome.h.
_FAILURES = ("grpc-status", "HTTP status", "stream error", "no grpc-status", "no message", "another answer",
             "DEADLINE_EXCEEDED (client)", "connection closed", "no answer", "not sent: too many under way")
_ARRIVALS = {"even": Arrivals.kEven, "poisson": Arrivals.kPoisson}


cdef string framed(bytes message) except *:
    return struct.pack(">BI", 0, len(message)) + message


cdef object histogram_of(const Histogram& histogram):
    cdef vector[int64_t] flat = buckets(histogram)
    cdef size_t i
    table = np.array([flat[i] for i in range(flat.size())], np.int64).reshape(-1, 2)
    return table[:, 0].copy(), table[:, 1].copy(), histogram.max(), histogram.sum()


cdef class Run:
    """A run of the load generator."""

    cdef unique_ptr[CRun] run

    def __init__(self, *, host="", port="", unix_path="", headers, bodies, rate=None, arrivals="poisson", seed=0,
                 streams=1, connections=1, threads=1, cores=(), warmup=0.0, seconds=0.0, deadline=0.0,
                 patience=5.0, trace=False):
        cdef Plan plan
        cdef Body body
        cdef OpenLoop open_loop
        plan.endpoint.host = text(host)
        plan.endpoint.port = text(port)
        plan.endpoint.unix_path = text(unix_path)
        for name, value in headers:
            plan.headers.push_back(pair[string, string](text(name), text(value)))
        for message, answers in bodies:
            body.framed = framed(message)
            body.answers.clear()
            for answer in answers:
                body.answers.push_back(framed(answer))
            plan.bodies.push_back(body)
        if rate is not None:
            open_loop.rate = rate
            open_loop.arrivals = _ARRIVALS[arrivals]
            open_loop.seed = seed
            plan.open = open_loop
        plan.closed.streams = streams
        plan.connections = connections
        plan.threads = threads
        plan.cores = cores
        plan.warmup_ns = nanoseconds(warmup)
        plan.duration_ns = nanoseconds(seconds)
        plan.deadline_ns = nanoseconds(deadline)
        plan.patience_ns = nanoseconds(patience)
        plan.trace = trace
        self.run.reset(new CRun(move(plan)))

    def __dealloc__(self):
        with nogil:
            self.run.reset()

    def start(self):
        cdef Status status
        with nogil:
            status = deref(self.run).start()
        check(status)

    def wait(self, seconds):
        cdef int64_t timeout = nanoseconds(seconds)
        cdef cbool over
        with nogil:
            over = deref(self.run).wait(timeout)
        if over:
            check(deref(self.run).status())
        return over

    def stop(self):
        deref(self.run).stop()

    @property
    def sent(self):
        return deref(self.run).sent()

    @property
    def answered(self):
        return deref(self.run).answered()

    def report(self):
        if not self.wait(0):
            raise StatusError(9, "the run goes on: wait for its end before asking for its report")
        cdef const Outcome* outcome = &deref(self.run).outcome()
        cdef const Totals* totals = &deref(self.run).totals()
        cdef const FailureCount* failure
        cdef size_t i
        cdef size_t place
        failures = []
        for i in range(outcome.failures().size()):
            failure = &outcome.failures()[i]
            failures.append((_FAILURES[<int>failure.failure], failure.code, failure.count,
                             failure.example.decode("utf-8", "replace")))
        times = np.empty((outcome.trace().size(), 3), np.int64)
        cdef uintptr_t address = times.ctypes.data
        with nogil:
            copy_times(deref(outcome), <int64_t*>address)
        return {
            "requests": totals.requests,
            "answered_in_time": totals.answered_in_time,
            "seconds": totals.measured_ns / 1e9,
            "processor_seconds": totals.processor_ns / 1e9,
            "reconnects": totals.reconnects,
            "resent": totals.resent,
            "latency": histogram_of(outcome.latency()),
            "late": histogram_of(outcome.late()),
            "failures": failures,
            "answers": [[outcome.answers()[i][place] for place in range(outcome.answers()[i].size())]
                        for i in range(outcome.answers().size())],
            "times": times,
        }
