#!/bin/sh
# Stands for Apache Kafka's connect-standalone.sh: the same arguments, the same files. launch.sh says which program it runs, and where its log goes.
#
#   connect-standalone.sh [-daemon] worker.properties [connector.properties|connector.json ...]
set -eu
mode=standalone
files='worker.properties [connector.properties|connector.json ...]'
here=$(dirname "$(readlink -f "$0")")
. "$here/launch.sh"
