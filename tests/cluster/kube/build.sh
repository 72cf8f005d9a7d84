#!/bin/bash
# Builds every component of Kubernetes, and kubectl, as one binary with many names into folder $1.
set -euo pipefail
cd "$(dirname "$0")"
version=$(go list -m -f '{{.Version}}' k8s.io/kubernetes)
minor=${version#v*.}
package=k8s.io/component-base/version
# Without a version the kubelet reports a nonsense one.
CGO_ENABLED=0 go build -v -trimpath -o "$1/kube" \
	-ldflags "-s -w -X $package.gitVersion=$version -X $package.gitMajor=1 -X $package.gitMinor=${minor%%.*}" .
for name in kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy kubeadm kubectl; do
	ln -s kube "$1/$name"
done
