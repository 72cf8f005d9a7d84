#!/bin/bash
# Tests the test cluster itself: starts two of its own beside each other, uses them, kills one.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
export PG_UPGRADE_TEST_IMAGES=none

k() { "$DIR/kubectl" --kubeconfig "$DIR/kubeconfig" "$@"; }

ok() { say "ok: $*"; }

expect() {
	local what=$1 want=$2 got
	shift 2
	got=$("$@") || die "FAILED: $what: $*"
	[ "$got" = "$want" ] || die "FAILED: $what: want '$want', got '$got'"
	ok "$what"
}

# claim NAME CLASS MODE SIZE [SOURCE_KIND SOURCE]
claim() {
	local source=
	case ${5:-} in
	VolumeSnapshot) source="dataSource: {apiGroup: snapshot.storage.k8s.io, kind: VolumeSnapshot, name: $6}" ;;
	PersistentVolumeClaim) source="dataSource: {kind: PersistentVolumeClaim, name: $6}" ;;
	esac
	k apply -f - <<-EOF >/dev/null
		apiVersion: v1
		kind: PersistentVolumeClaim
		metadata: {name: $1}
		spec:
		  storageClassName: $2
		  accessModes: [$3]
		  resources: {requests: {storage: $4}}
		  $source
	EOF
}

# pod NAME CLAIM COMMAND: one that Pod Security "restricted" admits
pod() {
	k apply -f - <<-EOF >/dev/null
		apiVersion: v1
		kind: Pod
		metadata: {name: $1, labels: {app: $1}}
		spec:
		  terminationGracePeriodSeconds: 0
		  securityContext: {runAsUser: 999, runAsNonRoot: true, fsGroup: 999, seccompProfile: {type: RuntimeDefault}}
		  containers:
		  - name: main
		    image: localhost/busybox:1
		    command: [sh, -c, "$3"]
		    securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
		    volumeMounts: [{name: data, mountPath: /data}]
		  volumes: [{name: data, persistentVolumeClaim: {claimName: $2}}]
	EOF
}

snapshot() {
	k apply -f - <<-EOF >/dev/null
		apiVersion: snapshot.storage.k8s.io/v1
		kind: VolumeSnapshot
		metadata: {name: $1}
		spec:
		  ${3:+volumeSnapshotClassName: $3}
		  source: {persistentVolumeClaimName: $2}
	EOF
}

ready() { k wait --for=condition=Ready --timeout=60s "pod/$1" >/dev/null; }
snapshot_ready() { k wait --for=jsonpath='{.status.readyToUse}'=true --timeout=60s "volumesnapshot/$1" >/dev/null; }

test_volumes() {
	local class free
	for class in ext4 xfs ext4-nosnap; do
		claim "$class" "$class" ReadWriteOnce 320Mi
		pod "$class" "$class" "echo $class > /data/x; sync; sleep 100000"
	done
	for class in ext4 xfs ext4-nosnap; do
		ready "$class"
		expect "a pod writes to a claim of class $class" "$class" k exec "$class" -- cat /data/x
		k exec "$class" -- dd if=/dev/zero of=/data/fill bs=1M count=400 2>/dev/null && die "FAILED: 400 MiB fit into 320 MiB"
		free=$(k exec "$class" -- sh -c 'df -m /data | tail -n 1 | tr -s " " | cut -d" " -f4')
		((free < 8)) || die "FAILED: $class: $free MiB are free on a full disk"
		k exec "$class" -- rm /data/fill
		ok "the disk of class $class is full at its size"
	done
}

test_snapshots() {
	local class started
	for class in ext4 xfs; do
		k exec "$class" -- sh -c 'echo before > /data/x'
		snapshot "$class" "$class"
		snapshot_ready "$class"
		k exec "$class" -- sh -c 'echo after > /data/x'
		claim "$class-restored" "$class" ReadWriteOnce 400Mi VolumeSnapshot "$class"
		pod "$class-restored" "$class-restored" "sleep 100000"
		claim "$class-clone" "$class" ReadWriteOncePod 320Mi PersistentVolumeClaim "$class"
		pod "$class-clone" "$class-clone" "sleep 100000"
	done
	for class in ext4 xfs; do
		ready "$class-restored"
		expect "a claim from a snapshot of class $class" before k exec "$class-restored" -- cat /data/x
		ready "$class-clone"
		expect "a ReadWriteOncePod clone of class $class" after k exec "$class-clone" -- cat /data/x
	done
	pod second ext4-clone "sleep 100000"
	sleep 2
	expect "a second pod waits for a ReadWriteOncePod claim" Pending k get pod second -o 'jsonpath={.status.phase}'
	started=$SECONDS
	snapshot slow ext4 slow
	sleep 5
	expect "a snapshot of the slow class is not ready at once" false k get volumesnapshot slow -o 'jsonpath={.status.readyToUse}'
	snapshot_ready slow
	((SECONDS - started >= 19 && SECONDS - started < 28)) || die "FAILED: the slow snapshot was ready after $((SECONDS - started)) s"
	ok "it is ready after its delay"
	snapshot refused ext4-nosnap
	sleep 3
	expect "the class without snapshots gives none" "" k get volumesnapshot refused -o 'jsonpath={.status.readyToUse}'
}

test_network() {
	local ip
	k exec ext4 -- sh -c 'mkdir -p /data/www && echo hello > /data/www/index.html'
	pod web ext4 "echo serving; exec httpd -f -p 8080 -h /data/www"
	ready web
	k expose pod web --port 80 --target-port 8080 >/dev/null
	sleep 1.5
	# The static busybox has no wget that works, and looks names up only by its nslookup.
	ip=$(k get service web -o 'jsonpath={.spec.clusterIP}')
	expect "DNS knows a Service" "Address: $ip" k exec xfs -- sh -c "nslookup web.$NAMESPACE.svc.cluster.local | tail -n +3 | grep ^Address"
	expect "pods search their namespace" "search $NAMESPACE.svc.cluster.local svc.cluster.local cluster.local" k exec xfs -- grep ^search /etc/resolv.conf
	expect "a Service answers" hello k exec xfs -- sh -c "printf 'GET / HTTP/1.0\r\n\r\n' | nc -w 5 $ip 80 | tail -n 1"
	expect "logs" serving k logs web
	k get --raw "/api/v1/namespaces/$NAMESPACE/services/web:80/proxy/" | grep -qx hello || die "FAILED: the API server's proxy"
	ok "the API server reaches pods"
}

test_policy() {
	k run refused --image=localhost/busybox:1 2>/dev/null && die "FAILED: a pod that is not restricted was admitted"
	ok "Pod Security refuses a pod in a restricted namespace"
	expect "kubectl auth knows nobody else" no bash -c "'$DIR/kubectl' --kubeconfig '$DIR/kubeconfig' auth can-i list pods --as nobody || true"
}

test_recovery() {
	local name
	for name in kube-apiserver loopdisk.csi.local kubelet; do
		"$HERE/node-exec" "$CLUSTER" bash -c "kill -9 \$(cat /run/node/pid/$name)"
	done
	for _ in $(seq 100); do
		k get --raw /readyz >/dev/null 2>&1 && break
		sleep 0.2
	done
	claim late ext4 ReadWriteOnce 64Mi
	pod late late "sleep 100000"
	ready late
	ok "components that are killed come back"
}

# living PID…: those that still run
living() {
	local pid
	for pid; do
		[ ! -d "/proc/$pid" ] || echo "$pid"
	done
}

# attached DEVICES…: the loop devices of these that are in use, and what is behind them
attached() { losetup --noheadings --raw --output NAME,BACK-MAJ:MIN,BACK-INO "$@" 2>/dev/null || true; }

# still LINES: those of attached that are as they were
still() { attached | grep -xF "$1" || true; }

test_kill() {
	local pid pids device devices loops
	pid=$(main_pid)
	mapfile -t pids < <(descendants "$pid")
	((${#pids[@]} > 20)) || die "FAILED: only ${#pids[@]} processes"
	mapfile -t devices < <("$HERE/node-exec" "$CLUSTER" findmnt --noheadings --raw --output SOURCE | grep -o '^/dev/loop[0-9]*' | sort -u)
	loops=$(for device in "${devices[@]}"; do attached "$device"; done)
	((${#devices[@]} > 4)) || die "FAILED: only ${#devices[@]} loop devices"
	[ "$(wc -l <<<"$loops")" = ${#devices[@]} ] || die "FAILED: loop devices are not seen: ${devices[*]}"
	kill -9 "$pid"
	for _ in $(seq 100); do
		[ -z "$(living "${pids[@]}")" ] && [ -z "$(still "$loops")" ] && break
		sleep 0.1
	done
	expect "kill -9 of the one process leaves none of its ${#pids[@]} processes" "" living "${pids[@]}"
	expect "and none of its ${#devices[@]} loop devices, so no mount" "" still "$loops"
	remove_cluster
	expect "cluster-down leaves no cgroup" "" bash -c "ls -d /sys/fs/cgroup/pgup-$CLUSTER /sys/fs/cgroup/*/pgup-$CLUSTER 2>/dev/null || true"
	[ ! -e "$DIR" ] || die "FAILED: $DIR is still there"
}

require_machine
CLUSTER=selftest-b "$HERE/up.sh"
CLUSTER=selftest-a
DIR=$STATE/$CLUSTER
trap interrupted INT TERM
trap 'for name in selftest-a selftest-b; do CLUSTER=$name "$HERE/down.sh"; done' EXIT
CLUSTER=$CLUSTER "$HERE/up.sh"
NAMESPACE=restricted
k create namespace $NAMESPACE >/dev/null
k label namespace $NAMESPACE pod-security.kubernetes.io/enforce=restricted >/dev/null
k config set-context --current --namespace $NAMESPACE >/dev/null
until k get serviceaccount default >/dev/null 2>&1; do sleep 0.1; done
test_volumes
test_snapshots
test_network
test_policy
test_recovery
test_kill
CLUSTER=selftest-b
DIR=$STATE/$CLUSTER
expect "the other cluster lives" ok k get --raw /readyz
