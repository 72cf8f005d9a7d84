#!/bin/bash
# Installs what building, linting and testing need and this machine lacks, after saying so. What the test cluster needs
# besides (etcd, containerd, ...) is installed by `make cluster-up`.
set -euo pipefail

# package, and a command that it brings
packages="
ca-certificates /etc/ssl/certs/ca-certificates.crt
bsdextrautils column
busybox-static busybox
e2fsprogs mkfs.ext4
gcc cc
git git
jq jq
libc6-dev /usr/include/stdio.h
make make
procps pgrep
shellcheck shellcheck
util-linux unshare
xfsprogs mkfs.xfs
xz-utils xz
"

say() { printf '%s\n' "$*" >&2; }

missing=()
while read -r package command; do
  [[ -z $package ]] || command -v "$command" > /dev/null || [[ -f $command ]] || missing+=("$package")
done <<< "$packages"

# rustup reads rust-toolchain.toml and fetches the very compiler; a distribution's own is too old.
if ! command -v cargo > /dev/null && ! command -v rustup > /dev/null; then
  if command -v apt-cache > /dev/null && apt-cache show rustup > /dev/null 2>&1; then
    missing+=(rustup)
  else
    say 'Rust is missing, and this system has no package rustup: install it as https://rustup.rs says.'
    exit 1
  fi
fi

if ((${#missing[@]})); then
  install="apt-get install -y --no-install-recommends ${missing[*]}"
  if ! command -v apt-get > /dev/null; then
    say 'This is no Debian system. Install what brings these Debian packages here:'
    say "  ${missing[*]}"
    exit 1
  fi
  if ((EUID != 0)); then
    say 'Some packages are missing, and installing them needs root:'
    say "  sudo $install"
    exit 1
  fi
  say "Installing the missing Debian packages: ${missing[*]}"
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive $install
fi

if ! cargo --version; then
  say 'cargo does not run. With rustup: rustup toolchain install'
  exit 1
fi
cargo fmt --version
cargo clippy --version

# Needed only for the project's own test cluster.
if [[ ! ${PG_UPGRADE_TEST_CONTEXT:-} ]] && ! go version; then
  say 'Go 1.26 or newer is missing: the test cluster is built from Go modules (https://go.dev/dl).'
  say 'Another cluster does instead: PG_UPGRADE_TEST_CONTEXT=kind-x make test'
  exit 1
fi
