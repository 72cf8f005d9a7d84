# shellcheck shell=bash
# What the scripts of the test cluster share. Sourced; sets -euo pipefail.
set -euo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
CACHE=${PG_UPGRADE_TEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/kubectl-pg-upgrade}
STATE=${PG_UPGRADE_TEST_STATE:-/var/tmp/kubectl-pg-upgrade}
CLUSTER=${CLUSTER:-dev}
DIR=$STATE/$CLUSTER

# package, and a command that it brings
PACKAGES="
busybox-static busybox
conntrack conntrack
containerd containerd
containernetworking-plugins /usr/lib/cni/bridge
e2fsprogs mkfs.ext4
etcd-server etcd
gcc cc
iproute2 ip
iptables iptables
libc6-dev /usr/include/stdio.h
mmdebstrap mmdebstrap
procps pgrep
runc runc
socat socat
xfsprogs mkfs.xfs
"

say() { printf '%s\n' "$*" >&2; }

die() {
	say "$@"
	exit 1
}

elapsed() { echo "$((SECONDS - $1)) s"; }

check_name() {
	[[ $CLUSTER =~ ^[a-z0-9]([a-z0-9-]{0,18}[a-z0-9])?$ ]] ||
		die "CLUSTER=$CLUSTER: a cluster name has up to 20 lower-case letters, digits and dashes"
}

# require_machine ends with a list of what the machine lacks, and the way around it.
require_machine() {
	local lacks=()
	[ "$(uname -s)" = Linux ] || lacks+=("Linux (this is $(uname -s))")
	[ "$(id -u)" = 0 ] || lacks+=("root (the cluster has its own mount, network and process namespaces)")
	command -v apt-get >/dev/null || lacks+=("a Debian system, version 12 or newer (apt-get)")
	command -v unshare >/dev/null || lacks+=("unshare (Debian package util-linux)")
	command -v go >/dev/null || lacks+=("Go 1.26 or newer (Kubernetes is built from its Go modules)")
	[ ${#lacks[@]} = 0 ] && return
	say "The test cluster cannot run here. Missing:"
	printf '  - %s\n' "${lacks[@]}" >&2
	die "Any other cluster can be used instead, with the public images: PG_UPGRADE_TEST_CONTEXT=kind-x make test"
}

# install_packages installs the Debian packages that are missing.
install_packages() {
	local package command missing=() log
	while read -r package command; do
		[ -z "$package" ] || command -v "$command" >/dev/null || [ -f "$command" ] || missing+=("$package")
	done <<<"$PACKAGES"
	[ ${#missing[@]} = 0 ] && return
	say "Installing the missing Debian packages: ${missing[*]}"
	mkdir -p "$CACHE"
	log=$CACHE/apt.log
	with_progress "Debian packages" "$log" apt_install "${missing[@]}"
}

apt_install() {
	# etcd and containerd are wanted as programs: without this they would start as services of the machine.
	local policy=/usr/sbin/policy-rc.d
	if [ ! -e $policy ]; then
		trap 'rm -f /usr/sbin/policy-rc.d' EXIT
		printf '#!/bin/sh\n# of the kubectl-pg-upgrade test cluster, while it installs packages\nexit 101\n' >$policy
		chmod +x $policy
	fi
	apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@"
}

# with_progress TITLE LOG COMMAND…: runs it with its output in LOG, and says every 10 s that it is alive.
with_progress() {
	local title=$1 log=$2 started=$SECONDS pid ticks=0
	shift 2
	("$@") >"$log" 2>&1 </dev/null &
	pid=$!
	while kill -0 "$pid" 2>/dev/null; do
		sleep 0.2
		if ((++ticks % 50 == 0)); then
			say "  $title: $(elapsed "$started"), $(grep -c . "$log" || true) lines of output, last: $(tail -n 1 "$log" | cut -c1-80)"
		fi
	done
	if ! wait "$pid"; then
		tail -n 20 "$log" >&2
		die "$title failed after $(elapsed "$started"); the whole output: $log"
	fi
}

# key_of FOLDER STRING…: a hash of everything that the artefact is made of.
key_of() {
	(
		cd "$HERE/$1"
		find . -type f ! -name '*_test.go' -print0 | LC_ALL=C sort -z | xargs -0 sha256sum
		shift
		printf '%s\n' "$@"
	) | sha256sum | cut -c1-16
}

# artefact FOLDER TITLE STRING…: prints where the result of FOLDER/build.sh is, and builds it when it is not in the cache.
artefact() {
	local name=$1 title=$2 key result started=$SECONDS
	shift 2
	key=$(key_of "$name" "$@")
	result=$CACHE/$name-$key
	if [ ! -d "$result" ]; then
		mkdir -p "$CACHE/tmp" "$CACHE/locks" "$CACHE/logs"
		(
			flock -n 9 || {
				say "  $title: another process is building it, waiting"
				flock 9
			}
			[ -d "$result" ] && exit
			if [ -f "$HERE/$name/go.mod" ]; then
				(cd "$HERE/$name" && go version >/dev/null) || die "$title: needs Go 1.26 or newer"
			fi
			say "Building $title"
			rm -rf "$CACHE/tmp/$name-$key"
			mkdir "$CACHE/tmp/$name-$key"
			with_progress "$title" "$CACHE/logs/$name-$key.log" "$HERE/$name/build.sh" "$CACHE/tmp/$name-$key" "$@"
			mv -T "$CACHE/tmp/$name-$key" "$result"
			say "  $title: built in $(elapsed "$started")"
		) 9>"$CACHE/locks/$name-$key" || return
	fi
	printf '%s\n' "$result"
}

# started_at PID: when a process started, in clock ticks since boot; tells it from a later one with the same number.
started_at() {
	local stat fields
	stat=$(cat "/proc/$1/stat" 2>/dev/null) || return
	# The second field, in brackets, may hold spaces.
	read -ra fields <<<"${stat##*) }"
	echo "${fields[19]}"
}

# main_pid: the one process that the whole cluster hangs on, if it lives.
main_pid() {
	local pid start
	read -r pid start 2>/dev/null <"$DIR/pid" || return
	[ "$(started_at "$pid")" = "$start" ] && echo "$pid"
}

# node_pid: the first process inside the cluster's namespaces.
node_pid() {
	local pid children
	pid=$(main_pid) || return
	children=$(cat "/proc/$pid/task/$pid/children") && [ -n "$children" ] && echo "${children%% *}"
}

is_up() { main_pid >/dev/null && [ -f "$DIR/ready" ]; }

# descendants PID: all processes below it
descendants() {
	local child
	for child in $(pgrep -P "$1"); do
		echo "$child"
		descendants "$child"
	done
}

# interrupted ends what this script has started, builds in the background too; Ctrl-C alone does not reach those.
interrupted() {
	local pid
	trap - INT TERM
	for pid in $(descendants $$); do
		case $(cat "/proc/$pid/comm" 2>/dev/null) in
		# It ignores other signals, and takes all in its namespaces with it.
		unshare) kill -KILL "$pid" || true ;;
		*) kill "$pid" 2>/dev/null || true ;;
		esac
	done
	exit 130
}

# lock_cluster: up and down of the same cluster one after another.
lock_cluster() {
	mkdir -p "$STATE"
	while :; do
		exec 8>"$STATE/$CLUSTER.lock"
		flock -n 8 || {
			say "Another cluster-up or cluster-down of $CLUSTER is at work, waiting"
			flock 8
		}
		# cluster-down removes the file: a lock on a removed one keeps nobody out
		[ "/proc/$$/fd/8" -ef "$STATE/$CLUSTER.lock" ] && break
	done
}

# end_cluster ends the cluster by its one process, and waits until nothing of it is left but its folder.
end_cluster() {
	local pid node deadline=$((SECONDS + 60))
	if pid=$(main_pid); then
		node=$(node_pid) || node=$pid
		kill -KILL "$pid"
		while [ -d "/proc/$node" ]; do
			((SECONDS < deadline)) || die "process $node of cluster $CLUSTER does not end"
			sleep 0.05
		done
	fi
	while [ -f "$DIR/disk.img" ] && [ -n "$(losetup --noheadings --associated "$DIR/disk.img")" ]; do
		((SECONDS < deadline)) || die "the disk of cluster $CLUSTER stays attached: $(losetup --associated "$DIR/disk.img")"
		sleep 0.05
	done
	remove_cgroups
}

remove_cluster() {
	end_cluster
	rm -rf --one-file-system "$DIR"
}

remove_cgroups() {
	local group
	for group in /sys/fs/cgroup/"pgup-$CLUSTER" /sys/fs/cgroup/*/"pgup-$CLUSTER"; do
		[ -d "$group" ] || continue
		# A group stays busy for a moment after its last process.
		for _ in $(seq 50); do
			find "$group" -depth -type d -exec rmdir {} + 2>/dev/null && break
			sleep 0.1
		done
	done
}
