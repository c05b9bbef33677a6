#!/bin/sh
# What `make demo` shows: live the rejected packet, the fix, and the packet that arrives; without rights the recorded
# log; and that nothing of it is left when it is killed. Usage: demo_test.sh PROGRAM. Exit 77: cannot be live here.
set -eu
cd "$(dirname "$0")/.."
FWTRACE=$1
export FWTRACE
out=$(mktemp)
trap 'rm -f "$out"' EXIT

fail() {
  cat "$out"
  printf 'FAILED: %s\n' "$1"
  exit 1
}
# in_order TEXT…: lines that hold them come in this order.
in_order() {
  at=0
  for text in "$@"; do
    next=$(tail -n "+$((at + 1))" "$out" | grep -n -m 1 -F -e "$text" | cut -d : -f 1)
    [ -n "$next" ] || fail "'$text' is missing, or too early"
    at=$((at + next))
  done
}

scripts/demo --recorded >"$out" 2>&1 || fail "--recorded ended with $?"
in_order REJECTED 'filter FORWARD rule 7'

scripts/demo >"$out" 2>&1 || fail "the live demo ended with $?"
if grep -q '^demo: .*recorded log' "$out"; then
  head -n 1 "$out"
  exit 77
fi
in_order 'Failed to connect' 'REJECTED  10.36.7.11:' 'filter FORWARD rule 7   ' 'DNAT 10.32.105.30:80' \
  '1 rejected' 'iptables -I FORWARD 7' 'FORWARDED  10.36.7.11:' 'filter FORWARD rule 7   ' '1 forwarded' \
  'Hello from the virtual machine.'

# Without the rights, or without a tool, it says so and tells the story from the log.
shut=$(mktemp -d)
trap 'rm -rf "$out" "$shut"' EXIT
printf '#!/bin/sh\nexit 1\n' >"$shut/unshare"
chmod +x "$shut/unshare"
PATH=$shut:$PATH scripts/demo >"$out" 2>&1 || fail "without rights it ended with $?"
in_order 'demo: neither root nor allowed to make user namespaces, so this is the recorded log' REJECTED

# Killed in the middle, it goes no further, and all its processes end.
: >"$out"
scripts/demo >"$out" 2>&1 &
demo=$!
tries=0
until grep -q '^== 1' "$out" || [ "$tries" = 200 ]; do
  tries=$((tries + 1))
  sleep 0.05
done
inside=$(pgrep -P "$demo" || :)
[ -n "$inside" ] || fail "no process inside was found"
inside="$inside $(pgrep -P "$inside" || :)"
kill -9 "$demo"
wait "$demo" 2>/dev/null || :
tries=0
for pid in $inside; do
  while [ -d "/proc/$pid" ]; do
    tries=$((tries + 1))
    [ "$tries" -lt 100 ] || fail "process $pid lives on"
    sleep 0.05
  done
done
! grep -q 'Hello from' "$out" || fail "it was not killed in the middle"
