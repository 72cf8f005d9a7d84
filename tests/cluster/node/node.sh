#!/bin/bash
# The node: everything that runs inside the cluster's own namespaces. Started by up.sh as
# node.sh STATE KUBE DNS STORAGE IMAGESTORE PORT. Stage 1 has the machine's network, stage 2 its own.
set -euo pipefail

log() { echo "  $*"; }

# keep NAME COMMAND…: starts a component, and again whenever it ends.
keep() {
	local name=$1
	shift
	while :; do
		(
			echo "$BASHPID" >"/run/node/pid/$name"
			exec "$@"
		) >>"/run/node/state/logs/$name.log" 2>&1 </dev/null || true
		sleep 0.3
	done &
}

# until_true SECONDS WHAT COMMAND…
until_true() {
	local deadline=$((SECONDS + $1)) what=$2
	shift 2
	until "$@" >/dev/null 2>&1; do
		if ((SECONDS >= deadline)); then
			log "$what: not within the time; last answer:"
			"$@" || true
			exit 1
		fi
		sleep 0.1
	done
	log "$what"
}

# A private /run, /var/lib and /var/log hide the machine's, so that components have their usual
# paths and leave no trace; what is needed from the machine is bound below /run/node.
private_mounts() {
	local state=$1 scratch=$1/run name
	mkdir -p "$scratch"
	mount -t tmpfs -o mode=755 tmpfs "$scratch"
	mkdir -p "$scratch"/{lock,netns,containerd,node/{pid,pki,etcd,disk}}
	shift
	set -- "state=$state" "kube=$1" "dns=$2" "storage=$3" "imagestore=$4" "etc=$(dirname "$(realpath "$0")")"
	for name; do
		mkdir "$scratch/node/${name%%=*}"
		mount --bind "${name#*=}" "$scratch/node/${name%%=*}"
	done
	mount --no-mtab --move "$scratch" /run
	: >/run/node/resolv.conf
	mount -t tmpfs -o mode=755 tmpfs /var/lib
	# containerd's state folder and named network namespaces want to be mount points
	mount -t tmpfs tmpfs /run/containerd
	mount -t tmpfs tmpfs /run/netns
	# the kubelet sets these for the whole machine; here it sets files of its own
	for name in vm/overcommit_memory vm/panic_on_oom kernel/panic kernel/panic_on_oops kernel/keys/root_maxkeys kernel/keys/root_maxbytes; do
		mkdir -p "/run/node/sysctl/${name%/*}"
		cp "/proc/sys/$name" "/run/node/sysctl/$name"
		mount --bind "/run/node/sysctl/$name" "/proc/sys/$name"
	done
}

# The disk is one sparse XFS file with reflinks: volumes, images, pods' own files and logs.
mount_disk() {
	local d=/run/node/disk
	truncate -s 64G /run/node/state/disk.img
	mkfs.xfs -q -m reflink=1 /run/node/state/disk.img
	# discard: what is deleted here is free again on the machine's disk
	mount -o loop,noatime,discard /run/node/state/disk.img $d
	mkdir -p $d/{volumes,volumes-nosnap,kubelet,containerd,log} /var/lib/{kubelet,containerd,cni}
	mount --bind $d/kubelet /var/lib/kubelet
	mount --bind $d/containerd /var/lib/containerd
	mount --bind $d/log /var/log
}

# Images come unpacked and read-only out of the cache; what containerd adds lands on the disk.
link_images() {
	local from=/run/node/imagestore/root to=/var/lib/containerd snapshotter=io.containerd.snapshotter.v1.overlayfs
	local content=io.containerd.content.v1.content
	mkdir -p $to/{io.containerd.metadata.v1.bolt,$snapshotter/snapshots,$content,added/{upper,work}}
	cp $from/io.containerd.metadata.v1.bolt/meta.db $to/io.containerd.metadata.v1.bolt/
	cp $from/$snapshotter/metadata.db $to/$snapshotter/
	ln -s $from/$snapshotter/snapshots/* $to/$snapshotter/snapshots/
	mount -t overlay -o lowerdir=$from/$content,upperdir=$to/added/upper,workdir=$to/added/work overlay $to/$content
}

network() {
	ip link set lo up
	# Both ends of the pair stay here: it only carries the node's address and the default route,
	# without which traffic to Service addresses is refused before iptables sees it.
	ip link add node0 type veth peer name node0p
	ip link set node0p up
	ip addr add 10.77.0.2/24 dev node0
	ip link set node0 up
	ip route add default dev node0
	echo 1 >/proc/sys/net/ipv4/ip_forward
	[ ! -f /proc/sys/net/bridge/bridge-nf-call-iptables ] || echo 1 >/proc/sys/net/bridge/bridge-nf-call-iptables
}

# The kubelet wants its root group to exist, with every controller at work in it.
cgroups() {
	local group controller
	if [ -f /sys/fs/cgroup/cgroup.controllers ]; then
		mkdir -p "/sys/fs/cgroup/$1"
		for group in /sys/fs/cgroup "/sys/fs/cgroup/$1"; do
			for controller in $(<"$group/cgroup.controllers"); do
				echo "+$controller" >"$group/cgroup.subtree_control" || true
			done
		done
		return
	fi
	for group in /sys/fs/cgroup/*/; do
		[ -f "$group/cgroup.procs" ] || continue
		mkdir -p "$group$1"
		if [ -f "$group/cpuset.cpus" ]; then
			cat "$group/cpuset.cpus" >"$group$1/cpuset.cpus"
			cat "$group/cpuset.mems" >"$group$1/cpuset.mems"
		fi
	done
}

certificates() {
	cd /run/node
	kubeadm init phase certs all --config etc/kubeadm.yaml
	kubeadm init phase kubeconfig all --config etc/kubeadm.yaml --kubeconfig-dir /run/node
}

control_plane() {
	local api=(
		kube-apiserver
		--etcd-servers http://127.0.0.1:2379
		--bind-address 0.0.0.0 --secure-port 6443 --advertise-address 10.77.0.2
		--service-cluster-ip-range 10.96.0.0/16
		--authorization-mode "Node,RBAC"
		--enable-admission-plugins NodeRestriction
		--allow-privileged
		--client-ca-file pki/ca.crt
		--tls-cert-file pki/apiserver.crt --tls-private-key-file pki/apiserver.key
		--service-account-key-file pki/sa.pub --service-account-signing-key-file pki/sa.key
		--service-account-issuer https://kubernetes.default.svc
		--kubelet-client-certificate pki/apiserver-kubelet-client.crt
		--kubelet-client-key pki/apiserver-kubelet-client.key
		--kubelet-preferred-address-types InternalIP
		--proxy-client-cert-file pki/front-proxy-client.crt --proxy-client-key-file pki/front-proxy-client.key
		--requestheader-client-ca-file pki/front-proxy-ca.crt --requestheader-allowed-names front-proxy-client
		--requestheader-username-headers X-Remote-User --requestheader-group-headers X-Remote-Group
		--requestheader-extra-headers-prefix X-Remote-Extra-
	)
	keep kube-apiserver "${api[@]}"
	until_true 60 "the API answers" kubectl get --raw /readyz
	local manager=(
		kube-controller-manager --kubeconfig controller-manager.conf --leader-elect=false
		--service-account-private-key-file pki/sa.key --root-ca-file pki/ca.crt
		--cluster-signing-cert-file pki/ca.crt --cluster-signing-key-file pki/ca.key
		--use-service-account-credentials
		--allocate-node-cidrs --cluster-cidr 10.244.0.0/16
		--kube-api-qps 200 --kube-api-burst 400
		--concurrent-deployment-syncs 20 --concurrent-replicaset-syncs 20 --concurrent-statefulset-syncs 20
		--concurrent-job-syncs 20 --concurrent-cron-job-syncs 20 --concurrent-gc-syncs 40 --concurrent-namespace-syncs 40
		# a machine busy with tests is not a lost node
		--node-monitor-grace-period 3m
	)
	keep kube-controller-manager "${manager[@]}"
	keep kube-scheduler kube-scheduler --kubeconfig scheduler.conf --leader-elect=false --kube-api-qps 200 --kube-api-burst 400
}

node_components() {
	keep kubelet kubelet --kubeconfig kubelet.conf --config etc/kubelet.yaml --root-dir /var/lib/kubelet --cgroup-root "/$1" \
		--hostname-override node-1 --node-ip 10.77.0.2 --volume-plugin-dir /var/lib/kubelet/volume-plugins
	# conntrack-max-per-core: the limit belongs to the machine
	keep kube-proxy kube-proxy --kubeconfig super-admin.conf --hostname-override node-1 --proxy-mode iptables \
		--cluster-cidr 10.244.0.0/16 --conntrack-max-per-core 0 --metrics-bind-address 127.0.0.1:10249
	keep coredns coredns -conf etc/Corefile
}

# csi DRIVER FOLDER FLAG…
csi() {
	local driver=$1 folder=$2
	shift 2
	keep "$driver" csi-loopdisk --driver-name "$driver" --store "/run/node/disk/$folder" --endpoint "unix:///run/$driver.sock" \
		--node-id node-1 --kubeconfig super-admin.conf "$@"
}

storage() {
	csi loopdisk.csi.local volumes
	csi loopdisk-nosnap.csi.local volumes-nosnap --no-snapshots
	kubectl create clusterrolebinding kubeadm:cluster-admins --clusterrole=cluster-admin --group=kubeadm:cluster-admins
	kubectl apply --server-side -f storage/crds
	kubectl wait --for=condition=Established --timeout=30s -f storage/crds
	kubectl apply --server-side -f etc/storage.yaml
	keep snapshot-controller snapshot-controller --kubeconfig super-admin.conf --kube-api-qps 100 --kube-api-burst 200 \
		--retry-interval-start 200ms --retry-interval-max 5s
	# The retry interval is how often it asks whether a slow snapshot is ready.
	keep csi-snapshotter csi-snapshotter --kubeconfig super-admin.conf --csi-address /run/loopdisk.csi.local.sock \
		--kube-api-qps 100 --kube-api-burst 200 --retry-interval-start 200ms --retry-interval-max 2s
}

node_ready() { kubectl get node node-1 -o 'jsonpath={.status.conditions[?(@.type=="Ready")].status}' | grep -qx True; }
drivers_ready() { [ "$(kubectl get csinode node-1 -o 'jsonpath={.spec.drivers[*].name}' | wc -w)" = 2 ]; }
dns_ready() (
	exec 3<>/dev/tcp/127.0.0.1/8181
	printf 'GET /ready HTTP/1.0\r\n\r\n' >&3
	grep -q ' 200 ' <&3
)

stage1() {
	private_mounts "$@"
	mount --make-rshared /
	# The only door: what connects to the port on the machine's loopback reaches the API server.
	socat "TCP-LISTEN:$6,bind=127.0.0.1,fork,reuseaddr,nodelay" UNIX-CONNECT:/run/node/api.sock </dev/null &
	exec unshare --net /run/node/etc/node.sh stage2 "$(basename "$1")"
}

stage2() {
	local group=pgup-$1
	export PATH=/run/node/kube:/run/node/storage:/run/node/dns:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
	export KUBECONFIG=/run/node/super-admin.conf
	hostname node-1
	network
	cd /run/node
	# etcd's data does not outlive the node anyway, and memory keeps its syncs away from what is measured.
	keep etcd etcd --data-dir /run/node/etcd --listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379 \
		--listen-peer-urls http://127.0.0.1:2380 --log-level warn
	socat UNIX-LISTEN:/run/node/api.sock,fork,mode=600 TCP:127.0.0.1:6443,nodelay </dev/null &
	certificates >/run/node/state/logs/kubeadm.log 2>&1
	cgroups "$group"
	mount_disk
	link_images
	keep containerd containerd --config /run/node/etc/containerd.toml
	control_plane
	node_components "$group"
	storage >/run/node/state/logs/manifests.log 2>&1 &
	local storage_pid=$!
	until_true 60 "the node is Ready" node_ready
	wait $storage_pid || {
		log "storage could not be set up: logs/manifests.log"
		exit 1
	}
	until_true 60 "storage and snapshots are ready" drivers_ready
	until_true 60 "DNS answers" dns_ready
	touch /run/node/state/ready
	wait
}

if [ "$1" = stage2 ]; then
	stage2 "$2"
else
	stage1 "$@"
fi
