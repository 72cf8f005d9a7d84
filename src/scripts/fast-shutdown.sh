# shellcheck shell=sh
# Runs in the server's container: a fast shutdown of the server that runs on the first of these directories that has one.
# The shell's own kill: images have no other.
for pgup_dir; do
  if [ -e "$pgup_dir/postmaster.pid" ]; then
    read -r pgup_pid <"$pgup_dir/postmaster.pid" && kill -INT "$pgup_pid"
    exit
  fi
done
