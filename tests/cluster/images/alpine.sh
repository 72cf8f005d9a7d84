#!/bin/bash
# A root file system as of Alpine: musl, busybox, and PostgreSQL built from Debian's source against musl.
# Usage: alpine.sh SUITE MAJOR OUT_DIR MIRROR. Writes rootfs.tar and version (of the server's package) into OUT_DIR.
set -euo pipefail
suite=$1 major=$2 out=$(realpath -m "$3") mirror=$4
work=$out/tmp root=$out/tmp/root
mkdir -p "$work"/apt/lists/partial "$work/src" "$root"

# The packages of the suite, whatever the machine's own sources are.
printf 'deb-src %s %s main\ndeb %s %s main\n' "$mirror" "$suite" "$mirror" "$suite" > "$work/apt/sources.list"
apt() {
  apt-get -q -o "Dir::Etc::sourcelist=$work/apt/sources.list" -o Dir::Etc::sourceparts=/dev/null \
    -o "Dir::State::lists=$work/apt/lists" -o Acquire::Check-Valid-Until=false -o APT::Sandbox::User=root "$@"
}
cd "$work/src"
apt update
apt source --download-only "postgresql-$major"
apt download busybox-static bash-static gosu
for package in *.deb; do dpkg-deb -x "$package" "$work/packages"; done
sed -n 's/^Version: //p' "postgresql-$major"_*.dsc > "$out/version"

tar -xf "postgresql-$major"_*.orig.tar.*
cd "postgresql-$major".*/
# musl-gcc knows none of the kernel's headers.
mkdir "$work/kernel"
ln -s /usr/include/linux /usr/include/asm-generic "/usr/include/$(uname -m)-linux-gnu/asm" "$work/kernel/"
./configure -q CC=musl-gcc CFLAGS="-O1 -idirafter $work/kernel" --prefix=/usr/local --without-readline --without-zlib --without-icu
# PostgreSQL's makefiles make their generated headers only where no other make is above them.
unset MAKELEVEL MAKEFLAGS MFLAGS
make -s -j"$(nproc)"
make -s install DESTDIR="$root"
for module in hstore pg_trgm citext pg_stat_statements postgres_fdw pageinspect; do make -s -C "contrib/$module" install DESTDIR="$root"; done
rm -rf "${root:?}/usr/local/include" "$root"/usr/local/lib/*.a

cd "$root"
mkdir -p bin sbin usr/bin usr/sbin etc dev proc sys tmp run root lib docker-entrypoint-initdb.d
cp "$work/packages/bin/busybox" bin/
chroot . /bin/busybox --install -s
ln -sf ../usr/local/bin/bash bin/bash
install -m 755 "$work/packages/bin/bash-static" usr/local/bin/bash
install -m 755 "$work/packages/usr/sbin/gosu" usr/local/bin/
install -m 755 /lib/ld-musl-*.so.1 lib/
ln -s "$(cd lib && echo ld-musl-*.so.1)" "lib/libc.musl-$(uname -m).so.1"
# Alpine's own are scripts, too.
printf '#!/bin/sh\nexec /lib/ld-musl-%s.so.1 --list "$@"\n' "$(uname -m)" > usr/bin/ldd
# shellcheck disable=SC2016  # for the script's own shell
printf '#!/bin/sh\ngrep -E "^$2:|^[^:]*:[^:]*:$2:" "/etc/$1"\n' > usr/bin/getent
chmod 755 usr/bin/ldd usr/bin/getent
printf 'root:x:0:0:root:/root:/bin/sh\npostgres:x:70:70:PostgreSQL user:/var/lib/postgresql:/bin/sh\n' > etc/passwd
printf 'root:x:0:\npostgres:x:70:\n' > etc/group
printf 'NAME="Alpine Linux"\nID=alpine\nVERSION_ID=3.22.0\nPRETTY_NAME="Alpine Linux v3.22"\n' > etc/os-release
echo 3.22.0 > etc/alpine-release
ln -s ../run var/run 2> /dev/null || { mkdir var && ln -s ../run var/run; }
chmod 1777 tmp
install -d -o 70 -g 70 -m 1777 var/lib/postgresql var/lib/postgresql/data
install -d -o 70 -g 70 -m 3777 run/postgresql
sed -i "s/^#listen_addresses = .*/listen_addresses = '*'/" usr/local/share/postgresql/postgresql.conf.sample
tar --sort=name --mtime=@0 --numeric-owner -cf "$out/rootfs.tar" .
rm -rf "${work:?}"
