# The test cluster: a real one-node Kubernetes in namespaces of its own. CLUSTER names it; several run side by side.
CLUSTER ?= dev
cluster_dir := $(dir $(lastword $(MAKEFILE_LIST)))
cluster_shell := $(wildcard $(cluster_dir)*.sh $(cluster_dir)node-exec $(cluster_dir)*/build.sh $(cluster_dir)node/node.sh)
cluster_go := kube dns storage

.PHONY: cluster-up cluster-down cluster-env test-csi test-cluster lint-cluster

cluster-up:
	@CLUSTER=$(CLUSTER) $(cluster_dir)up.sh

cluster-down:
	@CLUSTER=$(CLUSTER) $(cluster_dir)down.sh

cluster-env:
	@CLUSTER=$(CLUSTER) $(cluster_dir)env.sh

test-csi:
	@$(cluster_dir)test-csi.sh

test-cluster:
	@$(cluster_dir)test-cluster.sh

lint-cluster:
	shellcheck -x -P $(cluster_dir) $(cluster_shell)
	@cd $(cluster_dir) && unformatted=$$(gofmt -l $(cluster_go)) && if [ -n "$$unformatted" ]; then echo "gofmt: $$unformatted"; exit 1; fi
	@for module in $(cluster_go); do echo "go vet $$module"; (cd $(cluster_dir)$$module && CGO_ENABLED=0 go vet -trimpath ./...) || exit 1; done
