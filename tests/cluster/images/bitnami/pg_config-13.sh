#!/bin/sh
# Answers with the paths of the tree below /opt/bitnami, as the binaries of this image use them.
tree=/opt/bitnami/postgresql
"$tree/lib/postgresql/13/bin/pg_config.bin" "$@" |
  sed "s,/usr/\(lib\|share\)/postgresql/13,$tree/\1/postgresql/13,g"
