"""Text to a row of weighted counts of known n-grams."""

from libc.math cimport log
from libc.stdint cimport int32_t, int64_t, uint8_t, uintptr_t
from libc.string cimport memcpy, memmove

from kernels.category cimport find_key, text_key
from kernels.column cimport (BYTES, FP64, INT32, elements, penstock_column, penstock_state, penstock_string,
                             settable)
from kernels.text_grams cimport ANALYSIS, LONGEST_GRAM, SETTINGS, Grams, Taker, grams_of, piece_bytes, take_grams
from kernels.text_row cimport TextRow, collect, open_row, row_bytes, touch, write_row


# Words, joined by spaces, are one stream, of which the window holds at least the last `longest_term` bytes: an n-gram of more is no term.
ctypedef struct Counts:
    const Grams* grams
    TextRow row
    int64_t width
    bint binary
    int64_t longest_term
    uint8_t* window
    int64_t capacity
    int64_t base  # where in the stream the window starts
    int64_t end  # and where it ends
    int64_t[LONGEST_GRAM] starts  # of the last words, the oldest first; the last one is where the next word starts
    int32_t words  # complete ones


cdef void _gram(void* self, const uint8_t* text, int64_t size) noexcept nogil:
    cdef Counts* counts = <Counts*>self
    cdef const char* term = <const char*>text
    cdef double count
    cdef int64_t column
    if size > counts.longest_term:
        return
    column = find_key(counts.grams.terms, text_key(term, size), term)
    if 0 <= column < counts.width:
        count = touch(&counts.row, column)
        counts.row.counts[column] = 1.0 if counts.binary else count + 1.0


cdef void _part(void* self, const uint8_t* text, int64_t size) noexcept nogil:
    cdef Counts* counts = <Counts*>self
    cdef int64_t kept
    if size > counts.longest_term:
        text += size - counts.longest_term
        counts.end += size - counts.longest_term
        size = counts.longest_term
        counts.base = counts.end
    if counts.end - counts.base + size > counts.capacity:
        kept = min(counts.longest_term, counts.end - counts.base)
        memmove(counts.window, counts.window + (counts.end - counts.base - kept), <size_t>kept)
        counts.base = counts.end - kept
    memcpy(counts.window + (counts.end - counts.base), text, <size_t>size)
    counts.end += size


cdef void _word(void* self) noexcept nogil:
    cdef Counts* counts = <Counts*>self
    cdef int32_t i
    counts.words += 1
    for i in range(counts.words):
        if counts.words - i >= counts.grams.shortest and counts.starts[i] >= counts.base:
            _gram(self, counts.window + (counts.starts[i] - counts.base), counts.end - counts.starts[i])
    if counts.words == counts.grams.longest:
        counts.words -= 1
        memmove(counts.starts, counts.starts + 1, <size_t>counts.words * sizeof(int64_t))
    _part(self, <const uint8_t*>" ", 1)
    counts.starts[counts.words] = counts.end


# Counts to weights: 1 + log of them where that is wanted, times the idf where there is one.
cdef inline void _weigh(const TextRow* row, bint sublinear, const double* idf) noexcept nogil:
    cdef int64_t column, i
    for i in range(row.size):
        column = row.columns[i]
        if sublinear:
            row.counts[column] = 1.0 + log(row.counts[column])
        if idf != NULL:
            row.counts[column] *= idf[column]


# One input, BYTES; one block, of a column for each term; scratch memory of a row, of a piece, and of twice
# the longest term. State, as in text_grams.pxd, with two lookups, of which the second are the terms, and the settings, after
# those of the n-grams:
#   bytes of the longest term, whether to note only that a term occurs, whether a count c becomes 1 + log(c), the norm
# and one more array:
#   8 idf  FP64 [terms], or empty
cdef int tf_idf(const void* state_, const penstock_column* inputs, penstock_column* outputs, int64_t rows) noexcept nogil:
    cdef const penstock_state* state = <const penstock_state*>state_
    cdef const int32_t* settings = <const int32_t*>elements(state, SETTINGS, INT32, ANALYSIS + 4)
    cdef const penstock_column* scratch
    cdef const penstock_column* block
    cdef const double* idf = NULL
    cdef Grams grams
    cdef Counts counts
    cdef Taker taker
    cdef int64_t row
    if state.inputs != 1 or state.outputs != 1 or settings == NULL or not grams_of(state, 2, ANALYSIS + 4, &grams):
        return 1
    block = &outputs[0]
    scratch = &outputs[1]
    if inputs[0].dtype != BYTES or not settable(block) or settings[ANALYSIS] < 1 or state.count != SETTINGS + 2:
        return 1
    if state.arrays[SETTINGS + 1].size != 0:
        idf = <const double*>elements(state, SETTINGS + 1, FP64, block.width)
        if idf == NULL:
            return 1
    counts.grams = &grams
    counts.width = block.width
    counts.longest_term = settings[ANALYSIS]
    counts.binary = settings[ANALYSIS + 1] != 0
    counts.capacity = 2 * counts.longest_term
    if scratch.stride < row_bytes(counts.width) + counts.capacity + piece_bytes(&grams):
        return 1
    counts.window = <uint8_t*>scratch.data + row_bytes(counts.width)
    open_row(&counts.row, counts.width, scratch.data)
    grams.piece = counts.window + counts.capacity
    taker.self = &counts
    taker.gram = _gram
    taker.part = _part
    taker.word = _word
    for row in range(rows):
        counts.base = 0
        counts.end = 0
        counts.starts[0] = 0
        counts.words = 0
        take_grams(&grams, <const penstock_string*>(<const char*>inputs[0].data + row * inputs[0].stride), &taker)
        collect(&counts.row)
        _weigh(&counts.row, settings[ANALYSIS + 2] != 0, idf)
        write_row(block, row, &counts.row, settings[ANALYSIS + 3])
    return 0


KERNELS = {"tf_idf": <uintptr_t><void*>tf_idf}
