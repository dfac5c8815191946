/* The transform kernel ABI. Plain C, so that C++, Cython and Numba agree on it.
 *
 *   int kernel(const void* state, const Column* in, Column* out, int64_t rows)
 *
 * `state` points to a penstock_state; `in` and `out` hold state->inputs and state->outputs columns. A kernel
 * reads `rows` rows of each input, from 1 to PENSTOCK_ROWS, and writes as many of each output; a larger batch
 * comes as several calls. It keeps nothing, allocates nothing, takes no lock, throws nothing, and may run on
 * any number of threads at once with the same state.
 *
 * Returns 0, or 1 + the index of the first row of the call that it refuses (an unknown category where that is
 * an error, say); the outputs are then unspecified.
 *
 * Inputs may alias nothing that is written. Row r of a column is at (char*)data + r * stride, aligned to its
 * element; an output of a width above 1 has that many elements there, side by side. A missing number is NaN
 * (integer and boolean columns have no missing); a missing string has a null `data`. Text that a kernel
 * writes points into its inputs' text or its state.
 *
 * A step that asks for scratch memory finds it as one more output column behind its last: data, and its bytes
 * as stride.
 */
#ifndef PENSTOCK_TRANSFORM_COLUMN_H
#define PENSTOCK_TRANSFORM_COLUMN_H

#include <stdint.h>

/* The most rows of one call: what a kernel keeps of a column of doubles stays in the first-level cache. */
#define PENSTOCK_ROWS 128

#ifdef __cplusplus
extern "C" {
#endif

typedef struct penstock_string {
  const char* data; /* UTF-8, not terminated; null: missing */
  int64_t size;     /* bytes */
} penstock_string;

typedef struct penstock_column {
  void* data;
  int64_t stride; /* bytes from one row to the next */
  int32_t dtype;  /* a DataType of base/datatype.h; BYTES columns hold penstock_string */
  int32_t width;  /* elements in a row, side by side; 1 for inputs */
} penstock_column;

/* One array of a fitted transform's state: C-contiguous, 64-byte aligned, read only. */
typedef struct penstock_array {
  const void* data;
  int64_t size; /* elements */
  int32_t
      dtype; /* as in penstock_column; never BYTES: text is a UINT8 array beside an INT64 array of offsets */
  int32_t reserved;
} penstock_array;

typedef struct penstock_state {
  const penstock_array* arrays; /* in the order in which the transform's class names them */
  int64_t count;
  int64_t inputs;
  int64_t outputs;
} penstock_state;

typedef int (*penstock_kernel)(const void* state, const penstock_column* in, penstock_column* out,
                               int64_t rows);

#ifdef __cplusplus
} /* extern "C" */
#endif

#endif /* PENSTOCK_TRANSFORM_COLUMN_H */
