#!/usr/bin/env bash
# Test with several processes on this machine (or on several: set NNODES, NODE_RANK, MASTER_ADDR, PORT).
# Usage: tools/dist_test.sh CONFIG PROCESSES CHECKPOINT... [arguments of tools/test.py]
set -euo pipefail
if [ $# -lt 3 ]; then
    sed -n '2,3s/^# //p' "$0" >&2
    exit 2
fi
CONFIG=$1
PROCESSES=$2
shift 2
HERE=$(cd "$(dirname "$0")" && pwd)
PYTHONPATH="$HERE/..:${PYTHONPATH:-}" exec "${PYTHON:-python}" -m torch.distributed.run \
    --nnodes="${NNODES:-1}" --node_rank="${NODE_RANK:-0}" \
    --master_addr="${MASTER_ADDR:-127.0.0.1}" --master_port="${PORT:-29500}" \
    --nproc_per_node="$PROCESSES" "$HERE/test.py" "$CONFIG" --launcher pytorch "$@"
