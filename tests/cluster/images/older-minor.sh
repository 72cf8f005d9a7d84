#!/bin/bash
# The root file system of a base with an older minor release of its server. Debian keeps the newest one only; the older ones on
# Maven Central have the server's own programs and the extensions, and the clients stay those of the base.
# Usage: older-minor.sh ROOTFS_TAR MAJOR MINOR OUT_DIR. Writes rootfs.tar, pgaudit.tar and version into OUT_DIR.
set -euo pipefail
below=$1 major=$2 minor=$3 out=$4
work=$out/tmp
mkdir -p "$work/root" "$work/server"

"$(dirname "$0")/server-archive.sh" "$minor.0" "$work/server"

cd "$work/root"
tar --numeric-owner -xf "$below"
rm -rf opt/bitnami
tree=usr/lib/postgresql/$major share=usr/share/postgresql/$major
rm -rf "${tree:?}/lib" "$share" "$tree/bin/pg_config"
# Its programs look for their libraries and extensions beside themselves.
mkdir "$tree/lib"
mv "$work"/server/lib/{lib*.so.*,postgresql} "$tree/lib/"
tar -xOf "$(dirname "$below")/pgaudit.tar" "./$tree/lib/pgaudit.so" > "$tree/lib/postgresql/pgaudit.so"
mv "$work/server/share/postgresql" "$share"
install -m 755 "$work"/server/bin/* "$tree/bin/"
chown -R 0:0 "$tree" "$share"
# And for the rest, from either image family's place.
mkdir "$tree/share"
ln -s "../../../../share/postgresql/$major" "$tree/share/postgresql"
# As Debian's own are built; initdb takes the first line of the setting, which stays a comment.
echo "unix_socket_directories = '/var/run/postgresql'" >> "$share/postgresql.conf.sample"
mkdir -p opt/bitnami/postgresql/{lib,share}/postgresql
cp -al "$tree" opt/bitnami/postgresql/lib/postgresql/
cp -al "$share" opt/bitnami/postgresql/share/postgresql/
"$tree/bin/postgres" --version | grep -F " $minor" >&2

echo "$minor-maven" > "$out/version"
cp "$(dirname "$below")/pgaudit.tar" "$out/"
tar --sort=name --mtime=@1700000000 --numeric-owner -cf "$out/rootfs.tar" .
cd /
rm -rf "${work:?}"
