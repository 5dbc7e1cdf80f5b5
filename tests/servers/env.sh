# Where the test servers' files are, and what their scripts share. Sourced, never run.
#
#   LAKEHEAD_TOOLS   what setup.sh installs (jars, binaries, the Python environment); default <repository>/.tools
#
# A server keeps everything it writes, its pid file included, below the directory it is started with. It listens on 127.0.0.1 only.

REPO=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
SERVERS=$REPO/tests/servers
LAKEHEAD_TOOLS=${LAKEHEAD_TOOLS:-$REPO/.tools}
export LAKEHEAD_TOOLS

KAFKA_VERSION=4.3.1
APICURIO_VERSION=3.0.9 # the newest release that runs on Java 17
CARGO_DENY_VERSION=0.20.2
CARGO_FUZZ_VERSION=0.13.2

say() { printf '%s\n' "$*" >&2; }
die() { say "error: $*"; exit 1; }

# needs COMMAND WHAT: fails unless there is that command.
needs() { command -v "$1" >/dev/null || die "\`$1\` is missing: install $2"; }

# A part of what setup.sh installs is there when its stamp holds this text; a changed version or list of packages makes it be installed again.
done_already() { [ -f "$LAKEHEAD_TOOLS/stamps/$1" ] && [ "$(cat "$LAKEHEAD_TOOLS/stamps/$1")" = "$2" ]; }
mark_done() { printf '%s' "$2" >"$LAKEHEAD_TOOLS/stamps/$1"; }

# Is something listening on 127.0.0.1:$1?
listening() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# The first of $1 ports in a row that nobody listens on.
free_ports() {
  python3 - "$1" <<'P'
import random, socket, sys
while True:
    first = random.randrange(20000, 30000)
    try:
        held = [socket.create_server(("127.0.0.1", first + n)) for n in range(int(sys.argv[1]))]
        break
    except OSError:
        pass
print(first)
P
}

# Is the process in pid file $1 alive?
alive() { [ -f "$1" ] && kill -0 "$(cat "$1")" 2>/dev/null; }

# await SECONDS PIDFILE LOG WHAT COMMAND…: waits until COMMAND succeeds; fails early, with the end of LOG, when the process is gone.
await() {
  local deadline=$((SECONDS + $1)) pidfile=$2 log=$3 what=$4
  shift 4
  until "$@"; do
    alive "$pidfile" || { tail -n 30 "$log" >&2; die "$what ended while it was starting; its log is $log"; }
    [ "$SECONDS" -lt "$deadline" ] || { tail -n 30 "$log" >&2; die "$what was not ready in time; its log is $log"; }
    sleep 0.1
  done
}

# Ends the one process whose number is in pid file $1: TERM, and KILL after 20 s.
stop_pid() {
  local pid
  [ -f "$1" ] || return 0
  pid=$(cat "$1")
  kill "$pid" 2>/dev/null || true
  for _ in $(seq 1 200); do
    kill -0 "$pid" 2>/dev/null || break
    sleep 0.1
  done
  kill -KILL "$pid" 2>/dev/null || true
  rm -f "$1"
}
