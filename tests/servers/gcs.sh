#!/usr/bin/env bash
# One Google Cloud Storage emulator on 127.0.0.1: gcsxml.py, which speaks the XML API that our client uses, over fake-gcs-server, which speaks JSON.
#
#   gcs.sh start PORT DIR    starts both and waits until they answer; fake-gcs-server takes PORT + 1. What DIR holds from an earlier start is kept
#   gcs.sh stop PORT DIR     ends them
#
# DIR gets gcs.pid, fake-gcs.pid, their logs and a folder for each bucket in DIR/data.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"
[ $# = 3 ] || die "usage: gcs.sh start|stop PORT DIR"
command=$1 port=$2 dir=$3 below=$(($2 + 1))
server=$LAKEHEAD_TOOLS/gcs/fake-gcs-server

start() {
  [ -x "$server" ] || die "the GCS emulator is missing: run tests/servers/setup.sh stores"
  for name in gcs fake-gcs; do alive "$dir/$name.pid" && die "$dir/$name.pid belongs to a process that is running: stop it first"; done
  for taken in "$port" "$below"; do listening "$taken" && die "port $taken of 127.0.0.1 is taken"; done
  mkdir -p "$dir/data"
  setsid "$server" -scheme http -host 127.0.0.1 -port "$below" -backend filesystem -filesystem-root "$dir/data" -public-host "127.0.0.1:$below" \
    >"$dir/fake-gcs.log" 2>&1 </dev/null &
  echo $! >"$dir/fake-gcs.pid"
  await 30 "$dir/fake-gcs.pid" "$dir/fake-gcs.log" "the GCS emulator" listening "$below"
  setsid "${PYTHON:-python3}" "$SERVERS/gcsxml.py" "$port" "$below" >"$dir/gcs.log" 2>&1 </dev/null &
  echo $! >"$dir/gcs.pid"
  await 30 "$dir/gcs.pid" "$dir/gcs.log" "the XML API before the GCS emulator" listening "$port"
}

case $command in
start) start ;;
stop)
  stop_pid "$dir/gcs.pid"
  stop_pid "$dir/fake-gcs.pid"
  ;;
*) die "unknown command \`$command\`: start or stop" ;;
esac
