#!/bin/bash
# Builds csi-sanity into folder $1.
set -euo pipefail
cd "$(dirname "$0")"
CGO_ENABLED=0 go build -v -trimpath -ldflags "-s -w" -o "$1/" tool
