#!/usr/bin/env bash
# One toxiproxy on 127.0.0.1: TCP proxies whose connections can be made slow, narrow, silent or cut, over its HTTP API.
#
#   toxiproxy.sh start PORT DIR    starts it and waits until it answers
#   toxiproxy.sh stop PORT DIR     ends it
#
# DIR gets toxiproxy.pid and toxiproxy.log.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"
[ $# = 3 ] || die "usage: toxiproxy.sh start|stop PORT DIR"
command=$1 port=$2 dir=$3
pidfile=$dir/toxiproxy.pid log=$dir/toxiproxy.log server=$LAKEHEAD_TOOLS/bin/toxiproxy-server

start() {
  [ -x "$server" ] || die "toxiproxy is missing: run tests/servers/setup.sh chaos"
  alive "$pidfile" && die "$pidfile belongs to a process that is running: stop it first"
  listening "$port" && die "port $port of 127.0.0.1 is taken"
  mkdir -p "$dir"
  setsid "$server" -host 127.0.0.1 -port "$port" >"$log" 2>&1 </dev/null &
  echo $! >"$pidfile"
  await 30 "$pidfile" "$log" "toxiproxy" listening "$port"
}

case $command in
start) start ;;
stop) stop_pid "$pidfile" ;;
*) die "unknown command \`$command\`: start or stop" ;;
esac
