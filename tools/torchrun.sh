#!/usr/bin/env bash
# Start a tool with torchrun; dist_train.sh and dist_test.sh are the doors to it.
# Usage: tools/torchrun.sh TOOL CONFIG PROCESSES [arguments of the tool]
# On several machines set NNODES, NODE_RANK, MASTER_ADDR and PORT.
set -euo pipefail
TOOL=$1
CONFIG=$2
PROCESSES=$3
shift 3
HERE=$(cd "$(dirname "$0")" && pwd)
PYTHONPATH="$HERE/..:${PYTHONPATH:-}" exec "${PYTHON:-python}" -m torch.distributed.run \
    --nnodes="${NNODES:-1}" --node_rank="${NODE_RANK:-0}" \
    --master_addr="${MASTER_ADDR:-127.0.0.1}" --master_port="${PORT:-29500}" \
    --nproc_per_node="$PROCESSES" "$HERE/$TOOL" "$CONFIG" --launcher pytorch "$@"
