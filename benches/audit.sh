#!/usr/bin/env bash
# What `lakehead verify` and `lakehead locate` take: a job of many small files, on a real S3 server and, the same files, in a folder.
#
#   benches/audit.sh [FILES]     100000, of 10 records each
#
# Prints a line for each: seconds of wall clock, CPU seconds, peak resident MiB, what it said. LAKEHEAD_BIN names another binary to measure.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../tests/servers/env.sh"

files=${1:-100000}
rows=10 partitions=4
[ $((files % partitions)) = 0 ] || die "$files files over $partitions partitions are no whole number"

cd "$REPO"
say "building"
cargo build -q --release --bin lakehead --example produce_orders --example await_group
lakehead=${LAKEHEAD_BIN:-target/release/lakehead}

run=$(mktemp -d "${TMPDIR:-/tmp}/lakehead-audit.XXXXXX")
worker=
base=$(free_ports 4)
kafka=$base s3=$((base + 2)) rest=$((base + 3))
cleanup() {
  [ -z "$worker" ] || kill "$worker" 2>/dev/null || true
  "$SERVERS/kafka.sh" stop "$kafka" "$run/kafka" || true
  "$SERVERS/s3.sh" stop "$s3" "$run/s3" || true
  rm -rf "$run"
}
trap cleanup EXIT

say "starting the broker and the S3 server"
KAFKA_HEAP=1g "$SERVERS/kafka.sh" start "$kafka" "$run/kafka"
"$SERVERS/s3.sh" start "$s3" "$run/s3"
mkdir -p "$run/s3/data/lake"

say "writing $((files * rows)) orders into $files files"
target/release/examples/produce_orders --bootstrap-servers "127.0.0.1:$kafka" --topic orders --partitions $partitions --records $((files * rows)) --format json >&2
cat >"$run/worker.properties" <<P
bootstrap.servers=127.0.0.1:$kafka
listeners=http://127.0.0.1:$rest
key.converter=org.apache.kafka.connect.storage.StringConverter
value.converter=org.apache.kafka.connect.json.JsonConverter
value.converter.schemas.enable=false
offset.storage.file.filename=$run/offsets
P
cat >"$run/store.properties" <<P
lakehead.store.option.aws_endpoint=http://127.0.0.1:$s3
lakehead.store.option.aws_region=us-east-1
lakehead.store.option.aws_access_key_id=test
lakehead.store.option.aws_secret_access_key=testtest
P
cat >"$run/sink.properties" <<P
name=audit
connector.class=io.confluent.connect.s3.S3SinkConnector
tasks.max=1
topics=orders
storage.class=io.confluent.connect.s3.storage.S3Storage
s3.bucket.name=lake
s3.region=us-east-1
store.url=http://127.0.0.1:$s3
aws.access.key.id=test
aws.secret.access.key=testtest
format.class=io.confluent.connect.s3.format.parquet.ParquetFormat
flush.size=$rows
P
"$lakehead" standalone "$run/worker.properties" "$run/sink.properties" >"$run/log" 2>&1 </dev/null &
worker=$!
target/release/examples/await_group --bootstrap-servers "127.0.0.1:$kafka" --topic orders --group connect-audit >/dev/null || { tail -n 20 "$run/log" >&2; die "the job did not end"; }
kill "$worker"
wait "$worker" || { tail -n 20 "$run/log" >&2; die "the worker did not end as it should"; }
worker=

# measured NAME ARGUMENT…: runs the binary, and prints what it took and the last line that it said; fails as it does.
measured() {
  local name=$1
  shift
  python3 - "$name" "$lakehead" "$@" <<'P'
import resource, subprocess, sys, time
name, *command = sys.argv[1:]
began = time.monotonic()
ended = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
took, used = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
said = [line.strip() for line in ended.stdout.splitlines() if line.strip()]
print(f"{name:<24} {took:7.1f} s  {used.ru_utime + used.ru_stime:7.1f} CPU s  {used.ru_maxrss / 1024:6.0f} MiB  exit {ended.returncode}: {said[-1] if said else ''}")
sys.exit(ended.returncode)
P
}
middle=$((files * rows / partitions / 2))
measured "verify, S3" verify s3://lake --store-config "$run/store.properties"
measured "verify, S3 and Kafka" verify s3://lake --store-config "$run/store.properties" --group connect-audit --bootstrap-servers "127.0.0.1:$kafka"
measured "locate, S3" locate "orders/1@$middle" s3://lake --store-config "$run/store.properties"
measured "verify, folder" verify "file://$run/s3/data/lake/topics"
measured "verify, folder, Kafka" verify "file://$run/s3/data/lake/topics" --group connect-audit --bootstrap-servers "127.0.0.1:$kafka"
measured "locate, folder" locate "orders/1@$middle" "file://$run/s3/data/lake/topics"
