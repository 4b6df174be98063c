#!/bin/bash
# What a shell makes of it, and what it only looks like.
export NCCL_DEBUG="WARN"
NCCL_HOSTID=$(hostname -s)
NCCL_CROSS_NIC = 1
NCCL_ALGO=allreduce:tree;broadcast:ring
setenv NCCL_IB_TIMEOUT 20
NCCL_IB_HCA==mlx5_0, mlx5_1
export NCCL_SOCKET_IFNAME='^lo
mpirun -np 8 -x NCCL_NTHREADS=True -x OTHER=True ./train
NCCL_IB_GID_INDEX=
