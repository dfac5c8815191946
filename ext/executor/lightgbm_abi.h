// The part of LightGBM's C interface that the executor calls, as a binary interface: the wheel ships the
// library and no header. Exported by name since release 3.0; safe to use as the executor does since 4.2.
#pragma once

#include <cstdint>

#include "base/status.h"
#include "executor/library.h"

namespace penstock::executor::lgbm {

using BoosterHandle = void*;
using FastConfigHandle = void*;  // a prediction set up beforehand: for one thread, one element type

enum PredictType : int { kPredictNormal = 0, kPredictRawScore = 1 };
enum DataType : int { kFloat32 = 0, kFloat64 = 1 };

// Functions that return int give 0, or -1 with the reason in LGBM_GetLastError of the same thread.
struct Api {
  const char* (*last_error)() = nullptr;
  int (*load_from_string)(const char* text, int* iterations, BoosterHandle*) = nullptr;
  int (*free_booster)(BoosterHandle) = nullptr;
  int (*feature_count)(BoosterHandle, int*) = nullptr;
  int (*calc_num_predict)(BoosterHandle, int rows, int predict_type, int start_iteration, int num_iteration,
                          std::int64_t* values) = nullptr;
  int (*fast_init)(BoosterHandle, int predict_type, int start_iteration, int num_iteration, int data_type,
                   std::int32_t columns, const char* parameters, FastConfigHandle*) = nullptr;
  int (*fast_predict)(FastConfigHandle, const void* row, std::int64_t* values, double* result) = nullptr;
  int (*fast_free)(FastConfigHandle) = nullptr;

  Status resolve(const SharedLibrary& library) {
    PENSTOCK_RETURN_IF_ERROR(library.find("LGBM_GetLastError", &last_error));
    PENSTOCK_RETURN_IF_ERROR(library.find("LGBM_BoosterLoadModelFromString", &load_from_string));
    PENSTOCK_RETURN_IF_ERROR(library.find("LGBM_BoosterFree", &free_booster));
    PENSTOCK_RETURN_IF_ERROR(library.find("LGBM_BoosterGetNumFeature", &feature_count));
    PENSTOCK_RETURN_IF_ERROR(library.find("LGBM_BoosterCalcNumPredict", &calc_num_predict));
    PENSTOCK_RETURN_IF_ERROR(library.find("LGBM_BoosterPredictForMatSingleRowFastInit", &fast_init));
    PENSTOCK_RETURN_IF_ERROR(library.find("LGBM_BoosterPredictForMatSingleRowFast", &fast_predict));
    return library.find("LGBM_FastConfigFree", &fast_free);
  }
};

}  // namespace penstock::executor::lgbm
