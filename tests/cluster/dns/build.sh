#!/bin/bash
# Builds CoreDNS with only the plugins that a cluster needs into folder $1.
set -euo pipefail
cd "$(dirname "$0")"
CGO_ENABLED=0 go build -v -trimpath -ldflags "-s -w" -o "$1/coredns" .
