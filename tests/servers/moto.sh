#!/usr/bin/env bash
# One AWS simulator (moto: S3 with tags, ACLs and encryption headers, and STS) on 127.0.0.1. It takes every access key.
#
#   moto.sh start PORT DIR    starts it and waits until it answers; what it holds is in memory
#   moto.sh stop PORT DIR     ends it
#
# DIR gets moto.pid and moto.log.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"
[ $# = 3 ] || die "usage: moto.sh start|stop PORT DIR"
command=$1 port=$2 dir=$3
pidfile=$dir/moto.pid log=$dir/moto.log server=$LAKEHEAD_TOOLS/moto/bin/moto_server

start() {
  [ -x "$server" ] || die "the AWS simulator is missing: run tests/servers/setup.sh stores"
  alive "$pidfile" && die "$pidfile belongs to a process that is running: stop it first"
  listening "$port" && die "port $port of 127.0.0.1 is taken"
  mkdir -p "$dir"
  setsid "$server" -H 127.0.0.1 -p "$port" >"$log" 2>&1 </dev/null &
  echo $! >"$pidfile"
  await 60 "$pidfile" "$log" "the AWS simulator" listening "$port"
}

case $command in
start) start ;;
stop) stop_pid "$pidfile" ;;
*) die "unknown command \`$command\`: start or stop" ;;
esac
