#!/usr/bin/env bash
# Train with several processes on this machine (or on several: set NNODES, NODE_RANK, MASTER_ADDR, MASTER_PORT).
# Usage: tools/dist_train.sh CONFIG PROCESSES [arguments of tools/train.py]
if [ $# -lt 2 ]; then
    sed -n '2,3s/^# //p' "$0" >&2
    exit 2
fi
exec "$(dirname "$0")/torchrun.sh" train.py "$@"
