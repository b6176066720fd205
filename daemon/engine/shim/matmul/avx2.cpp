// Compiled for processors with AVX2, FMA and F16C.

#define TABLE kernels_avx2
#include "x86.h"
