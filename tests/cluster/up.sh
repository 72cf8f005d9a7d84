#!/bin/bash
# Starts the test cluster named by CLUSTER, or finds that it is up. Everything it needs is built or taken from the cache.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

# image_archives prints the docker-archives of the PostgreSQL images.
image_archives() {
	[ "${PG_UPGRADE_TEST_IMAGES:-}" = none ] || "$HERE/images/build.sh"
}

# build_all leaves the path of each artefact in a file of folder $1. The Go builds and the images share the machine.
build_all() {
	local out=$1 failed=0 pid pids=()
	{ image_archives >"$out/archives"; } & pids+=($!)
	{ artefact kube "Kubernetes" >"$out/kube" && artefact dns "CoreDNS" >"$out/dns" &&
		artefact storage "the storage driver and snapshot controllers" >"$out/storage"; } & pids+=($!)
	for pid in "${pids[@]}"; do wait "$pid" || failed=1; done
	[ $failed = 0 ] || die "cluster $CLUSTER: not everything could be built"
	mapfile -t ARCHIVES <"$out/archives"
	artefact imagestore "the image store (${#ARCHIVES[@]} images)" "${ARCHIVES[@]}" >"$out/imagestore"
}

# add_images ARCHIVES: imports those that a cluster that is already up lacks.
add_images() {
	local archive
	while [ -n "$1" ] && read -r archive; do
		grep -qxF "$archive" "$DIR/archives" && continue
		say "Adding to cluster $CLUSTER: $archive"
		"$HERE/node-exec" "$CLUSTER" ctr -n k8s.io images import - <"$archive" >/dev/null
		echo "$archive" >>"$DIR/archives"
	done <<<"$1"
}

# free_port: one that belongs to the cluster's name unless it is taken.
free_port() {
	local port
	port=$((20000 + $(cksum <<<"$CLUSTER" | cut -d' ' -f1) % 10000))
	while (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do port=$((port + 1)); done
	echo $port
}

# start DIR KUBE DNS STORAGE IMAGESTORE PORT
start() {
	local pid
	mkdir -p "$DIR/logs"
	: >"$DIR/log"
	setsid unshare --mount --pid --ipc --uts --fork --kill-child --mount-proc \
		"$HERE/node/node.sh" "$@" </dev/null >"$DIR/log" 2>&1 8>&- &
	pid=$!
	echo "$pid $(started_at "$pid")" >"$DIR/pid"
}

wait_ready() {
	local deadline=$((SECONDS + 180)) tail_pid
	tail -n +1 -f "$DIR/log" >&2 8>&- &
	tail_pid=$!
	while ! [ -f "$DIR/ready" ]; do
		if ! main_pid >/dev/null || ((SECONDS > deadline)); then
			sleep 0.5
			kill "$tail_pid"
			end_cluster
			say "The logs of all components: $DIR/logs"
			die "cluster $CLUSTER did not come up"
		fi
		sleep 0.05
	done
	kill "$tail_pid"
}

write_kubeconfig() {
	local config=$DIR/kubeconfig kubectl=$1/kubectl name=pg-upgrade-$CLUSTER
	"$HERE/node-exec" "$CLUSTER" cat /run/node/admin.conf >"$config.new"
	chmod 600 "$config.new"
	"$kubectl" --kubeconfig "$config.new" config set-cluster kubernetes --server "https://127.0.0.1:$2" >/dev/null
	"$kubectl" --kubeconfig "$config.new" config rename-context "$("$kubectl" --kubeconfig "$config.new" config current-context)" "$name" >/dev/null
	mv "$config.new" "$config"
}

check_name
require_machine
trap interrupted INT TERM
lock_cluster
if is_up; then
	archives=$(image_archives)
	add_images "$archives"
	say "Cluster $CLUSTER is up."
	exit
fi
remove_cluster
install_packages
paths=$DIR/built
mkdir -p "$paths"
build_all "$paths"
say "Starting cluster $CLUSTER"
started=$(date +%s%N)
port=$(free_port)
kube=$(<"$paths/kube")
cp "$paths/archives" "$DIR/archives"
ln -s "$kube/kubectl" "$DIR/kubectl"
start "$DIR" "$kube" "$(<"$paths/dns")" "$(<"$paths/storage")" "$(<"$paths/imagestore")" "$port"
wait_ready
write_kubeconfig "$kube" "$port"
ms=$((($(date +%s%N) - started) / 1000000))
say "Cluster $CLUSTER is up after $((ms / 1000)).$(printf %03d $((ms % 1000))) s. To use it: eval \"\$(make -s cluster-env CLUSTER=$CLUSTER)\""
