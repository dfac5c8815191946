#define PENSTOCK_ALLOCATIONS_IMPLEMENT
#include "allocations.h"
