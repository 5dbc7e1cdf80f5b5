#!/usr/bin/env bash
# Installs what the tests need. The compilers that the build needs come from the system:
#   toolchain  a C and C++ compiler, make and perl: librdkafka and OpenSSL are built from source and linked statically
# Everything else goes into $LAKEHEAD_TOOLS (default: .tools in the repository):
#   kafka      the Kafka broker's jars, from Maven Central
#   connect    Kafka Connect's worker in Java, with its file and test connectors, from Maven Central
#   registry   Apicurio, a schema registry that speaks Confluent's API, from Maven Central
#   python     a virtual environment with DuckDB, pyarrow, Polars and fastavro, from PyPI
#   java-readers  parquet-cli with what it needs of Hadoop, from Maven Central
#   stores     the object store servers (setup-stores.sh)
#   clients    clients of Connect's REST API: one in Java, from Maven Central, and others (setup-clients.sh)
#   chaos      toxiproxy and a clock that can be set, for `make chaos` (setup-chaos.sh; only when it is named)
#   deny       cargo-deny, for `make lint` (only when it is named)
#   fuzz       cargo-fuzz and a nightly toolchain, for `make fuzz` (only when it is named)
#
# setup.sh [part…]; without arguments: all but chaos, deny and fuzz. Safe to run again and at the same time as itself: what is there at the right version is left alone.
# Needs Java 17 with its compiler, Maven, Go, Node and Python 3.9 or later, and reaches the package registries; on Debian it installs what is missing of Maven by apt.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; elif command -v sudo >/dev/null; then sudo "$@"; else die "this needs root and there is no sudo: run \`$*\` yourself"; fi
}

# need COMMAND DEBIAN_PACKAGE: finds the command, or installs its package where there is apt.
need() {
  command -v "$1" >/dev/null && return 0
  command -v apt-get >/dev/null || die "\`$1\` is missing: install it (Debian's package is $2)"
  say "\`$1\` is missing: installing Debian's package $2"
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$2" >&2 ||
    { as_root apt-get update -q >&2 && as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$2" >&2; } ||
    die "could not install $2: install \`$1\` yourself"
}

# maven POM ARGUMENT…: Maven is quiet unless it fails; it is tried twice, because registries have bad moments.
maven() {
  local log=$LAKEHEAD_TOOLS/maven.log pom=$SERVERS/$1
  shift
  for attempt in 1 2; do
    mvn -B -ntp -f "$pom" "$@" >"$log" 2>&1 && return 0
    [ "$attempt" = 2 ] || sleep 5
  done
  tail -n 40 "$log" >&2
  die "maven failed; its log is $log"
}

setup_toolchain() {
  command -v cargo >/dev/null || die "\`cargo\` is missing: install Rust 1.95 or later"
  need cc build-essential
  need c++ build-essential
  need make build-essential
  need perl perl
  perl -MIPC::Cmd -MFindBin -e 1 2>/dev/null || die "perl's core modules are missing (OpenSSL's build uses IPC::Cmd and FindBin): install the full perl package"
}

# jars NAME POM WANT WHAT [OPTION…]: copies the jars that POM of tests/servers names into a folder NAME of the tools, unless those that WANT stands for are there.
jars() {
  local name=$1 pom=$2 want=$3 what=$4 target=$LAKEHEAD_TOOLS/$1
  shift 4
  done_already "$name" "$want" && return 0
  say "setting up $what in $target"
  need java openjdk-17-jre-headless
  need mvn maven
  rm -rf "$target"
  maven "$pom" dependency:copy-dependencies "$@" -DincludeScope=runtime "-DoutputDirectory=$target"
  mark_done "$name" "$want"
}

setup_kafka() {
  jars kafka pom.xml "$KAFKA_VERSION $(sha256sum <"$SERVERS/pom.xml")" "the Kafka $KAFKA_VERSION broker" "-Dkafka.version=$KAFKA_VERSION"
}

setup_connect() {
  need javac openjdk-17-jdk-headless # tests compile programs that use its classes
  jars connect connect.xml "$KAFKA_VERSION $(sha256sum <"$SERVERS/connect.xml")" "the Kafka Connect $KAFKA_VERSION worker" "-Dkafka.version=$KAFKA_VERSION"
}

# The registry's own POM names a parent that Maven Central does not have. Only its archive is wanted, so Maven is given an empty POM in its place, in a
# local repository of our own that is thrown away afterwards.
setup_registry() {
  local target=$LAKEHEAD_TOOLS/registry local_repository=$LAKEHEAD_TOOLS/registry-m2 group=io/apicurio name=apicurio-registry-app
  done_already registry "$APICURIO_VERSION" && return 0
  say "setting up the Apicurio $APICURIO_VERSION schema registry in $target"
  need java openjdk-17-jre-headless
  need mvn maven
  rm -rf "$target" "$local_repository"
  mkdir -p "$target" "$local_repository/$group/$name/$APICURIO_VERSION"
  cat >"$local_repository/$group/$name/$APICURIO_VERSION/$name-$APICURIO_VERSION.pom" <<POM
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>${group//\//.}</groupId><artifactId>$name</artifactId><version>$APICURIO_VERSION</version>
</project>
POM
  maven pom.xml "-Dmaven.repo.local=$local_repository" dependency:copy "-Dartifact=${group//\//.}:$name:$APICURIO_VERSION:tar.gz:all" "-DoutputDirectory=$target"
  tar -xzf "$target"/*.tar.gz -C "$target"
  rm -rf "$target"/*.tar.gz "$local_repository"
  mark_done registry "$APICURIO_VERSION"
}

setup_python() {
  local want target=$LAKEHEAD_TOOLS/venv python=${PYTHON:-python3}
  want=$(sha256sum <"$SERVERS/requirements.txt")
  done_already python "$want" && return 0
  say "setting up the Python readers in $target"
  command -v "$python" >/dev/null || die "\`$python\` is missing: install Python 3.9 or later, or name it in PYTHON"
  rm -rf "$target"
  "$python" -m venv "$target" 2>/dev/null || { need virtualenv python3-virtualenv; virtualenv -q -p "$python" "$target" >&2; }
  "$target/bin/pip" install -q --disable-pip-version-check -r "$SERVERS/requirements.txt" >&2
  mark_done python "$want"
}

setup_java_readers() {
  jars java-readers java-readers.xml "$(sha256sum <"$SERVERS/java-readers.xml")" "the Java readers"
}

setup_clients() {
  need javac openjdk-17-jdk-headless
  jars java-client java-client.xml "$(sha256sum <"$SERVERS/java-client.xml")" "the Java client of Connect's REST API"
  "$SERVERS/setup-clients.sh"
}

# Not part of the tests: `make lint` asks for it.
setup_deny() {
  done_already deny "$CARGO_DENY_VERSION" && return 0
  say "setting up cargo-deny $CARGO_DENY_VERSION in $LAKEHEAD_TOOLS/bin (three minutes)"
  cargo install -q cargo-deny --locked --version "$CARGO_DENY_VERSION" --root "$LAKEHEAD_TOOLS" >&2
  mark_done deny "$CARGO_DENY_VERSION"
}

# Not part of the tests: `make fuzz` asks for it. libFuzzer's hooks are in nightly compilers alone.
setup_fuzz() {
  rustup toolchain list 2>/dev/null | grep -q '^nightly' || rustup toolchain install nightly --profile minimal >&2 || die "\`make fuzz\` needs a nightly toolchain"
  done_already fuzz "$CARGO_FUZZ_VERSION" && return 0
  say "setting up cargo-fuzz $CARGO_FUZZ_VERSION in $LAKEHEAD_TOOLS/bin (a minute)"
  cargo install -q cargo-fuzz --locked --version "$CARGO_FUZZ_VERSION" --root "$LAKEHEAD_TOOLS" >&2
  mark_done fuzz "$CARGO_FUZZ_VERSION"
}

setup_stores() { "$SERVERS/setup-stores.sh"; }
setup_chaos() { "$SERVERS/setup-chaos.sh"; }

mkdir -p "$LAKEHEAD_TOOLS/stamps" "$LAKEHEAD_TOOLS/bin"
exec 9>"$LAKEHEAD_TOOLS/lock"
flock 9 # one installer at a time
for part in "${@:-toolchain kafka connect registry python java-readers stores clients}"; do
  for name in $part; do
    case $name in
    toolchain | kafka | connect | registry | python | java-readers | stores | clients | chaos | deny | fuzz) "setup_${name//-/_}" 9>&- ;;
    *) die "unknown part \`$name\`: toolchain, kafka, connect, registry, python, java-readers, stores, clients, chaos, deny or fuzz" ;;
    esac
  done
done
