"""Products of columns."""

from libc.stdint cimport int32_t, int64_t, uintptr_t

from kernels.column cimport (FP64, INT32, ROWS, elements, floating, load, penstock_column, penstock_state,
                             settable, store_element)

cdef enum:
    FEW = 32  # products, which are made column by column: all rows of them stay in the first-level cache


cdef inline int64_t _scratch_bytes(int64_t columns, int64_t products) noexcept nogil:
    return (columns * ROWS + (products * ROWS if products <= FEW else products)) * <int64_t>sizeof(double)


def scratch_bytes(int64_t columns, int64_t products) -> int:
    """The scratch memory for so many inputs and products, the first product, 1, among them."""
    return _scratch_bytes(columns, products)


# Neighbours that are made of neighbours: `size` products, each a column's value times one of those from `first` on.
ctypedef struct Factor:
    int32_t column
    int32_t first
    int32_t size


# Neighbouring terms, which are the products from `first` on.
ctypedef struct Term:
    int32_t first
    int32_t size


# How many products there are, at most 2^31; 0 where one has no such column, or is made of one that is not made before its neighbours.
cdef inline int64_t _products(const Factor* factors, int64_t count, int64_t columns) noexcept nogil:
    cdef int64_t made = 1
    cdef int64_t f
    for f in range(count):
        if factors[f].column < 0 or factors[f].column >= columns or factors[f].first < 0 or factors[f].size < 1:
            return 0
        if <int64_t>factors[f].first + factors[f].size > made:
            return 0
        made += factors[f].size
        if made > <int64_t>1 << 31:
            return 0
    return made


# Whether the terms are products, and so many.
cdef inline bint _selects(const Term* terms, int64_t count, int64_t products, int64_t width) noexcept nogil:
    cdef int64_t t
    for t in range(count):
        if terms[t].first < 0 or terms[t].size < 1 or <int64_t>terms[t].first + terms[t].size > products:
            return False
        width -= terms[t].size
    return width == 0


# The products of one row.
cdef inline void _multiply(const Factor* factors, int64_t count, const double* columns, double* products) noexcept nogil:
    cdef double* made = products + 1
    cdef const double* first
    cdef double value
    cdef int64_t f, i
    products[0] = 1.0
    for f in range(count):
        value = columns[factors[f].column * ROWS]
        first = products + factors[f].first
        for i in range(factors[f].size):
            made[i] = value * first[i]
        made += factors[f].size


# And its terms.
cdef inline void _write(floating* made, const Term* terms, int64_t count, const double* products) noexcept nogil:
    cdef int64_t i, t
    for t in range(count):
        for i in range(terms[t].size):
            made[i] = <floating>products[terms[t].first + i]
        made += terms[t].size


cdef inline void _by_rows(const Factor* factors, int64_t factor_count, const Term* terms, int64_t term_count, const double* columns,
                          double* products, const penstock_column* block, int64_t rows) noexcept nogil:
    cdef int64_t row
    cdef char* made
    for row in range(rows):
        _multiply(factors, factor_count, columns + row, products)
        made = <char*>block.data + row * block.stride
        if block.dtype == FP64:
            _write(<double*>made, terms, term_count, products)
        else:
            _write(<float*>made, terms, term_count, products)


# The same for products of ROWS values each.
cdef inline void _by_columns(const Factor* factors, int64_t factor_count, const Term* terms, int64_t term_count,
                             const double* columns, double* products, const penstock_column* block,
                             int64_t rows) noexcept nogil:
    cdef double* made = products + ROWS
    cdef const double* first
    cdef const double* column
    cdef int64_t f, i, row, t
    cdef int64_t element = 0
    for row in range(rows):
        products[row] = 1.0
    for f in range(factor_count):
        column = columns + factors[f].column * ROWS
        for i in range(factors[f].size):
            first = products + (factors[f].first + i) * ROWS
            for row in range(rows):
                made[row] = column[row] * first[row]
            made += ROWS
    for t in range(term_count):
        for i in range(terms[t].size):
            store_element(block, element, rows, products + (terms[t].first + i) * ROWS)
            element += 1


# k numeric inputs, one block of a column for each term. The first product is 1, and the others are each a column times an earlier one.
# Scratch: scratch_bytes(). State:
#   0 factors  INT32 [factors, 3]  how the products come about, in their order, as Factor has it
#   1 terms    INT32 [., 2]        which of them are written, as Term has it
cdef int polynomial(const void* state_, const penstock_column* inputs, penstock_column* outputs,
                    int64_t rows) noexcept nogil:
    cdef const penstock_state* state = <const penstock_state*>state_
    cdef int64_t k = state.inputs
    cdef int64_t factor_count, term_count, products, c
    cdef const Factor* factors
    cdef const Term* terms
    cdef double* columns
    if state.count != 2 or state.outputs != 1 or not settable(&outputs[0]):
        return 1
    factor_count = state.arrays[0].size // 3
    term_count = state.arrays[1].size // 2
    factors = <const Factor*>elements(state, 0, INT32, 3 * factor_count)
    terms = <const Term*>elements(state, 1, INT32, 2 * term_count)
    if factors == NULL or terms == NULL:
        return 1
    products = _products(factors, factor_count, k)
    if products == 0 or not _selects(terms, term_count, products, outputs[0].width):
        return 1
    if outputs[1].data == NULL or outputs[1].stride < _scratch_bytes(k, products):
        return 1
    columns = <double*>outputs[1].data
    for c in range(k):
        load(&inputs[c], 0, rows, columns + c * ROWS)
    if products <= FEW:
        _by_columns(factors, factor_count, terms, term_count, columns, columns + k * ROWS, &outputs[0], rows)
    else:
        _by_rows(factors, factor_count, terms, term_count, columns, columns + k * ROWS, &outputs[0], rows)
    return 0


KERNELS = {"polynomial": <uintptr_t><void*>polynomial}
