# Common parts of the recorders: throwaway namespaces, the kernel log, and tidying up.
# Sourced by every *.sh here. Needs root, iptables (legacy and nft), nft, iproute2, python3; some need scapy, tcpdump, socat.
# Nothing touches the firewall of the namespace it is started in. The one global setting that changes,
# net.netfilter.nf_log_all_netns, is put back on exit.
set -eu

RECORD_DIR=$(cd "$(dirname "$0")" && pwd)
OUT=${1:-$(cd "$RECORD_DIR/.." && pwd)/fixtures}
PY=${PYTHON:-/usr/bin/python3}
NSP=fwr$$                       # prefix of our namespaces
OUR_NS="" OUR_PIDS="" OLD_ALL_NETNS=""
TMP=$(mktemp -d)

[ "$(id -u)" = 0 ] || { echo "$0: needs root" >&2; exit 1; }
exec 9>/run/lock/fwtrace-record.lock
flock -w 120 9 || { echo "$0: another recorder is running" >&2; exit 1; }

tidy() {
    set +e
    for p in $OUR_PIDS; do kill "$p" 2>/dev/null; done
    for n in $OUR_NS; do ip netns del "$n" 2>/dev/null; done
    [ -z "$OLD_ALL_NETNS" ] || sysctl -qw net.netfilter.nf_log_all_netns="$OLD_ALL_NETNS"
    rm -rf "$TMP"
}
trap tidy EXIT
trap 'exit 130' INT TERM

# Let TRACE lines of other namespaces reach the kernel log.
log_all_netns() {
    [ -n "$OLD_ALL_NETNS" ] || OLD_ALL_NETNS=$(sysctl -n net.netfilter.nf_log_all_netns)
    sysctl -qw net.netfilter.nf_log_all_netns=1
}

# ns_add NAME: a namespace, its lo up, syslog as its packet logger. inns NAME CMD...: run in it.
ns_add() {
    ip netns add "$NSP-$1"; OUR_NS="$OUR_NS $NSP-$1"
    inns "$1" ip link set lo up
    inns "$1" sysctl -qw net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0 net.ipv6.conf.default.router_solicitations=0
    inns "$1" sysctl -qw net.netfilter.nf_log.2=nf_log_ipv4 net.netfilter.nf_log.10=nf_log_ipv6
}
ns_no6() { inns "$1" sysctl -qw net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1; }
inns() { local n=$1; shift; ip netns exec "$NSP-$n" "$@"; }

# veth NS1 IF1 MAC1 NS2 IF2 MAC2
veth() {
    inns "$1" ip link add "$2" address "$3" type veth peer name "$5" address "$6" netns "$NSP-$4"
    inns "$1" ip link set "$2" up
    inns "$4" ip link set "$5" up
}

# bg CMD...: start, remember for tidy. Last pid in BG.
bg() { "$@" & BG=$!; OUR_PIDS="$OUR_PIDS $BG"; }
bgns() { local n=$1; shift; ip netns exec "$NSP-$n" "$@" & BG=$!; OUR_PIDS="$OUR_PIDS $BG"; }
stop() { kill "$1" 2>/dev/null || true; wait "$1" 2>/dev/null || true; }

peer() { local n=$1; shift; inns "$n" "$PY" "$RECORD_DIR/peer.py" "$@"; }
bgpeer() { local n=$1; shift; bgns "$n" "$PY" "$RECORD_DIR/peer.py" "$@"; }

kmsg_mark() { MARK=$("$PY" "$RECORD_DIR/kmsg.py" mark); }
kmsg_save() { "$PY" "$RECORD_DIR/kmsg.py" since "$MARK" > "$1"; }

# kmsg_follow FILE ... kmsg_end: record live into FILE; fails if a record is missing.
kmsg_follow() { kmsg_mark; "$PY" "$RECORD_DIR/kmsg.py" follow "$MARK" > "$1" & FOLLOW=$!; OUR_PIDS="$OUR_PIDS $FOLLOW"; sleep 0.2; }
kmsg_end() {
    sleep 0.2; kill "$FOLLOW"; wait "$FOLLOW"
    ! grep -v -e ';TRACE: ' -e '^ ' "$1" || { echo "$0: a foreign line fell in between, record again" >&2; exit 1; }
}

traces() { grep -c 'TRACE: ' "$1" || true; }
versions() { echo "Recorded on Linux $(uname -r | sed 's/-.*//') ($(nproc) CPUs) with $(iptables-legacy -V | sed 's/ (.*//'), $(nft -v | sed 's/ (.*//'), by tests/record/$(basename "$0")."; }
# counter NS TABLE 'text of the rule': packets that the rule counted (legacy); of a policy with ':CHAIN'.
counter() {
    inns "$1" iptables-legacy-save -c -t "$2" | grep -F -e "$3" | sed -n '1{s/.*\[\([0-9]*\):[0-9]*\].*/\1/p}'
}
expect() { # expect WHAT WANTED GOT
    [ "$2" = "$3" ] || { echo "$0: $1: expected $2, found $3" >&2; exit 1; }
}

# line3 N: snd (10.N.1.2) -- lan0 rt wan0 -- dst (10.N.2.2), IPv4 only, the router forwards; neighbours known.
line3() {
    local N=$1 n v
    for n in snd rt dst; do ns_add $n; ns_no6 $n; done
    veth rt lan0 52:54:00:0a:01:01 snd eth0 52:54:00:0a:01:02
    veth rt wan0 52:54:00:0a:02:01 dst eth0 52:54:00:0a:02:02
    inns rt ip addr add 10.$N.1.1/24 dev lan0; inns rt ip addr add 10.$N.2.1/24 dev wan0
    inns snd ip addr add 10.$N.1.2/24 dev eth0; inns dst ip addr add 10.$N.2.2/24 dev eth0
    inns snd ip route add default via 10.$N.1.1; inns dst ip route add default via 10.$N.2.1
    inns rt sysctl -qw net.ipv4.ip_forward=1
    inns rt ip neigh add 10.$N.1.2 lladdr 52:54:00:0a:01:02 dev lan0; inns rt ip neigh add 10.$N.2.2 lladdr 52:54:00:0a:02:02 dev wan0
    inns snd ip neigh add 10.$N.1.1 lladdr 52:54:00:0a:01:01 dev eth0; inns dst ip neigh add 10.$N.2.1 lladdr 52:54:00:0a:02:01 dev eth0
}
capture() { # capture NS IF FILE FILTER
    bgns $1 tcpdump -Z root -Q in -U -s 0 -w "$3" -i $2 $4 2> "$TMP/tcpdump"
    for i in 1 2 3 4 5 6 7 8 9 10; do grep -q listening "$TMP/tcpdump" && break; sleep 0.2; done
}
