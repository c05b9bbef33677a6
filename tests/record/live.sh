#!/bin/sh
# Recordings of live runs (fwtrace -w) in tests/fixtures/live: the story of the port forward with each rule system.
# client 10.36.7.11, fd36::11 - em1 router virbr1 (a bridge) - vm 192.168.101.10, fd19::10
. "$(dirname "$0")/lib.sh"
FWTRACE=${FWTRACE:-$(cd "$RECORD_DIR/../.." && pwd)/build/dev/fwtrace}
mkdir -p "$OUT/live"

ns_add client; ns_add router; ns_add vm
ip -n "$NSP-client" link add eth0 address 02:36:00:00:00:11 type veth peer name em1 address 02:36:00:00:00:01 netns "$NSP-router"
ip -n "$NSP-vm" link add eth0 address 02:19:00:00:00:10 type veth peer name vnet0 address 02:19:00:00:00:20 netns "$NSP-router"
inns router ip link add virbr1 address 02:19:00:00:00:01 type bridge
inns router ip link set vnet0 master virbr1
for link in em1 vnet0 virbr1; do inns router ip link set $link up; done
inns client ip link set eth0 up; inns vm ip link set eth0 up
inns client ip addr add 10.36.7.11/8 dev eth0; inns router ip addr add 10.32.105.30/8 dev em1
inns router ip addr add 192.168.101.1/24 dev virbr1; inns vm ip addr add 192.168.101.10/24 dev eth0
inns client ip addr add fd36::11/64 dev eth0 nodad; inns router ip addr add fd36::1/64 dev em1 nodad
inns router ip addr add fd19::1/64 dev virbr1 nodad; inns vm ip addr add fd19::10/64 dev eth0 nodad
inns client ip route add default via 10.32.105.30; inns client ip -6 route add default via fd36::1
inns vm ip route add default via 192.168.101.1; inns vm ip -6 route add default via fd19::1
inns router sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1

# run NAME RULES-COMMAND TRAFFIC FILTER...: one recording.
run() {
    name=$1 rules=$2 traffic=$3; shift 3
    printf '%s\n' "nft flush ruleset" "for t in raw mangle nat filter; do iptables-legacy -t \$t -F; iptables-legacy -t \$t -X; done" "$rules" >"$TMP/rules"
    inns router sh "$TMP/rules"
    rm -f "$TMP/err"; : >"$TMP/err"
    bgns router timeout 20 "$FWTRACE" "$@" --for 2500ms -c 0 -w "$OUT/live/$name.trace" >/dev/null 2>"$TMP/err"
    tracer=$BG
    for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
        grep -q "^fwtrace: tracing" "$TMP/err" && break; sleep 0.1
    done
    sh -c "$traffic" >/dev/null 2>&1 || true
    wait $tracer || cat "$TMP/err"
    "$FWTRACE" explain "$OUT/live/$name.trace" -q || true
}
client="ip netns exec $NSP-client" router="ip netns exec $NSP-router" vm="ip netns exec $NSP-vm"
udp() { echo "$1 $PY -c 'import socket as s; k=s.socket(s.AF_INET6 if \":\" in \"$2\" else s.AF_INET, s.SOCK_DGRAM); k.bind((\"\", 40000)); k.sendto(b\"12345\", (\"$2\", $3))'"; }
tcp() { echo "timeout 1 $1 $PY -c 'import socket as s; k=s.socket(s.AF_INET6 if \":\" in \"$2\" else s.AF_INET); k.bind((\"\", 40001)); k.connect((\"$2\", $3)); k.close()'"; }

bgns vm timeout 60 "$PY" -c 'import socket as s
k=s.socket(s.AF_INET6); k.setsockopt(s.SOL_SOCKET, s.SO_REUSEADDR, 1); k.bind(("::", 8080)); k.listen()
while True: k.accept()[0].close()' >/dev/null 2>&1
sleep 0.3

LEGACY='iptables-legacy-restore <<R
*raw
:PREROUTING ACCEPT
:OUTPUT ACCEPT
COMMIT
*mangle
:PREROUTING ACCEPT
:PRE_public - [0:0]
:PRE_public_allow - [0:0]
-A PREROUTING -j PRE_public
-A PREROUTING -p udp -j MARK --set-mark 7
-A PRE_public -j PRE_public_allow
COMMIT
*nat
:PREROUTING ACCEPT
:POSTROUTING ACCEPT
-A PREROUTING -d 10.32.105.30/32 -p tcp -m tcp --dport 80 -m comment --comment "web of the vm" -j DNAT --to-destination 192.168.101.10:8080
COMMIT
*filter
:INPUT ACCEPT
:FORWARD ACCEPT
-A FORWARD -d 192.168.101.0/24 -o virbr1 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -s 192.168.101.0/24 -i virbr1 -j ACCEPT
-A FORWARD -o virbr1 -j REJECT --reject-with icmp-port-unreachable
COMMIT
R
'
run legacy-rejected "$LEGACY" "$(tcp "$client" 10.32.105.30 80)" -p tcp --dport 80
run legacy-accepted "$LEGACY iptables-legacy -I FORWARD 3 -d 192.168.101.10 -p tcp --dport 8080 -j ACCEPT" \
    "$(tcp "$client" 10.32.105.30 80)" -p tcp --dport 80
run legacy-lost "$LEGACY ip route add blackhole 77.0.0.0/8" "$(udp "$client" 77.1.1.1 53)" -p udp --one-way
run compat "iptables-nft -A INPUT -p udp --dport 9000 -m comment --comment 'no more of these' -j DROP; \
    iptables-nft -t mangle -A PREROUTING -p udp -j MARK --set-mark 0x2a; iptables-nft -N checks; \
    iptables-nft -A INPUT -p udp -j checks; iptables-nft -A checks -m length --length 0:100 -j RETURN" \
    "$(udp "$client" 10.32.105.30 9000); $(udp "$client" 10.32.105.30 9001)" -p udp
run nft6 "nft 'table inet fw {
    set closed { type inet_service; elements = { 22, 9000 } }
    chain pre { type filter hook prerouting priority mangle; meta mark set 5 comment "seen"; }
    chain services { udp dport @closed counter reject; return; }
    chain onwards { type filter hook forward priority 0; policy drop; ct state established,related accept; iifname em1 jump services; ip6 daddr fd19::10 udp dport 9001 accept; }
  }'" "$(udp "$client" fd19::10 9000); $(udp "$client" fd19::10 9001); $(udp "$client" fd19::10 9002)" -p udp -6
run mixed "$LEGACY iptables-nft -A FORWARD -p udp --dport 9000 -j ACCEPT; \
    nft 'table ip filter2 { chain f { type filter hook forward priority 10; udp dport 9000 drop; }; }'" \
    "$(udp "$client" 192.168.101.10 9000); $(udp "$router" 127.0.0.1 9001)" -p udp
# Somebody else listens to group 0: the kernel log tells of iptables-legacy.
log_all_netns
bgns router "$PY" -c 'import socket,struct,time
s=socket.socket(16,3,12); s.bind((0,0))
s.send(struct.pack("=IHHII",28,(4<<8)|1,5,1,0)+bytes(4)+struct.pack("=HHB3x",5,1,1)); time.sleep(6)' >/dev/null 2>&1
sleep 0.3
run kernel-log "$LEGACY" "$(tcp "$client" 10.32.105.30 80)" -p tcp --dport 80
