"""Categories to columns of 0 and 1."""

from libc.stdint cimport int32_t, int64_t, uintptr_t
from libc.string cimport memset

from kernels.category cimport MISSING, Categories, categories_of, number_category, text_category
from kernels.column cimport BYTES, FP64, INT32, elements, penstock_column, penstock_state, storable

cdef enum:
    NONE = -1  # sets no output


# True where the outputs are neighbours in each row of one matrix, so that a row of them is one piece of memory.
cdef inline bint _adjacent(const penstock_column* outputs, int64_t count) noexcept nogil:
    cdef int64_t size = 8 if outputs[0].dtype == FP64 else 4
    cdef const char* first = <const char*>outputs[0].data
    cdef int64_t c
    for c in range(1, count):
        if <const char*>outputs[c].data != first + c * size or outputs[c].stride != outputs[0].stride:
            return False
        if outputs[c].dtype != outputs[0].dtype:
            return False
    return True


cdef inline void _set(const penstock_column* output, int64_t row, double value) noexcept nogil:
    cdef char* at = <char*>output.data + row * output.stride
    if output.dtype == FP64:
        (<double*>at)[0] = value
    else:
        (<float*>at)[0] = <float>value


# k inputs; any number of outputs. State, after the categories' four arrays (category.pxd):
#   4 outputs  INT32 [categories]  the output that a category sets, or NONE
#   5 unknown  INT32 [k]           the output that any other value sets, or NONE, or -2: refused
#   6 missing  INT32 [k]           the same for missing values
cdef inline int _one_hot(const penstock_state* state, const penstock_column* inputs, penstock_column* outputs,
                         int64_t rows, bint text) noexcept nogil:
    cdef Categories categories
    cdef const int32_t* positions
    cdef const int32_t* unknown
    cdef const int32_t* missing
    cdef int64_t c, row, category, count = state.outputs
    cdef int32_t position
    cdef size_t width
    if not categories_of(state, text, &categories):
        return 1
    positions = <const int32_t*>elements(state, 4, INT32, categories.count)
    unknown = <const int32_t*>elements(state, 5, INT32, state.inputs)
    missing = <const int32_t*>elements(state, 6, INT32, state.inputs)
    if positions == NULL or unknown == NULL or missing == NULL or not storable(outputs, count):
        return 1
    for c in range(state.inputs):
        if (inputs[c].dtype == BYTES) != text:
            return 1
    if count > 0 and _adjacent(outputs, count):
        width = <size_t>(count * (8 if outputs[0].dtype == FP64 else 4))
        for row in range(rows):
            memset(<char*>outputs[0].data + row * outputs[0].stride, 0, width)
    else:
        for c in range(count):
            for row in range(rows):
                _set(&outputs[c], row, 0.0)
    for row in range(rows):
        for c in range(state.inputs):
            if text:
                category = text_category(&categories, c, &inputs[c], row)
            else:
                category = number_category(&categories, c, &inputs[c], row)
            if category >= 0:
                position = positions[category]
            elif category == MISSING:
                position = missing[c]
            else:
                position = unknown[c]
            if position >= 0 and position < count:
                _set(&outputs[position], row, 1.0)
            elif position != NONE:
                return <int>(row + 1)
    return 0


cdef int one_hot_text(const void* state, const penstock_column* inputs, penstock_column* outputs,
                      int64_t rows) noexcept nogil:
    return _one_hot(<const penstock_state*>state, inputs, outputs, rows, True)


cdef int one_hot_number(const void* state, const penstock_column* inputs, penstock_column* outputs,
                        int64_t rows) noexcept nogil:
    return _one_hot(<const penstock_state*>state, inputs, outputs, rows, False)


KERNELS = {"one_hot_text": <uintptr_t><void*>one_hot_text, "one_hot_number": <uintptr_t><void*>one_hot_number}
