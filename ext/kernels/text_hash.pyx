"""Text to a row of hashed n-grams."""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uintptr_t
from libc.string cimport memmove

from kernels.column cimport BYTES, INT32, elements, penstock_column, penstock_state, penstock_string, settable
from kernels.murmur3 cimport (Murmur3, hash_column, hash_is_negative, murmur3_32, murmur3_finish, murmur3_start,
                              murmur3_update)
from kernels.text_grams cimport ANALYSIS, LONGEST_GRAM, SETTINGS, Grams, Taker, grams_of, piece_bytes, take_grams
from kernels.text_row cimport TextRow, collect, open_row, row_bytes, touch, write_row


ctypedef struct Hashes:
    TextRow row
    int64_t width
    uint32_t signs  # the bits of a hash that may make it count -1
    bint binary
    int32_t shortest
    int32_t longest
    Murmur3[LONGEST_GRAM] open  # n-grams of words that may go on, the longest first; the last one starts with the next word
    int32_t words  # in the first of them


cdef inline void _add(Hashes* hashes, uint32_t hash_) noexcept nogil:
    cdef int64_t column = hash_column(hash_, hashes.width)
    cdef double count = touch(&hashes.row, column)
    if hashes.binary:
        count = 0.0
    hashes.row.counts[column] = count + (-1.0 if hash_is_negative(hash_ & hashes.signs) else 1.0)


cdef void _gram(void* self, const uint8_t* text, int64_t size) noexcept nogil:
    _add(<Hashes*>self, murmur3_32(<const char*>text, size, 0))


cdef void _part(void* self, const uint8_t* text, int64_t size) noexcept nogil:
    cdef Hashes* hashes = <Hashes*>self
    cdef int32_t i
    for i in range(hashes.words + 1):
        murmur3_update(&hashes.open[i], <const char*>text, size)


cdef void _word(void* self) noexcept nogil:
    cdef Hashes* hashes = <Hashes*>self
    cdef int32_t i
    hashes.words += 1
    for i in range(hashes.words):
        if hashes.words - i >= hashes.shortest:
            _add(hashes, murmur3_finish(&hashes.open[i]))
    if hashes.words == hashes.longest:
        hashes.words -= 1
        memmove(hashes.open, hashes.open + 1, <size_t>hashes.words * sizeof(Murmur3))
    for i in range(hashes.words):
        murmur3_update(&hashes.open[i], " ", 1)
    murmur3_start(&hashes.open[hashes.words], 0)


# One input, BYTES; one block; scratch memory of a row and of a piece. State, as in text_grams.pxd,
# with one lookup and the settings, after those of the n-grams:
#   whether hashes below 0 count -1, whether to note only that an n-gram occurs, the norm
cdef int text_hash(const void* state_, const penstock_column* inputs, penstock_column* outputs, int64_t rows) noexcept nogil:
    cdef const penstock_state* state = <const penstock_state*>state_
    cdef const int32_t* settings = <const int32_t*>elements(state, SETTINGS, INT32, ANALYSIS + 3)
    cdef const penstock_column* scratch
    cdef const penstock_column* block
    cdef Grams grams
    cdef Hashes hashes
    cdef Taker taker
    cdef int64_t row
    if state.inputs != 1 or state.outputs != 1 or settings == NULL or not grams_of(state, 1, ANALYSIS + 3, &grams):
        return 1
    block = &outputs[0]
    scratch = &outputs[1]
    if inputs[0].dtype != BYTES or not settable(block):
        return 1
    if scratch.stride < row_bytes(block.width) + piece_bytes(&grams):
        return 1
    grams.piece = <uint8_t*>scratch.data + row_bytes(block.width)
    hashes.width = block.width
    open_row(&hashes.row, block.width, scratch.data)
    hashes.signs = 0xFFFFFFFFU if settings[ANALYSIS] != 0 and settings[ANALYSIS + 1] == 0 else 0
    hashes.binary = settings[ANALYSIS + 1] != 0
    hashes.shortest = grams.shortest
    hashes.longest = grams.longest
    taker.self = &hashes
    taker.gram = _gram
    taker.part = _part
    taker.word = _word
    for row in range(rows):
        hashes.words = 0
        murmur3_start(&hashes.open[0], 0)
        take_grams(&grams, <const penstock_string*>(<const char*>inputs[0].data + row * inputs[0].stride), &taker)
        collect(&hashes.row)
        write_row(block, row, &hashes.row, settings[ANALYSIS + 2])
    return 0


KERNELS = {"text_hash": <uintptr_t><void*>text_hash}
