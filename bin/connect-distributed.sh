#!/bin/sh
# Stands for Apache Kafka's connect-distributed.sh: the same arguments, the same file.
#
#   connect-distributed.sh [-daemon] worker.properties
#
# The program is LAKEHEAD_BIN where set, else target/release/lakehead beside this folder, else `lakehead` on the PATH.
# With -daemon the log goes to LAKEHEAD_LOG_DIR (default: ./logs), and the process id to lakehead.pid there.
set -eu

usage() {
    echo "usage: $0 [-daemon] worker.properties" >&2
    exit 1
}

daemon=false
if [ "${1:-}" = "-daemon" ]; then
    daemon=true
    shift
fi
[ $# -eq 1 ] || usage

here=$(dirname "$(readlink -f "$0")")
if [ -n "${LAKEHEAD_BIN:-}" ]; then
    program=$LAKEHEAD_BIN
elif [ -x "$here/../target/release/lakehead" ]; then
    program=$here/../target/release/lakehead
elif program=$(command -v lakehead); then
    :
else
    echo "$0: no lakehead found: set LAKEHEAD_BIN, build one with \`cargo build --release\`, or put it on the PATH" >&2
    exit 1
fi

if [ "$daemon" = false ]; then
    exec "$program" distributed "$@"
fi
logs=${LAKEHEAD_LOG_DIR:-logs}
mkdir -p "$logs"
nohup "$program" distributed "$@" >"$logs/connect.log" 2>&1 </dev/null &
echo $! >"$logs/lakehead.pid"
