#!/bin/sh
# Starts workers on explicit queues; `./cascade up` starts its own in the same way.
set -u

script=$0
while [ -L "$script" ]; do
    target=$(readlink "$script")
    case $target in
        /*) script=$target ;;
        *) script=$(dirname "$script")/$target ;;
    esac
done
root=$(CDPATH='' cd -- "$(dirname -- "$script")" && pwd -P) || exit 2

case ${1-} in
    -h | --help)
        cat <<'USAGE'
Usage: start_workers.sh [--node NAME] [--workers N] [--publish-workers M] [--metrics-port PORT] [QUEUE …]

Starts N worker processes for each queue and keeps them running; SIGTERM or Ctrl-C stops them warm.
A queue for publishing gets up to M (CASCADE_PUBLISH_WORKERS), while there is work for them.
Without a queue: the queues of the node, or `default` (deliveries) without --node; on a child's machine
(cascade.node_type: child) the queues of that child.
Queues are named in full, for example node:node-1 node:node-1:publish; RQ does not serve wildcards.
Works on the data directory in CASCADE_DATA_DIR (default: var beside this script).
USAGE
        exit 0
        ;;
esac

# The interpreter is replaced, not called: signals must reach the node process.
if [ -x "$root/.venv/bin/python" ]; then
    unset PYTHONHOME PYTHONPATH
    PYTHONSAFEPATH=1
    export PYTHONSAFEPATH
    exec "$root/.venv/bin/python" -m backend.cli.main node run --only-queues "$@"
fi
exec /bin/sh "$root/cascade" node run --only-queues "$@"
