#!/usr/bin/env bash
# Start a tool with torchrun; dist_train.sh and dist_test.sh are the doors to it.
# Usage: tools/torchrun.sh TOOL CONFIG PROCESSES [arguments of the tool]
# On several machines set NNODES, NODE_RANK (0 on the machine of MASTER_ADDR), MASTER_ADDR and MASTER_PORT.
set -euo pipefail
TOOL=$1
CONFIG=$2
PROCESSES=$3
shift 3
if [ "${NNODES:-1}" -gt 1 ] && { [ -z "${NODE_RANK:-}" ] || [ -z "${MASTER_ADDR:-}" ]; }; then
    echo "NNODES=$NNODES needs NODE_RANK (0 to $((NNODES - 1))) and MASTER_ADDR (the address of machine 0)" >&2
    exit 2
fi
if ! [[ $PROCESSES =~ ^([1-9][0-9]*|auto|cpu|gpu)$ ]]; then
    echo "expected a number of processes after the config, found '$PROCESSES'" >&2
    exit 2
fi
PORT=${MASTER_PORT:-${PORT:-}}
if [ "${NNODES:-1}" -eq 1 ] && [ -z "$PORT" ]; then
    MEETING=(--standalone)  # on any free port: a second job on this machine must not find 29500 taken
else
    MEETING=(--nnodes="${NNODES:-1}" --node_rank="${NODE_RANK:-0}"
        --master_addr="${MASTER_ADDR:-127.0.0.1}" --master_port="${PORT:-29500}")
fi
HERE=$(cd "$(dirname "$0")" && pwd)
PYTHONPATH="$HERE/..:${PYTHONPATH:-}" exec "${PYTHON:-python}" -m torch.distributed.run \
    "${MEETING[@]}" \
    --nproc_per_node="$PROCESSES" "$HERE/$TOOL" "$CONFIG" --launcher pytorch "$@"
