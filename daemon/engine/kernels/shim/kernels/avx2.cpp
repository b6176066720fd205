// Compiled for processors with AVX2, FMA and F16C.

#define KERNELS kernels_avx2
#include "x86.h"
