#!/bin/bash
# Builds the storage driver, snapshot-controller and csi-snapshotter, with their CRDs, into folder $1.
set -euo pipefail
cd "$(dirname "$0")"
CGO_ENABLED=0 go build -v -trimpath -ldflags "-s -w" -o "$1/" . tool
crds=$(go list -m -f '{{.Dir}}' github.com/kubernetes-csi/external-snapshotter/client/v8)/config/crd
mkdir "$1/crds"
cp "$crds"/snapshot.storage.k8s.io_*.yaml "$1/crds/"
chmod -R u+w "$1/crds"
