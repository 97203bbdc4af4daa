#!/usr/bin/env bash
# Test with several processes on this machine (or on several: set NNODES, NODE_RANK, MASTER_ADDR, MASTER_PORT).
# Usage: tools/dist_test.sh CONFIG PROCESSES CHECKPOINT... [arguments of tools/test.py]
if [ $# -lt 3 ]; then
    sed -n '2,3s/^# //p' "$0" >&2
    exit 2
fi
exec "$(dirname "$0")/torchrun.sh" test.py "$@"
