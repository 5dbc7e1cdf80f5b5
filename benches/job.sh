#!/usr/bin/env bash
# The whole job against a real broker and a real S3 server: order events from a topic of six partitions to Snappy Parquet, by one standalone worker.
#
#   benches/job.sh [RECORDS] [FORMAT…]     3000000; json envelope avro
#
# Beside the formats there is `bad`: JSON of which every tenth record of a partition cannot be read, and goes to a dead letter queue with its headers. `benches/job.sh
# 3000000 json bad json bad` compares that with clean records. `+chain` after a format has a chain of five transforms change each record: `avro avro+chain avro avro+chain`.
#
# Prints for each format, from the start of the process until the committed offsets are the end offsets:
#   records per CPU second (user and system time of the process, from /proc), peak resident MiB (VmHWM), wall seconds, seconds to the first record.
# The records are in the topic before the worker starts, compressed as COMPRESSION says (lz4). FLUSH_SIZE (100000) divides a partition's records, so that every
# record gets into a file. LAKEHEAD_BIN names another binary to measure, BENCH_PROFILE another Cargo profile to build with. `make bench-job` sets up what this needs.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../tests/servers/env.sh"

records=${1:-3000000}
shift || true
formats=("$@")
[ ${#formats[@]} -gt 0 ] || formats=(json envelope avro)
partitions=6
flush_size=${FLUSH_SIZE:-100000}
compression=${COMPRESSION:-lz4}
profile=${BENCH_PROFILE:-release}
[ $((records % (partitions * flush_size))) = 0 ] || die "$records records over $partitions partitions do not end with a file of FLUSH_SIZE=$flush_size records"

cd "$REPO"
say "building"
cargo build -q --profile "$profile" --bin lakehead --example produce_orders --example await_group
target=$(cargo metadata --format-version 1 --no-deps | python3 -c 'import json,sys; print(json.load(sys.stdin)["target_directory"])')/${profile/#dev/debug}
lakehead=${LAKEHEAD_BIN:-$target/lakehead}

run=$(mktemp -d "${TMPDIR:-/tmp}/lakehead-bench.XXXXXX")
worker= waiting=
base=$(free_ports 5)
kafka=$base s3=$((base + 2)) registry=$((base + 3)) rest=$((base + 4))
cleanup() {
  [ -z "$worker" ] || kill "$worker" 2>/dev/null || true
  [ -z "$waiting" ] || kill "$waiting" 2>/dev/null || true
  "$SERVERS/kafka.sh" stop "$kafka" "$run/kafka" || true
  "$SERVERS/s3.sh" stop "$s3" "$run/s3" || true
  "$SERVERS/registry.sh" stop "$registry" "$run/registry" || true
  rm -rf "$run"
}
trap cleanup EXIT

say "starting the broker and the S3 server"
KAFKA_HEAP=1g "$SERVERS/kafka.sh" start "$kafka" "$run/kafka"
"$SERVERS/s3.sh" start "$s3" "$run/s3"

cat >"$run/worker.properties" <<P
bootstrap.servers=127.0.0.1:$kafka
listeners=http://127.0.0.1:$rest
key.converter=org.apache.kafka.connect.storage.StringConverter
value.converter=org.apache.kafka.connect.json.JsonConverter
value.converter.schemas.enable=false
offset.storage.file.filename=$run/offsets
offset.flush.interval.ms=1000
P

# register: the id of the orders' schema.
register() {
  "$target/examples/produce_orders" --print-avro-schema | python3 -c 'import json,sys; print(json.dumps({"schema": sys.stdin.read()}))' |
    curl -sf -H 'Content-Type: application/json' --data-binary @- "http://127.0.0.1:$registry/apis/ccompat/v7/subjects/orders-value/versions" |
    python3 -c 'import json,sys; print(json.load(sys.stdin)["id"])'
}

# The settings of a format's converter, one a line.
converter() {
  case $1 in
  json | bad) ;;
  envelope) printf '%s\n' value.converter=org.apache.kafka.connect.json.JsonConverter value.converter.schemas.enable=true ;;
  avro) printf '%s\n' value.converter=io.confluent.connect.avro.AvroConverter "value.converter.schema.registry.url=http://127.0.0.1:$registry/apis/ccompat/v7" ;;
  *) die "unknown format \`$1\`: json, envelope, avro or bad" ;;
  esac
}

# cpu_ticks PID: user and system time. The name in the second field may hold blanks, so that fields are counted after its parenthesis.
cpu_ticks() { sed 's/.*) //' "/proc/$1/stat" | awk '{print $12 + $13}'; }

# task NAME FIELD…: a field of the first task's status, an empty line while there is none.
task() {
  curl -s "http://127.0.0.1:$rest/connectors/$1/status" | python3 -c '
import json, sys
try:
    value = json.load(sys.stdin)["tasks"][0]
    for field in sys.argv[1:]:
        value = value[field]
    print(value)
except (KeyError, IndexError, ValueError):
    print()' "${@:2}"
}

# give_up_if_failed NAME: ends the benchmark when the worker or its task has.
give_up_if_failed() {
  kill -0 "$worker" 2>/dev/null || { tail -n 30 "$run/$1.log" >&2; die "the worker ended"; }
  [ "$(task "$1" state)" != FAILED ] || die "the task failed: $(task "$1" trace)"
}

measure() {
  local label=$1 format=${1%+chain} id=1 topic=orders-${1/+/-}-$2 name=bench-${1/+/-}-$2 flush=$flush_size more=() started first ended
  if [ "$format" = avro ]; then
    [ -f "$run/registry/registry.pid" ] || "$SERVERS/registry.sh" start "$registry" "$run/registry"
    id=$(register)
  fi
  local encoding=$format rows=$records
  if [ "$format" = bad ]; then
    # A file ends with a partition's last good record.
    encoding=json rows=$((records * 9 / 10)) flush=$((flush_size * 9 / 10)) more=(--bad-every 10)
  fi
  say "$label: writing $records orders"
  "$target/examples/produce_orders" --bootstrap-servers "127.0.0.1:$kafka" --topic "$topic" --partitions $partitions --records "$records" \
    --format "$encoding" --schema-id "$id" --compression "$compression" "${more[@]}" >&2
  mkdir -p "$run/s3/data/$name"
  { cat <<P; converter "$format"; } >"$run/$name.properties"
name=$name
connector.class=io.confluent.connect.s3.S3SinkConnector
tasks.max=1
topics=$topic
storage.class=io.confluent.connect.s3.storage.S3Storage
s3.bucket.name=$name
s3.region=us-east-1
store.url=http://127.0.0.1:$s3
aws.access.key.id=test
aws.secret.access.key=testtest
format.class=io.confluent.connect.s3.format.parquet.ParquetFormat
parquet.codec=snappy
flush.size=$flush
P
  [ "$format" != bad ] || cat >>"$run/$name.properties" <<P
errors.tolerance=all
errors.deadletterqueue.topic.name=$topic-dead
errors.deadletterqueue.topic.replication.factor=1
errors.deadletterqueue.context.headers.enable=true
P
  [ "$label" = "$format" ] || cat >>"$run/$name.properties" <<P
transforms=drop,flat,topic,mask,route
predicates=tombstone
predicates.tombstone.type=org.apache.kafka.connect.transforms.predicates.RecordIsTombstone
transforms.drop.type=org.apache.kafka.connect.transforms.Filter
transforms.drop.predicate=tombstone
transforms.flat.type=org.apache.kafka.connect.transforms.Flatten\$Value
transforms.flat.delimiter=_
transforms.topic.type=org.apache.kafka.connect.transforms.InsertField\$Value
transforms.topic.topic.field=topic
transforms.topic.timestamp.field=at
transforms.mask.type=org.apache.kafka.connect.transforms.MaskField\$Value
transforms.mask.fields=customer
transforms.mask.replacement=***
transforms.route.type=org.apache.kafka.connect.transforms.RegexRouter
transforms.route.regex=(.*)
transforms.route.replacement=lake-\$1
P
  say "$label: running"
  started=$(date +%s.%N)
  "$lakehead" standalone "$run/worker.properties" "$run/$name.properties" >"$run/$name.log" 2>&1 </dev/null &
  worker=$!
  until [ "$(task "$name" lakehead consumed)" -gt 0 ] 2>/dev/null; do give_up_if_failed "$name"; done
  first=$(date +%s.%N)
  "$target/examples/await_group" --bootstrap-servers "127.0.0.1:$kafka" --topic "$topic" --group "connect-$name" >/dev/null &
  waiting=$!
  # Looked at seldom, so that looking does not cost the worker's cores.
  while kill -0 $waiting 2>/dev/null; do
    for _ in $(seq 1 100); do
      kill -0 $waiting 2>/dev/null || break
      sleep 0.02
    done
    give_up_if_failed "$name"
  done
  wait $waiting || { tail -n 30 "$run/$name.log" >&2; die "the job did not end"; }
  waiting=
  ended=$(date +%s.%N)
  awk -v format="$label" -v records="$records" -v ticks="$(cpu_ticks $worker)" -v hz="$(getconf CLK_TCK)" -v kib="$(awk '/^VmHWM/ {print $2}' "/proc/$worker/status")" \
    -v wall="$(echo "$started $ended" | awk '{print $2 - $1}')" -v first="$(echo "$started $first" | awk '{print $2 - $1}')" 'BEGIN {
      printf "%s records per CPU second: %d\n", format, records * hz / ticks
      printf "%s peak resident MiB: %d\n", format, kib / 1024
      printf "%s wall seconds: %.1f\n", format, wall
      printf "%s records per wall second: %d\n", format, records / wall
      printf "%s seconds to the first record: %.2f\n", format, first }'
  kill -TERM $worker
  wait $worker || die "after SIGTERM the worker ended with $?"
  worker=
  "$LAKEHEAD_TOOLS/venv/bin/python" - "$run/s3/data/$name" "$rows" "$label" <<'P'
import sys, duckdb
files, rows, distinct = duckdb.connect().execute(f"SELECT count(DISTINCT filename), count(*), count(DISTINCT id) FROM read_parquet('{sys.argv[1]}/**/*.parquet', filename = true)").fetchone()
print(f"{sys.argv[3]} files: {files}, rows: {rows}, distinct ids: {distinct}")
sys.exit(0 if rows == distinct == int(sys.argv[2]) else "error: the files do not hold every good record once")
P
  rm -rf "${run:?}/s3/data/$name"
}

number=0
for format in "${formats[@]}"; do measure "$format" $((number += 1)); done
