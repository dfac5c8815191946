# The n-grams of a text: of its words, of all of its characters, or of the characters of each word. Character n-grams are cut out of a
# window of the last characters. Words may be of any length: they come in pieces, and their n-grams are put together by who takes them.
#
# State, eight arrays from 0 on, of which the last is an INT32 array whose first five are
#   analyzer, shortest n-gram, longest n-gram (words or characters), characters of the shortest word, bytes of the longest stop word
# The three before it are the tables of text.pxd, and the first four `lookups` tables of category.pxd: the stop words first.

from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t
from libc.string cimport memmove

from kernels.category cimport Categories, Table, categories_of, find_key, table_of, text_key
from kernels.column cimport INT32, elements, penstock_state, penstock_string
from kernels.text cimport SPACE, WORD, Character, Reader, Tables, encode, next_character, read_text, tables_of

cdef enum:
    LONGEST_GRAM = 32
    SETTINGS = 7  # the index of the array
    ANALYSIS = 5  # settings of it
    PIECE = 256  # bytes of a word that go on together, with those of the longest stop word
    WINDOW = 256  # characters

cdef enum Analyzer:
    WORDS = 0
    CHARACTERS = 1
    WORD_CHARACTERS = 2


ctypedef struct Grams:
    Tables tables
    Table stop_words
    Table terms  # of the second lookup, where there is one
    int32_t analyzer
    int32_t shortest
    int32_t longest
    int32_t word_characters
    int32_t stop_bytes
    uint8_t* piece  # scratch memory


# What takes the n-grams. `gram`: one that is whole. `part`: the next bytes of a word; `word`: it is complete.
ctypedef struct Taker:
    void* self
    void (*gram)(void* self, const uint8_t* text, int64_t size) noexcept nogil
    void (*part)(void* self, const uint8_t* text, int64_t size) noexcept nogil
    void (*word)(void* self) noexcept nogil


# False when the arrays do not fit. `settings` are how many the last array has. The caller then gives `piece`, of piece_bytes().
cdef inline bint grams_of(const penstock_state* state, int64_t lookups, int64_t settings, Grams* grams) noexcept nogil:
    cdef const int32_t* given = <const int32_t*>elements(state, SETTINGS, INT32, settings)
    cdef Categories tables
    if given == NULL or not categories_of(state, lookups, &tables) or not tables_of(state, 4, &grams.tables):
        return False
    grams.stop_words = table_of(&tables, 0)
    grams.terms = table_of(&tables, lookups - 1)
    grams.analyzer = given[0]
    grams.shortest = given[1]
    grams.longest = given[2]
    grams.word_characters = given[3]
    grams.stop_bytes = given[4]
    grams.piece = NULL
    if grams.analyzer < WORDS or grams.analyzer > WORD_CHARACTERS or grams.stop_bytes < 0:
        return False
    return 1 <= grams.shortest <= grams.longest <= LONGEST_GRAM


cdef inline int64_t piece_bytes(const Grams* grams) noexcept nogil:
    return PIECE + <int64_t>grams.stop_bytes


cdef inline bint _is_stop_word(const Grams* grams, int64_t size) noexcept nogil:
    cdef const char* word = <const char*>grams.piece
    return size <= grams.stop_bytes and find_key(grams.stop_words, text_key(word, size), word) >= 0


# A stop word, and a word of too few characters, lie whole in the first piece, so that nobody hears of them.
cdef inline void _words(const Grams* grams, Reader* reader, Taker* taker) noexcept nogil:
    cdef int64_t room = piece_bytes(grams) - 4
    cdef int64_t size = 0
    cdef int64_t characters = 0
    cdef bint begun = False
    cdef bint more = True
    cdef Character character
    while more:
        more = next_character(reader, &character)
        if more and character.kind == WORD:
            if size > room:
                taker.part(taker.self, grams.piece, size)
                begun = True
                size = 0
            size += encode(character.code, grams.piece + size)
            characters += 1
        elif characters > 0:
            if begun or (characters >= grams.word_characters and not _is_stop_word(grams, size)):
                taker.part(taker.self, grams.piece, size)
                taker.word(taker.self)
            begun = False
            size = 0
            characters = 0


ctypedef struct Window:
    uint8_t[4 * WINDOW] text
    int32_t[WINDOW + 1] starts  # of the characters in text, and where the last one ends
    int32_t held  # characters in it
    int64_t seen  # and since the window was opened


cdef inline void _open(Window* window) noexcept nogil:
    window.starts[0] = 0
    window.held = 0
    window.seen = 0


# One more character, and the n-grams that end with it.
cdef inline void _push(Window* window, const Grams* grams, Taker* taker, uint32_t code) noexcept nogil:
    cdef int32_t kept, start, n
    if window.held == WINDOW:
        kept = LONGEST_GRAM
        start = window.starts[WINDOW - kept]
        memmove(window.text, window.text + start, <size_t>(window.starts[WINDOW] - start))
        for n in range(kept + 1):
            window.starts[n] = window.starts[WINDOW - kept + n] - start
        window.held = kept
    start = window.starts[window.held]
    window.held += 1
    window.seen += 1
    window.starts[window.held] = start + <int32_t>encode(code, window.text + start)
    for n in range(grams.shortest, min(grams.longest, window.held) + 1):
        start = window.starts[window.held - n]
        taker.gram(taker.self, window.text + start, window.starts[window.held] - start)


# Two white-space characters and more count as one space, a single one as itself.
cdef inline void _characters(const Grams* grams, Reader* reader, Taker* taker) noexcept nogil:
    cdef Window window
    cdef Character character
    cdef uint32_t space = 0
    cdef int64_t spaces = 0
    cdef bint more = True
    _open(&window)
    while more:
        more = next_character(reader, &character)
        if more and character.kind == SPACE:
            space = 0x20 if spaces > 0 else character.code
            spaces += 1
            continue
        if spaces > 0:
            _push(&window, grams, taker, space)
            spaces = 0
        if more:
            _push(&window, grams, taker, character.code)


# Each word between a space before and one behind it. One that is shorter than the shortest n-gram is one itself.
cdef inline void _word_characters(const Grams* grams, Reader* reader, Taker* taker) noexcept nogil:
    cdef Window window
    cdef Character character
    cdef bint more = True
    _open(&window)
    while more:
        more = next_character(reader, &character)
        if more and character.kind != SPACE:
            if window.seen == 0:
                _push(&window, grams, taker, 0x20)
            _push(&window, grams, taker, character.code)
        elif window.seen > 0:
            _push(&window, grams, taker, 0x20)
            if window.seen < grams.shortest:
                taker.gram(taker.self, window.text, window.starts[window.held])
            _open(&window)


cdef inline void take_grams(const Grams* grams, const penstock_string* text, Taker* taker) noexcept nogil:
    cdef Reader reader
    read_text(&reader, &grams.tables, text.data, text.size)
    if grams.analyzer == WORDS:
        _words(grams, &reader, taker)
    elif grams.analyzer == CHARACTERS:
        _characters(grams, &reader, taker)
    else:
        _word_characters(grams, &reader, taker)
