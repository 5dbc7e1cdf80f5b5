#!/usr/bin/env bash
# One Azure Blob Storage emulator (Azurite) on 127.0.0.1. Account `devstoreaccount1` with the emulator's well-known key.
#
#   azurite.sh start PORT DIR    starts it and waits until it answers; what DIR holds from an earlier start is kept
#   azurite.sh stop PORT DIR     ends it
#
# DIR gets azurite.pid, azurite.log and the blobs.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"
[ $# = 3 ] || die "usage: azurite.sh start|stop PORT DIR"
command=$1 port=$2 dir=$3
pidfile=$dir/azurite.pid log=$dir/azurite.log server=$LAKEHEAD_TOOLS/azurite/node_modules/azurite/dist/src/blob/main.js

start() {
  [ -f "$server" ] || die "the Azure emulator is missing: run tests/servers/setup.sh stores"
  alive "$pidfile" && die "$pidfile belongs to a process that is running: stop it first"
  listening "$port" && die "port $port of 127.0.0.1 is taken"
  mkdir -p "$dir/data"
  setsid node "$server" --blobHost 127.0.0.1 --blobPort "$port" --location "$dir/data" --silent --disableTelemetry >"$log" 2>&1 </dev/null &
  echo $! >"$pidfile"
  await 60 "$pidfile" "$log" "the Azure emulator" listening "$port"
}

case $command in
start) start ;;
stop) stop_pid "$pidfile" ;;
*) die "unknown command \`$command\`: start or stop" ;;
esac
