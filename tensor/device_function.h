// DGP_DEVICE marks a function that kernels call as well; without nvcc it is nothing.
#pragma once

#ifdef __CUDACC__
#define DGP_DEVICE __host__ __device__
#else
#define DGP_DEVICE
#endif
