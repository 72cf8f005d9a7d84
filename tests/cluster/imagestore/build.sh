#!/bin/bash
# Makes a containerd root folder with all images unpacked: build.sh OUT ARCHIVE… (docker-archives).
# localhost/pause:1 and localhost/busybox:1 are made here.
set -euo pipefail
here=$(dirname "$(realpath "$0")")

# archive REFERENCE ROOT_FOLDER CONFIG_JSON: prints the path of a docker-archive of one layer
archive() {
	local name=${1//[^a-z0-9]/-} sum
	local work=$scratch/$name
	mkdir "$work"
	tar --sort=name --owner=0 --group=0 --numeric-owner --mtime=@0 -C "$2" -cf "$work/layer.tar" .
	sum=$(sha256sum <"$work/layer.tar")
	printf '{"architecture":"amd64","os":"linux","config":%s,"rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' \
		"$3" "${sum%% *}" >"$work/config.json"
	printf '[{"Config":"config.json","RepoTags":["%s"],"Layers":["layer.tar"]}]' "$1" >"$work/manifest.json"
	tar -C "$work" -cf "$scratch/$name.tar" manifest.json config.json layer.tar
	echo "$scratch/$name.tar"
}

own_archives() {
	local name
	mkdir -p "$scratch"/pause "$scratch"/busybox/{bin,etc,tmp,data}
	cc -static -Os -s -o "$scratch/pause/pause" "$here/pause.c"
	archive localhost/pause:1 "$scratch/pause" '{"Entrypoint":["/pause"],"User":"65535:65535"}'
	cp "$(command -v busybox)" "$scratch/busybox/bin/busybox"
	for name in $(busybox --list); do
		[ "$name" = busybox ] || ln -s busybox "$scratch/busybox/bin/$name"
	done
	echo 'root:x:0:0:root:/:/bin/sh' >"$scratch/busybox/etc/passwd"
	chmod 1777 "$scratch/busybox/tmp"
	archive localhost/busybox:1 "$scratch/busybox" '{"Env":["PATH=/bin"],"Cmd":["sh"]}'
}

# Runs in namespaces of its own, so that containerd's mounts and processes end with it.
import() {
	local root=$1 archive
	shift
	mount -t tmpfs tmpfs /run
	cat >/run/containerd.toml <<-EOF
		version = 2
		root = "$root"
		state = "/run/containerd"
		disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt"]
	EOF
	containerd --config /run/containerd.toml &
	until ctr version >/dev/null 2>&1; do sleep 0.1; done
	for archive; do
		echo "import $archive"
		ctr -n k8s.io images import "$archive"
	done
	kill %1
	wait %1 || true
}

if [ "$1" = import ]; then
	shift
	import "$@"
	exit
fi
out=$1
shift
scratch=$out/scratch
mkdir "$out/root" "$scratch"
mapfile -t own < <(own_archives)
[ ${#own[@]} = 2 ] || exit 1
unshare --mount --pid --ipc --net --fork --kill-child --mount-proc "$here/build.sh" import "$out/root" "${own[@]}" "$@"
rm -r "$scratch"
printf '%s\n' "$@" >"$out/archives"
