# What connect-standalone.sh and connect-distributed.sh share: sourced with `mode` and `files` set, never run.
#
# The program is LAKEHEAD_BIN where set, else target/release/lakehead beside this folder, else `lakehead` on the PATH.
# With -daemon the log goes to LAKEHEAD_LOG_DIR (default: ./logs), and the process id to lakehead.pid there.

usage() {
    echo "usage: $0 [-daemon] $files" >&2
    exit 1
}

daemon=false
if [ "${1:-}" = "-daemon" ]; then
    daemon=true
    shift
fi
[ $# -ge 1 ] || usage
[ "$mode" = standalone ] || [ $# -eq 1 ] || usage

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
    exec "$program" "$mode" "$@"
fi
logs=${LAKEHEAD_LOG_DIR:-logs}
mkdir -p "$logs"
nohup "$program" "$mode" "$@" >"$logs/connect.log" 2>&1 </dev/null &
echo $! >"$logs/lakehead.pid"
