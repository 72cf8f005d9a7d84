#!/bin/bash
# Builds every component of Kubernetes as one binary with many names, and kubectl, into folder $1.
set -euo pipefail
cd "$(dirname "$0")"
version=$(go list -m -f '{{.Version}}' k8s.io/kubernetes)
minor=${version#v*.}
package=k8s.io/component-base/version
# Without a version the kubelet reports a nonsense one.
flags="-s -w -X $package.gitVersion=$version -X $package.gitMajor=1 -X $package.gitMinor=${minor%%.*}"
CGO_ENABLED=0 go build -v -trimpath -ldflags "$flags" -o "$1/kube" .
CGO_ENABLED=0 go build -v -trimpath -ldflags "$flags" -o "$1/kubectl" ./kubectl
for name in kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy kubeadm; do
	ln -s kube "$1/$name"
done
