#!/bin/bash
# netlink/*: the datagrams of one netlink socket, as live tracing reads them (format: netlink.py). mixed: one forwarded
# connection attempt and more through iptables-legacy, iptables-nft and nft rules, IPv4 and IPv6.
. "$(dirname "$0")/lib.sh"
D=$OUT/netlink; mkdir -p "$D"
line3 84
for n in snd rt dst; do inns $n sysctl -qw net.ipv6.conf.all.disable_ipv6=0 net.ipv6.conf.default.disable_ipv6=0; done
inns rt sysctl -qw net.ipv6.conf.all.forwarding=1
for v in "rt lan0 1::1" "snd eth0 1::2" "rt wan0 2::1" "dst eth0 2::2"; do set -- $v; inns $1 ip -6 addr add fd84:$3/64 dev $2 nodad; done
inns snd ip -6 route add default via fd84:1::1; inns dst ip -6 route add default via fd84:2::1
for v in "rt lan0 1::2 01:02" "snd eth0 1::1 01:01" "rt wan0 2::2 02:02" "dst eth0 2::1 02:01"; do set -- $v; inns $1 ip -6 neigh replace fd84:$3 lladdr 52:54:00:0a:$4 dev $2; done
inns dst iptables-legacy -P INPUT DROP; inns dst ip6tables-legacy -P INPUT DROP
inns rt iptables-legacy-restore <<'R'
*raw
:PREROUTING ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
COMMIT
*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
-A PREROUTING -p udp -m udp --dport 8402 -j DNAT --to-destination 10.84.2.2:42
COMMIT
*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:user - [0:0]
-A FORWARD -p udp -m udp --dport 42 -j NFLOG --nflog-prefix "a user's own: "
-A FORWARD -p udp -m udp --dport 8403 -j user
-A user -p udp -j RETURN
-A user -j DROP
COMMIT
R
inns rt ip6tables-legacy-restore <<'R'
*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
-A FORWARD -p udp -m udp --dport 8406 -j DROP
COMMIT
R
inns rt iptables-nft -A FORWARD -p tcp --dport 8401 -j ACCEPT
inns rt iptables-nft -A FORWARD -p udp --dport 8404 -j MARK --set-mark 0x84
inns rt iptables-nft -A FORWARD -p udp --dport 8400 -j NFQUEUE --queue-num 84
inns rt nft -f - <<'R'
table inet fw {
    chain forward {
        type filter hook forward priority 10; policy drop;
        udp dport { 42, 8403 } jump checks
        ip6 nexthdr udp udp dport 8405 goto last
        meta mark 0x84 meta mark set 0x85 counter
        tcp dport 8401 reject with tcp reset
    }
    chain checks {
        udp dport 42 accept
        udp dport 8403 return
    }
    chain last {
        counter
    }
}
R
cat > "$TMP/arm.nft" <<'R'
table inet fwtrace-record {
    flags owner
    chain prerouting_first {
        type filter hook prerouting priority -2147483648; policy accept;
        iifname "lan0" udp dport { 8400, 8402-8406 } meta nftrace set 1 accept
        iifname "lan0" tcp dport 8401 meta nftrace set 1 accept
        iifname "lan0" ip6 nexthdr ipv6-frag meta nftrace set 1 accept
        iifname "lan0" icmp type echo-request meta nftrace set 1 accept
    }
    chain output_first {
        type filter hook output priority -2147483648; policy accept;
        meta l4proto icmp meta nftrace set 1 accept
        udp dport 8407 meta nftrace set 1 accept
    }
    chain input_last {
        type filter hook input priority 2147483647; policy accept;
        accept
    }
    chain postrouting_last {
        type filter hook postrouting priority 2147483647; policy accept;
        accept
    }
}
R
sleep 2
bgns rt "$PY" "$RECORD_DIR/netlink.py" "$D/mixed.bin" "$TMP/arm.nft" "$TMP/stop" > "$TMP/armed"; N=$BG
for i in 1 2 3 4 5 6 7 8 9 10; do grep -q armed "$TMP/armed" && break; sleep 0.2; done
web=$(peer snd connect 10.84.2.2 8401 10.84.1.2 40001)
peer snd udp 10.84.1.1 8402 10.84.1.2 40002 "port forward"
peer snd udp 10.84.2.2 8403 10.84.1.2 40003 "user chain"
peer snd udp 10.84.2.2 8404 10.84.1.2 40004 "marked twice"
peer snd udp 10.84.2.2 8400 10.84.1.2 40000 "queued to nobody"
peer snd udp fd84:2::2 8405 fd84:1::2 40005 "policy drop"
peer snd udp fd84:2::2 8406 fd84:1::2 40006 "legacy drop"
inns rt setpriv --reuid=1000 --regid=100 --clear-groups "$PY" "$RECORD_DIR/peer.py" udp 10.84.2.2 8407 10.84.2.1 40007 "from a user"
ping=$(peer snd ping 10.84.1.1 - 1 8408)
peer snd udp fd84:2::2 8409 fd84:1::2 40009 "$(head -c 2000 /dev/zero | tr '\0' x)"   # two fragments
sleep 0.3
touch "$TMP/stop"; wait $N
inns rt nft list ruleset | grep -q fwtrace-record && { echo "$0: the arming table outlived us" >&2; exit 1; }
inns rt iptables-legacy-save > "$D/mixed.legacy"; inns rt nft -a list ruleset > "$D/mixed.nft" 2>/dev/null
echo "Now run fwtrace_tests --gtest_filter='NetlinkEvents.ARecorded*' with FWTRACE_REBASE=1 and look at the difference in $D/mixed.events."
expect "web connection" refused "$web"
expect ping "answered 1 of 1" "$ping"
cat > "$D/mixed.about" <<A
One socket (NFLOG group 0 and NFTRACE; a second one owns the arming table) in a router: sender 10.84.1.2 / fd84:1::2 - lan0 router wan0 - sink 10.84.2.2 / fd84:2::2 (silent), conntrack on (legacy nat). Rules: mixed.legacy (iptables-legacy-save),
mixed.nft (nft -a list ruleset without the arming table; holds the iptables-nft rules). mixed.bin: the datagrams, format in tests/record/netlink.py; mixed.events: the events that the reader makes of them. Traced, in this order:
TCP SYN to 8401: accepted by iptables-nft, rejected (tcp reset) in nft; the client was refused. UDP 8402 to the router: DNATed by legacy nat to 10.84.2.2:42, met a user's own NFLOG rule
(group 0, one message without a trace prefix), jumped to checks, accepted, forwarded. 8403: legacy user chain returns, nft checks returns, dropped by the policy of inet fw forward. 8404: marked 0x84 by
iptables-nft, 0x85 by nft, dropped by policy. 8400: dropped, since nobody listens to queue 84 (iptables-nft). IPv6 8405: goto a chain that ends, policy drop. IPv6 8406: dropped in legacy filter. UDP to 8407 sent by the router as user 1000 group
100. Ping to the router, its reply is traced too. IPv6 8409 in two fragments (only fragments are armed; nft cannot see their ports; of the second nft's trace has no network header, and 20 bytes of it as the transport header). $(versions)
A
