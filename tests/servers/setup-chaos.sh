#!/usr/bin/env bash
# Installs what `make chaos` does its faults with into $LAKEHEAD_TOOLS (default: .tools in the repository):
#   toxiproxy  bad networks, by Go
#   clock      clocks that jump: clock.c as a library, by the C compiler
#
# setup-chaos.sh [part…]; without arguments: both. Safe to run again. Needs Go, a C compiler, and Go's registry.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"

TOXIPROXY_VERSION=v2.5.0


setup_toxiproxy() {
  local made=$LAKEHEAD_TOOLS/toxiproxy
  done_already toxiproxy "$TOXIPROXY_VERSION" && [ -x "$LAKEHEAD_TOOLS/bin/toxiproxy-server" ] && return 0
  say "setting up toxiproxy $TOXIPROXY_VERSION in $LAKEHEAD_TOOLS/bin"
  needs go "Go 1.24 or later"
  # Its binary is called \`server\`, which says little in a folder of servers.
  GOBIN=$made GOFLAGS=-buildvcs=false go install "github.com/Shopify/toxiproxy/v2/cmd/server@$TOXIPROXY_VERSION" >&2
  mv "$made/server" "$LAKEHEAD_TOOLS/bin/toxiproxy-server"
  rmdir "$made"
  mark_done toxiproxy "$TOXIPROXY_VERSION"
}

setup_clock() {
  local want library=$LAKEHEAD_TOOLS/bin/clock.so
  want=$(sha256sum <"$SERVERS/clock.c")
  done_already clock "$want" && [ -f "$library" ] && return 0
  say "building the library that sets a process's clock in $LAKEHEAD_TOOLS/bin"
  needs cc "a C compiler"
  cc -shared -fPIC -O2 -Wall -Wextra -Werror -o "$library" "$SERVERS/clock.c" -ldl
  mark_done clock "$want"
}

mkdir -p "$LAKEHEAD_TOOLS/stamps" "$LAKEHEAD_TOOLS/bin"
for part in "${@:-toxiproxy clock}"; do
  for name in $part; do
    case $name in
    toxiproxy | clock) "setup_$name" ;;
    *) die "unknown part \`$name\`: toxiproxy or clock" ;;
    esac
  done
done
