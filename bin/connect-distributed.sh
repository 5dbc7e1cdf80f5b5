#!/bin/sh
# Stands for Apache Kafka's connect-distributed.sh: the same arguments, the same file. launch.sh says which program it runs, and where its log goes.
#
#   connect-distributed.sh [-daemon] worker.properties
set -eu
mode=distributed
files='worker.properties'
here=$(dirname "$(readlink -f "$0")")
. "$here/launch.sh"
