# What of ext/loadgen the bindings use.
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libcpp cimport bool as cbool
from libcpp.deque cimport deque
from libcpp.optional cimport optional
from libcpp.pair cimport pair
from libcpp.string cimport string
from libcpp.vector cimport vector

from bindings.status cimport Status


cdef extern from "loadgen/call.h" namespace "penstock::loadgen" nogil:
    cdef cppclass Body:
        string framed
        vector[string] answers


cdef extern from "loadgen/address.h" namespace "penstock::loadgen" nogil:
    cdef cppclass Endpoint:
        string host
        string port
        string unix_path


cdef extern from "loadgen/schedule.h" namespace "penstock::loadgen" nogil:
    cdef enum class Arrivals:
        kEven
        kPoisson


cdef extern from "loadgen/plan.h" namespace "penstock::loadgen" nogil:
    cdef cppclass OpenLoop:
        double rate
        Arrivals arrivals
        uint64_t seed

    cdef cppclass ClosedLoop:
        size_t streams

    cdef cppclass Plan:
        Endpoint endpoint
        vector[pair[string, string]] headers
        vector[Body] bodies
        optional[OpenLoop] open
        ClosedLoop closed
        size_t connections
        unsigned threads
        vector[int] cores
        int64_t warmup_ns
        int64_t duration_ns
        int64_t deadline_ns
        int64_t patience_ns
        cbool trace


cdef extern from "loadgen/histogram.h" namespace "penstock::loadgen" nogil:
    cdef cppclass Histogram:
        int64_t max()
        double sum()


cdef extern from "loadgen/outcome.h" namespace "penstock::loadgen" nogil:
    cdef enum class Failure:
        pass

    cdef cppclass FailureCount:
        Failure failure
        uint32_t code
        uint64_t count
        string example

    cdef cppclass Times:
        pass

    cdef cppclass Outcome:
        const Histogram& latency()
        const Histogram& late()
        const vector[FailureCount]& failures()
        const vector[vector[uint64_t]]& answers()
        const deque[Times]& trace()


cdef extern from "loadgen/totals.h" namespace "penstock::loadgen" nogil:
    cdef cppclass Totals:
        uint64_t requests
        uint64_t answered_in_time
        uint64_t reconnects
        uint64_t resent
        int64_t measured_ns
        int64_t processor_ns


cdef extern from "loadgen/run.h" namespace "penstock::loadgen" nogil:
    cdef cppclass CRun "penstock::loadgen::Run":
        CRun(Plan) except +
        Status start()
        cbool wait(int64_t)
        void stop()
        uint64_t sent()
        uint64_t answered()
        const Status& status()
        const Outcome& outcome()
        const Totals& totals()


cdef extern from "bindings/load.h" namespace "penstock::bindings" nogil:
    vector[int64_t] buckets(const Histogram&) except +
    void copy_times(const Outcome&, int64_t*)
