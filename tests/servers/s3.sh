#!/usr/bin/env bash
# One S3 server (versitygw over a folder) on 127.0.0.1. Access key `test`, secret `testtest`, region us-east-1.
#
#   s3.sh start PORT DIR    starts it and waits until it answers; what DIR holds from an earlier start is kept
#   s3.sh stop PORT DIR     ends it
#
# DIR gets s3.pid, s3.log and a folder for each bucket in DIR/data.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"
[ $# = 3 ] || die "usage: s3.sh start|stop PORT DIR"
command=$1 port=$2 dir=$3
pidfile=$dir/s3.pid log=$dir/s3.log server=$LAKEHEAD_TOOLS/bin/versitygw

start() {
  [ -x "$server" ] || die "the S3 server is missing: run tests/servers/setup.sh stores"
  alive "$pidfile" && die "$pidfile belongs to a process that is running: stop it first"
  listening "$port" && die "port $port of 127.0.0.1 is taken"
  mkdir -p "$dir/data"
  ROOT_ACCESS_KEY=test ROOT_SECRET_KEY=testtest setsid "$server" --port "127.0.0.1:$port" --region us-east-1 --quiet posix "$dir/data" \
    >"$log" 2>&1 </dev/null &
  echo $! >"$pidfile"
  await 30 "$pidfile" "$log" "the S3 server" listening "$port"
}

case $command in
start) start ;;
stop) stop_pid "$pidfile" ;;
*) die "unknown command \`$command\`: start or stop" ;;
esac
