#!/usr/bin/env bash
# One real schema registry (Apicurio, schemas in memory) on 127.0.0.1. Confluent's API is below http://127.0.0.1:PORT/apis/ccompat/v7
#
#   registry.sh start PORT DIR    starts it and waits until it answers
#   registry.sh stop PORT DIR     ends it; its schemas are gone
#
# DIR gets registry.pid and registry.log.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"
[ $# = 3 ] || die "usage: registry.sh start|stop PORT DIR"
command=$1 port=$2 dir=$3
pidfile=$dir/registry.pid log=$dir/registry.log
is_up() { listening "$port" && curl -sf -o /dev/null "http://127.0.0.1:$port/apis/ccompat/v7/subjects"; }

start() {
  local jars=("$LAKEHEAD_TOOLS"/registry/*-runner.jar)
  [ -f "${jars[0]}" ] || die "the registry is missing: run tests/servers/setup.sh registry"
  alive "$pidfile" && die "$pidfile belongs to a process that is running: stop it first"
  listening "$port" && die "port $port of 127.0.0.1 is taken"
  mkdir -p "$dir"
  setsid java -Xmx320m -Dquarkus.http.host=127.0.0.1 "-Dquarkus.http.port=$port" -jar "${jars[0]}" >"$log" 2>&1 </dev/null &
  echo $! >"$pidfile"
  await 120 "$pidfile" "$log" "the registry" is_up
}

case $command in
start) start ;;
stop) stop_pid "$pidfile" ;;
*) die "unknown command \`$command\`: start or stop" ;;
esac
