#!/bin/bash
# Runs csi-sanity and the Go tests against the storage driver, in namespaces of their own.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

# sanity TITLE DRIVER_FLAGS SANITY_FLAG…
sanity() {
	local title=$1 flags=$2 driver
	shift 2
	say "csi-sanity, $title"
	# shellcheck disable=SC2086 # the flags are words
	csi-loopdisk --store "$work/disk/${title// /-}" --endpoint "$work/csi.sock" --node-id node-1 $flags 2>"$work/driver.log" &
	driver=$!
	csi-sanity --csi.endpoint "unix://$work/csi.sock" --csi.mountdir "$work/mount" --csi.stagingdir "$work/staging" \
		--csi.testvolumesize $((16 << 20)) --ginkgo.no-color "$@" >"$work/sanity.log" 2>&1 || {
		cat "$work/driver.log" "$work/sanity.log" >&2
		die "csi-sanity, $title: failed"
	}
	kill $driver
	wait $driver || true
	grep -E '^(Ran|SUCCESS)' "$work/sanity.log" >&2
}

inside() {
	local work=$1
	export PATH=$2:$3:$PATH
	mount -t tmpfs tmpfs "$work"
	mkdir "$work/disk"
	truncate -s 8G "$work/disk.img"
	mkfs.xfs -q -m reflink=1 "$work/disk.img"
	mount -o loop "$work/disk.img" "$work/disk"
	printf 'readyDelay: 1s\n' >"$work/delay.yaml"
	sanity "with snapshots" ""
	sanity "with a delay before a snapshot is ready" "" --csi.testsnapshotparameters "$work/delay.yaml"
	sanity "without snapshots" --no-snapshots
	say "Go tests"
	mkdir "$work/disk/go"
	cd "$HERE/storage"
	LOOPDISK_TEST_STORE=$work/disk/go TMPDIR=$work go test -count=1 ./... >&2
}

if [ "${1:-}" = inside ]; then
	shift
	inside "$@"
	exit
fi
require_machine
trap interrupted INT TERM
install_packages
storage=$(artefact storage "the storage driver and snapshot controllers")
sanity=$(artefact sanity "csi-sanity")
work=$(mktemp -d)
trap 'rmdir "$work"' EXIT
unshare --mount --pid --fork --kill-child --mount-proc "$0" inside "$work" "$storage" "$sanity"
