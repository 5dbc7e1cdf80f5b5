#!/usr/bin/env bash
# Installs what `make chaos` does its faults with into $LAKEHEAD_TOOLS (default: .tools in the repository):
#   toxiproxy  bad networks, by Go
#   faketime   clocks that jump: Debian's libfaketime, unpacked and not installed, so it needs no root
#
# setup-chaos.sh [part…]; without arguments: both. Safe to run again. Needs Go, apt-get and dpkg-deb, and the package registries.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"

TOXIPROXY_VERSION=v2.5.0

done_already() { [ -f "$LAKEHEAD_TOOLS/stamps/$1" ] && [ "$(cat "$LAKEHEAD_TOOLS/stamps/$1")" = "$2" ]; }
mark_done() { printf '%s' "$2" >"$LAKEHEAD_TOOLS/stamps/$1"; }
needs() { command -v "$1" >/dev/null || die "\`$1\` is missing: install $2"; }

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

setup_faketime() {
  local target=$LAKEHEAD_TOOLS/faketime
  done_already faketime 1 && [ -f "$target/libfaketimeMT.so.1" ] && return 0
  say "setting up libfaketime in $target"
  needs apt-get "libfaketime by hand as $target/libfaketimeMT.so.1"
  needs dpkg-deb "libfaketime by hand as $target/libfaketimeMT.so.1"
  rm -rf "$target"
  mkdir -p "$target/package"
  (cd "$target/package" && apt-get download -q libfaketime >&2 && dpkg-deb -x ./libfaketime_*.deb .)
  find "$target/package" -name 'libfaketimeMT.so.1' -exec cp {} "$target/" \;
  [ -f "$target/libfaketimeMT.so.1" ] || die "Debian's libfaketime holds no libfaketimeMT.so.1"
  rm -rf "$target/package"
  mark_done faketime 1
}

mkdir -p "$LAKEHEAD_TOOLS/stamps" "$LAKEHEAD_TOOLS/bin"
for part in "${@:-toxiproxy faketime}"; do
  for name in $part; do
    case $name in
    toxiproxy | faketime) "setup_$name" ;;
    *) die "unknown part \`$name\`: toxiproxy or faketime" ;;
    esac
  done
done
