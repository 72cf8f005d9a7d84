#!/bin/bash
# PID 1 of a test "pod": mounts what the kubelet would and becomes the command. Runs inside unshare --mount --pid.
# Usage: pod.sh ROOT UID:GID DIR VOLUME SCRIPTS COMMAND...
# DIR holds pgo, work, plan, passwd, run and env of the pod; a SNAP file beside them names the second volume, a LIVE file one
# that is only read.
set -euo pipefail
root=$1 user=$2 dir=$3 volume=$4 scripts=$5
shift 5
mount --make-rprivate /
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount --bind /dev "$root/dev"
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
mount --bind "$volume" "$root/vol"
if [[ -e $dir/SNAP ]]; then mount --bind "$(<"$dir/SNAP")" "$root/snap"; fi
if [[ -e $dir/LIVE ]]; then
  mount --bind "$(<"$dir/LIVE")" "$root/snap"
  mount -o remount,bind,ro "$root/snap"
fi
mount --bind "$dir/run" "$root/run/postgresql"
for name in pgo work plan; do mount --bind "$dir/$name" "$root/$name"; done
mount --bind "$scripts" "$root/scripts"
mount -o remount,bind,ro "$root/scripts"
mount --bind "$dir/passwd" "$root/etc/passwd"
if [[ -d $dir/shim ]]; then mount --bind "$dir/shim" "$root/shim"; fi
mount -o remount,bind,ro "$root"
mapfile -t environment < "$dir/env"
exec chroot --userspec="$user" --groups= "$root" /usr/bin/env -i "${environment[@]}" "$@"
