#!/bin/bash
# One Debian root file system with one PostgreSQL major. Usage: rootfs.sh SUITE MAJOR OUT_DIR DEB_LINE...
# Writes rootfs.tar, pgaudit.tar (files of the pgaudit package) and version (of the server's package) into OUT_DIR.
set -euo pipefail
suite=$1 major=$2 out=$3
shift 3
mkdir -p "$out/tmp"
export TMPDIR=$out/tmp SOURCE_DATE_EPOCH=1700000000 major out

# The user exists before the package asks for one, so its ids are those of the real images.
# shellcheck disable=SC2016  # expanded by the hook's own shell
essential='
  echo "postgres:x:999:999:PostgreSQL administrator:/var/lib/postgresql:/bin/bash" >> "$1/etc/passwd"
  echo "postgres:x:999:" >> "$1/etc/group"
  mkdir -p "$1/etc/postgresql-common"
  echo "create_main_cluster = false" > "$1/etc/postgresql-common/createcluster.conf"'

# The second tree is made of hard links: the same files serve both image families in one layer,
# and each family hides the tree that it does not have.
# shellcheck disable=SC2016
customize='
  set -eu
  chroot "$1" localedef -i en_US -c -f UTF-8 en_US.UTF-8
  chroot "$1" ldconfig
  bitnami=$1/opt/bitnami/postgresql
  mkdir -p "$bitnami/lib/postgresql" "$bitnami/share/postgresql"
  cp -al "$1/usr/lib/postgresql/$major" "$bitnami/lib/postgresql/"
  cp -al "$1/usr/share/postgresql/$major" "$bitnami/share/postgresql/"
  rm -rf "$1/usr/share/i18n" "$1/var/lib/postgresql/$major" "$1"/var/log/* "$1"/var/cache/*
  install -d -o 999 -g 999 -m 1777 "$1/var/lib/postgresql"
  install -d "$1/docker-entrypoint-initdb.d" "$1/docker-entrypoint-preinitdb.d"
  chroot "$1" dpkg-query -W -f "\${Version}\n" "postgresql-$major" > "$out/version"
  cd "$out/tmp"
  APT_CONFIG=$MMDEBSTRAP_APT_CONFIG apt-get -q -o APT::Sandbox::User=root download "postgresql-$major-pgaudit"
  dpkg-deb --fsys-tarfile "postgresql-$major-pgaudit"_*.deb > "$out/pgaudit.tar"'

# Without LLVM (a third of the size) the server runs with just-in-time compilation silently off.
mmdebstrap --variant=essential --format=tar \
  --include="postgresql-$major,locales,libnss-wrapper,gosu,xz-utils,zstd" \
  --aptopt='Acquire::Check-Valid-Until "false"' \
  --aptopt='APT::Install-Recommends "false"' \
  --dpkgopt='path-exclude=/usr/share/man/*' \
  --dpkgopt='path-exclude=/usr/share/doc/*' \
  --dpkgopt='path-exclude=/usr/share/doc-base/*' \
  --dpkgopt='path-exclude=/usr/share/info/*' \
  --dpkgopt='path-exclude=/usr/share/lintian/*' \
  --dpkgopt='path-exclude=/usr/share/locale/*' \
  --dpkgopt='path-exclude=/usr/lib/*/perl/*/CORE/*' \
  --dpkgopt='path-exclude=/usr/lib/*/libLLVM*' \
  --dpkgopt='path-exclude=/usr/lib/llvm-*' \
  --dpkgopt='path-exclude=/usr/lib/*/libz3.so*' \
  --dpkgopt='path-exclude=/usr/lib/postgresql/*/lib/bitcode/*' \
  --dpkgopt='path-exclude=/usr/lib/postgresql/*/lib/llvmjit*' \
  --essential-hook="$essential" --customize-hook="$customize" \
  --skip=output/dev \
  "$suite" "$out/rootfs.tar" "$@"
rm -rf "${out:?}/tmp"
