#!/usr/bin/env bash
# One worker of Kafka Connect in Java, with its file and test connectors: distributed where WORKER.PROPERTIES has a group.id, standalone where not.
#
#   connect.sh start WORKER.PROPERTIES DIR [CONNECTOR…]    starts it and does not wait: its REST API answers when it is ready
#   connect.sh stop WORKER.PROPERTIES DIR                  ends it, in order
#
# DIR gets connect.pid and connect.log. CONNECT_HEAP (default 256m) is its heap. A standalone worker takes connectors.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"
[ $# -ge 3 ] || die "usage: connect.sh start|stop WORKER.PROPERTIES DIR [CONNECTOR…]"
command=$1 worker=$2 dir=$3
shift 3
pidfile=$dir/connect.pid log=$dir/connect.log

start() {
  [ -d "$LAKEHEAD_TOOLS/connect" ] || die "the Java worker's jars are missing: run tests/servers/setup.sh connect"
  alive "$pidfile" && die "$pidfile belongs to a process that is running: stop it first"
  mkdir -p "$dir"
  local heap=${CONNECT_HEAP:-256m} class=ConnectStandalone
  ! grep -q '^group\.id=' "$worker" || class=ConnectDistributed
  setsid java "-Xms$heap" "-Xmx$heap" -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -cp "$LAKEHEAD_TOOLS/connect/*" \
    "-Dlog4j2.configurationFile=$SERVERS/connect-log4j2.properties" "org.apache.kafka.connect.cli.$class" "$worker" "$@" >>"$log" 2>&1 </dev/null &
  echo $! >"$pidfile"
}

case $command in
start) start "$@" ;;
stop) stop_pid "$pidfile" ;;
*) die "unknown command \`$command\`: start or stop" ;;
esac
