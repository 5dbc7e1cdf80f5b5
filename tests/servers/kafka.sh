#!/usr/bin/env bash
# One real Kafka broker (KRaft, broker and controller in one process) on 127.0.0.1.
#
#   kafka.sh start PORT DIR    starts it and waits until it answers; the controller takes PORT + 1. What DIR holds from an earlier start is kept
#   kafka.sh stop PORT DIR     ends it, in order
#   kafka.sh wipe PORT DIR     ends it and removes DIR
#
# DIR gets kafka.pid, kafka.log, server.properties and the log directory. Topics are not made by asking for them.
# KAFKA_HEAP (default 640m) is its heap; a line of KAFKA_SETTINGS is added to server.properties.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"
[ $# = 3 ] || die "usage: kafka.sh start|stop|wipe PORT DIR"
command=$1 port=$2 dir=$3
pidfile=$dir/kafka.pid log=$dir/kafka.log
java_() { java -cp "$LAKEHEAD_TOOLS/kafka/*" "-Dlog4j2.configurationFile=$SERVERS/log4j2.properties" "$@"; }
is_up() { grep -q 'Kafka Server started' "$log" && listening "$port"; }

start() {
  [ -d "$LAKEHEAD_TOOLS/kafka" ] || die "the broker's jars are missing: run tests/servers/setup.sh kafka"
  alive "$pidfile" && die "$pidfile belongs to a process that is running: stop it first"
  listening "$port" && die "port $port of 127.0.0.1 is taken"
  mkdir -p "$dir"
  cat >"$dir/server.properties" <<P
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$((port + 1))
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$((port + 1))
advertised.listeners=PLAINTEXT://127.0.0.1:$port
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
log.dirs=$dir/data
auto.create.topics.enable=false
num.partitions=1
offsets.topic.num.partitions=5
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=5
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
log.retention.hours=-1
log.retention.bytes=-1
${KAFKA_SETTINGS:-}
P
  if [ ! -f "$dir/data/meta.properties" ]; then
    # A cluster id is 16 bytes in URL-safe base64. One node needs no better one than this.
    java_ -Xmx128m kafka.tools.StorageTool format -t bGFrZWhlYWQtdGVzdHMhIQ -c "$dir/server.properties" >"$log" 2>&1 ||
      { cat "$log" >&2; die "the broker's log directory could not be formatted"; }
  fi
  : >"$log"
  local heap=${KAFKA_HEAP:-640m}
  setsid java "-Xms$heap" "-Xmx$heap" -XX:+UseG1GC -XX:MaxGCPauseMillis=20 -cp "$LAKEHEAD_TOOLS/kafka/*" \
    "-Dlog4j2.configurationFile=$SERVERS/log4j2.properties" kafka.Kafka "$dir/server.properties" >>"$log" 2>&1 </dev/null &
  echo $! >"$pidfile"
  await 90 "$pidfile" "$log" "the broker" is_up
}

case $command in
start) start ;;
stop) stop_pid "$pidfile" ;;
wipe) stop_pid "$pidfile" && rm -rf "$dir" ;;
*) die "unknown command \`$command\`: start, stop or wipe" ;;
esac
