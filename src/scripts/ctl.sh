#!/bin/sh
# shellcheck shell=dash
# Hands one command to the worker of this pod and waits until it is taken: ctl.sh VERB [ARG...]
# Exit 0 accepted, 1 refused, 2 no answer. Prints the worker's answer, one line of JSON.
set -eu
BOX=${PGUP_BOX:-/work}
ctl=$BOX/ctl

# answer REASON: in the worker's place.
answer() {
  printf '{"at":%s000,"event":"refused","reason":"%s","detail":"%s"}\n' "$(date +%s)" "$1" "no answer from the worker"
  exit 2
}

case ${1:-} in
  arm | disarm | go-back | finish | ping) ;;
  *)
    answer usage
    ;;
esac
read -r uptime _ </proc/uptime || uptime=0
id=$uptime.$$
tries=$((${PGUP_CTL_TIMEOUT:-120} * 50))
# A container that has just started has not made the directory yet.
while [ ! -d "$ctl" ]; do
  tries=$((tries - 1))
  [ "$tries" -gt 0 ] || answer no_worker
  sleep 0.02
done
echo "$*" >"$ctl/tmp.$id"
mv "$ctl/tmp.$id" "$ctl/req.$id"
while [ ! -s "$ctl/ack.$id" ]; do
  tries=$((tries - 1))
  if [ "$tries" -le 0 ]; then
    # What the worker has not taken yet is withdrawn, what it is still busy with is taken back.
    : >"$ctl/gone.$id"
    if mv "$ctl/req.$id" "$ctl/tmp.$id" 2>/dev/null; then rm -f "$ctl/tmp.$id"; fi
    answer no_answer
  fi
  sleep 0.02
done
read -r code answer <"$ctl/ack.$id"
rm -f "$ctl/ack.$id"
printf '%s\n' "$answer"
exit "$code"
