# Text as the stream of characters that it becomes: lowercased, stripped of accents, each with its class. The tables say how
# (transforms/text_tables.py makes them); a text of any size is read without memory.
#
# State, three arrays from one index on:
#   pages    UINT16 [4352]  for each 256 code points where their entries start, in entries / 256
#   entries  UINT32         bits 0-1 what a character becomes (below), 2-3 its class, 4-5 its case, 8-28 a value
#   outputs  UINT32         characters: code point, class << 21; MANY: their number, then these; SIGMA: the usual form, then the one
#                           that ends a word
# Whatever the tables hold, a text ends and nothing is read past. What is not UTF-8 is read as U+FFFD, byte by byte.

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t

from kernels.column cimport UINT16, UINT32, elements, penstock_state

cdef enum:
    PAGES = 4352
    TABLES = 3  # arrays

cdef enum Becomes:
    SAME = 0
    ONE = 1  # value: the code point; the class is its own
    MANY = 2  # value: where they are in outputs
    SIGMA = 3  # the same; the one letter whose lower case depends on its neighbours

cdef enum CharacterClass:
    OTHER = 0
    WORD = 1
    SPACE = 2

# Of source characters, for SIGMA: what stands before and behind it, the ignorable left out.
cdef enum Case:
    UNCASED = 0
    CASED = 1
    IGNORABLE = 2


ctypedef struct Tables:
    const uint16_t* pages
    const uint32_t* entries
    const uint32_t* outputs
    const uint32_t* ascii  # entries of the first 128 code points
    int64_t entry_count
    int64_t output_count


ctypedef struct Reader:
    const Tables* tables
    const uint8_t* text
    int64_t size
    int64_t at
    int64_t output  # outputs still to come of a character that became several
    int64_t outputs_end
    uint32_t case_before


ctypedef struct Character:
    uint32_t code
    uint32_t kind  # a CharacterClass


# False when the arrays have other types or sizes, or no entries for ASCII.
cdef inline bint tables_of(const penstock_state* state, int64_t first, Tables* tables) noexcept nogil:
    if state.count < first + TABLES:
        return False
    tables.entry_count = state.arrays[first + 1].size
    tables.output_count = state.arrays[first + 2].size
    tables.pages = <const uint16_t*>elements(state, first, UINT16, PAGES)
    tables.entries = <const uint32_t*>elements(state, first + 1, UINT32, tables.entry_count)
    tables.outputs = <const uint32_t*>elements(state, first + 2, UINT32, tables.output_count)
    if tables.pages == NULL or tables.entries == NULL or tables.outputs == NULL:
        return False
    tables.ascii = tables.entries + (<int64_t>tables.pages[0] << 8)
    return (<int64_t>tables.pages[0] + 1) << 8 <= tables.entry_count


cdef inline void read_text(Reader* reader, const Tables* tables, const char* text, int64_t size) noexcept nogil:
    reader.tables = tables
    reader.text = <const uint8_t*>text
    reader.size = size if text != NULL else 0
    reader.at = 0
    reader.output = 0
    reader.outputs_end = 0
    reader.case_before = UNCASED


cdef inline uint32_t _continuation(const uint8_t* text, int64_t size, int64_t at) noexcept nogil:
    return text[at] & 0x3F if at < size and text[at] & 0xC0 == 0x80 else 0x40


# The code point at `at`, and where the next one starts.
cdef inline uint32_t _decoded(const uint8_t* text, int64_t size, int64_t* at) noexcept nogil:
    cdef uint32_t lead = text[at[0]]
    cdef uint32_t second, third, fourth
    at[0] += 1
    if lead < 0x80:
        return lead
    if lead < 0xC2 or lead > 0xF4:
        return 0xFFFD
    second = _continuation(text, size, at[0])
    if lead < 0xE0:
        if second > 0x3F:
            return 0xFFFD
        at[0] += 1
        return (lead & 0x1F) << 6 | second
    third = _continuation(text, size, at[0] + 1)
    if (second | third) > 0x3F:
        return 0xFFFD
    if lead < 0xF0:
        at[0] += 2
        return (lead & 0x0F) << 12 | second << 6 | third
    fourth = _continuation(text, size, at[0] + 2)
    if fourth > 0x3F or (lead == 0xF4 and second > 0x0F):
        return 0xFFFD
    at[0] += 3
    return (lead & 0x07) << 18 | second << 12 | third << 6 | fourth


cdef inline uint32_t _entry(const Tables* tables, uint32_t code) noexcept nogil:
    cdef int64_t index = <int64_t>tables.pages[code >> 8] << 8 | (code & 0xFF)
    return tables.entries[index] if index < tables.entry_count else 0


cdef inline uint32_t _value(uint32_t entry) noexcept nogil:
    return entry >> 8 & 0x1FFFFF


cdef inline uint32_t _case(uint32_t entry) noexcept nogil:
    return entry >> 4 & 3


# Whether the first character from here on that is not ignorable is a letter with case.
cdef inline bint _cased_behind(const Reader* reader) noexcept nogil:
    cdef int64_t at = reader.at
    cdef uint32_t found = IGNORABLE
    while found == IGNORABLE and at < reader.size:
        found = _case(_entry(reader.tables, _decoded(reader.text, reader.size, &at)))
    return found == CASED


cdef inline void _take_output(Reader* reader, Character* character) noexcept nogil:
    cdef uint32_t output = reader.tables.outputs[reader.output]
    reader.output += 1
    character.code = output & 0x1FFFFF
    character.kind = output >> 21 & 3


cdef inline bint _next(Reader* reader, Character* character) noexcept nogil:
    cdef uint32_t code, entry, before
    cdef int64_t first
    while True:
        if reader.output < reader.outputs_end:
            _take_output(reader, character)
            return True
        if reader.at >= reader.size:
            return False
        code = _decoded(reader.text, reader.size, &reader.at)
        entry = _entry(reader.tables, code)
        before = reader.case_before
        if _case(entry) != IGNORABLE:
            reader.case_before = _case(entry)
        character.kind = entry >> 2 & 3
        if entry & 3 == SAME:
            character.code = code
            return True
        if entry & 3 == ONE:
            character.code = _value(entry)
            return True
        first = _value(entry)
        if entry & 3 == SIGMA:
            if before == CASED and not _cased_behind(reader):
                first += 1
            reader.output = first
            reader.outputs_end = first + 1
        elif first < reader.tables.output_count:
            reader.output = first + 1
            reader.outputs_end = first + 1 + reader.tables.outputs[first]
        if reader.outputs_end > reader.tables.output_count:
            reader.outputs_end = reader.tables.output_count


# The next character; False at the end of the text.
cdef inline bint next_character(Reader* reader, Character* character) noexcept nogil:
    cdef uint32_t code, entry
    if reader.output >= reader.outputs_end and reader.at < reader.size and reader.text[reader.at] < 0x80:
        code = reader.text[reader.at]
        entry = reader.tables.ascii[code]
        if entry & 3 <= ONE:
            reader.at += 1
            if _case(entry) != IGNORABLE:
                reader.case_before = _case(entry)
            character.kind = entry >> 2 & 3
            character.code = code if entry & 3 == SAME else _value(entry)
            return True
    return _next(reader, character)


# Writes a code point's UTF-8, of at most 4 bytes, and returns its size.
cdef inline int64_t encode(uint32_t code, uint8_t* text) noexcept nogil:
    if code < 0x80:
        text[0] = <uint8_t>code
        return 1
    if code < 0x800:
        text[0] = <uint8_t>(0xC0 | code >> 6)
        text[1] = <uint8_t>(0x80 | code & 0x3F)
        return 2
    if code < 0x10000:
        text[0] = <uint8_t>(0xE0 | code >> 12)
        text[1] = <uint8_t>(0x80 | code >> 6 & 0x3F)
        text[2] = <uint8_t>(0x80 | code & 0x3F)
        return 3
    text[0] = <uint8_t>(0xF0 | code >> 18 & 0x07)
    text[1] = <uint8_t>(0x80 | code >> 12 & 0x3F)
    text[2] = <uint8_t>(0x80 | code >> 6 & 0x3F)
    text[3] = <uint8_t>(0x80 | code & 0x3F)
    return 4
