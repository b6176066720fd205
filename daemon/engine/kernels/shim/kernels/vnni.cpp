// Compiled for processors that also have AVX-512 with VL and VNNI.

#define KERNELS kernels_vnni
#include "x86.h"
