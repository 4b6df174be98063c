//! NCCL's plugin interfaces as NCCL's headers lay them out, one module per interface.
