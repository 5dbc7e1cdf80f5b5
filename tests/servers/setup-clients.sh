#!/usr/bin/env bash
# Installs the clients of Kafka Connect's REST API that others wrote, each in a folder of its own below $LAKEHEAD_TOOLS/connect-clients (default: .tools in the
# repository), because two of them have packages of the same name:
#   kc             kafka-connect-py, a command line client, by pip
#   kafka_connect  kafka-connect-cli, another one, by pip
#   healthcheck    kafka-connect-healthcheck, a server beside a worker that tells a load balancer how it is, by pip
#   npm            kafka-connect-client, a library for Node, by npm
# setup.sh installs the Java client itself (java-client.xml).
#
# setup-clients.sh [part…]; without arguments: all of them. Safe to run again. Needs Node and Python 3.9 or later, and the package registries.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"

KC_VERSION=1.0.0
KAFKA_CONNECT_CLI_VERSION=0.2.5
HEALTHCHECK_VERSION=0.3.0
LEGACY_CGI_VERSION=2.6.4
NPM_CLIENT_VERSION=2.3.0

# python_client PART PACKAGE==VERSION…: a virtual environment with these packages.
python_client() {
  local part=$1 target=$LAKEHEAD_TOOLS/connect-clients/$1 python=${PYTHON:-python3}
  shift
  done_already "client-$part" "$*" && [ -d "$target" ] && return 0
  say "setting up $1 in $target"
  needs "$python" "Python 3.9 or later, or name it in PYTHON"
  rm -rf "$target"
  mkdir -p "$(dirname "$target")"
  "$python" -m venv "$target" 2>/dev/null || { needs virtualenv python3-virtualenv; virtualenv -q -p "$python" "$target" >&2; }
  "$target/bin/pip" install -q --disable-pip-version-check "$@" >&2
  mark_done "client-$part" "$*"
}

setup_kc() { python_client kc "kafka-connect-py==$KC_VERSION"; }
# It uses a module that Python 3.13 has not any more.
setup_kafka_connect() { python_client kafka_connect "kafka-connect-cli==$KAFKA_CONNECT_CLI_VERSION" "legacy-cgi==$LEGACY_CGI_VERSION; python_version >= '3.13'"; }
setup_healthcheck() { python_client healthcheck "kafka-connect-healthcheck==$HEALTHCHECK_VERSION"; }

setup_npm() {
  local target=$LAKEHEAD_TOOLS/connect-clients/npm
  done_already client-npm "$NPM_CLIENT_VERSION" && [ -d "$target" ] && return 0
  say "setting up kafka-connect-client $NPM_CLIENT_VERSION for Node in $target"
  needs npm "Node 20 or later"
  rm -rf "$target"
  mkdir -p "$target"
  npm install --prefix "$target" --no-audit --no-fund --omit=dev --loglevel=error "kafka-connect-client@$NPM_CLIENT_VERSION" >&2
  mark_done client-npm "$NPM_CLIENT_VERSION"
}

mkdir -p "$LAKEHEAD_TOOLS/stamps"
for part in "${@:-kc kafka_connect healthcheck npm}"; do
  for name in $part; do
    case $name in
    kc | kafka_connect | healthcheck | npm) "setup_$name" ;;
    *) die "unknown part \`$name\`: kc, kafka_connect, healthcheck or npm" ;;
    esac
  done
done
