#!/usr/bin/env bash
# Builds the archive that krew installs, and a manifest for it.
#
# usage: krew/package.sh [--target TRIPLE] [--binary FILE] [--out DIR]
#   --target TRIPLE  what to build for (default: this machine)
#   --binary FILE    pack this program instead of building one
#   --out DIR        where to put the results (default: target/package)
#
# Results: the archive, SHA256SUMS, and pg-upgrade.yaml, which names this archive alone with its checksum.
# The same input gives the same archive, byte for byte.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

die() {
  echo "package.sh: $*" >&2
  exit 1
}

usage() {
  sed -n '4,7s/^# //p' "${BASH_SOURCE[0]}"
  exit "$1"
}

target='' binary='' out=''
while (($#)); do
  case $1 in
    --target | --binary | --out)
      (($# > 1)) || die "$1 needs a value"
      declare "${1#--}=$2"
      shift 2
      ;;
    -h | --help) usage 0 ;;
    *) usage 2 >&2 ;;
  esac
done

target_dir=${CARGO_TARGET_DIR:-$root/target}
out=${out:-$target_dir/package}
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' "$root/Cargo.toml" | head -n 1)
[[ $version ]] || die 'no version in Cargo.toml'
host=$(rustc -vV | sed -n 's/^host: //p')
target=${target:-$host}

case $target in
  x86_64-*) arch=amd64 ;;
  aarch64-*) arch=arm64 ;;
  *) die "no krew name for the processor of $target" ;;
esac
case $target in
  *-linux-*) os=linux ;;
  *-apple-darwin) os=darwin ;;
  *) die "no krew name for the operating system of $target" ;;
esac

if [[ ! $binary ]]; then
  echo "Builds kubectl-pg_upgrade $version for $target." >&2
  build=(cargo build --manifest-path "$root/Cargo.toml" --release --locked --bin kubectl-pg_upgrade)
  # Without --target the host's build is the one that every other release build of this checkout uses.
  if [[ $target == "$host" ]]; then
    "${build[@]}"
    binary=$target_dir/release/kubectl-pg_upgrade
  else
    "${build[@]}" --target "$target"
    binary=$target_dir/$target/release/kubectl-pg_upgrade
  fi
fi
[[ -f $binary ]] || die "no such file: $binary"

stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
files=(kubectl-pg_upgrade kubectl_complete-pg_upgrade LICENSE)
install -m 0755 "$binary" "$stage/kubectl-pg_upgrade"
install -m 0755 "$root/completions/kubectl_complete-pg_upgrade" "$stage/"
install -m 0644 "$root/LICENSE" "$stage/"
if [[ -f $root/README.md ]]; then
  install -m 0644 "$root/README.md" "$stage/"
  files+=(README.md)
fi

mkdir -p "$out"
name=kubectl-pg_upgrade_${version}_${os}_$arch.tar.gz
if tar --version 2> /dev/null | grep -q GNU; then
  epoch=${SOURCE_DATE_EPOCH:-$(git -C "$root" log -1 --format=%ct 2> /dev/null || echo 0)}
  plain=(--sort=name "--mtime=@$epoch" --owner=0 --group=0 --numeric-owner --format=ustar)
else
  plain=(--uid 0 --gid 0)
fi
tar -C "$stage" -cf - "${plain[@]}" "${files[@]}" | gzip -9n > "$out/$name.new"
mv "$out/$name.new" "$out/$name"

if command -v sha256sum > /dev/null; then sum=(sha256sum); else sum=(shasum -a 256); fi
(cd "$out" && "${sum[@]}" "$name" > SHA256SUMS)
read -r sha256 _ < "$out/SHA256SUMS"

# The head of the released manifest, and one platform: this one.
{
  sed -e '/^#/d' -e "s/^  version: .*/  version: v$version/" -e '/^  platforms:/q' "$root/krew/pg-upgrade.yaml"
  cat << EOF
    - selector:
        matchLabels:
          os: $os
          arch: $arch
      uri: https://pg-upgrade.dev/releases/v$version/$name
      sha256: "$sha256"
      bin: kubectl-pg_upgrade
EOF
} > "$out/pg-upgrade.yaml"

cat << EOF
$out/$name
$out/SHA256SUMS
$out/pg-upgrade.yaml

Install it with krew:
  kubectl krew install --manifest=$out/pg-upgrade.yaml --archive=$out/$name
or without: put kubectl-pg_upgrade and kubectl_complete-pg_upgrade from the archive on your PATH.
EOF
