#!/bin/bash
# nft/families: every family and kind of verdict in one nft monitor trace.
. "$(dirname "$0")/lib.sh"
D=$OUT/nft; mkdir -p "$D"
line3 83
for n in snd rt dst; do inns $n sysctl -qw net.ipv6.conf.all.disable_ipv6=0 net.ipv6.conf.default.disable_ipv6=0; done
ns_add ba; ns_no6 ba; ns_add bb; ns_no6 bb
veth rt p1 52:54:00:0a:04:11 ba eth0 52:54:00:0a:04:02
veth rt p2 52:54:00:0a:04:12 bb eth0 52:54:00:0a:04:03
inns rt ip link add br0 address 52:54:00:0a:04:01 type bridge stp_state 0 forward_delay 0
inns rt ip link set p1 master br0; inns rt ip link set p2 master br0; inns rt ip link set br0 up
inns ba ip addr add 10.83.4.2/24 dev eth0; inns bb ip addr add 10.83.4.3/24 dev eth0
inns ba ip neigh add 10.83.4.3 lladdr 52:54:00:0a:04:03 dev eth0; inns bb ip neigh add 10.83.4.2 lladdr 52:54:00:0a:04:02 dev eth0
inns rt sysctl -qw net.ipv6.conf.all.forwarding=1 net.bridge.bridge-nf-call-iptables=0 net.bridge.bridge-nf-call-ip6tables=0 net.bridge.bridge-nf-call-arptables=0
for v in "rt lan0 1::1" "snd eth0 1::2" "rt wan0 2::1" "dst eth0 2::2"; do set -- $v; inns $1 ip -6 addr add fd83:$3/64 dev $2 nodad; done
inns snd ip -6 route add default via fd83:1::1; inns dst ip -6 route add default via fd83:2::1
for v in "rt lan0 1::2 01:02" "snd eth0 1::1 01:01" "rt wan0 2::2 02:02" "dst eth0 2::1 02:01"; do set -- $v; inns $1 ip -6 neigh replace fd83:$3 lladdr 52:54:00:0a:$4 dev $2; done
inns dst iptables-legacy -P INPUT DROP; inns dst ip6tables-legacy -P INPUT DROP; inns bb iptables-legacy -P INPUT DROP
inns rt nft -f - <<'R'
table netdev early {
    chain lan0_in {
        type filter hook ingress device "lan0" priority -500; policy accept;
        ether type arp return
        udp dport 7000-7099 meta nftrace set 1
        tcp dport 7024 meta nftrace set 1
        udp dport 7001 counter drop
        udp dport 7018 counter fwd to "wan0"
        udp dport 7019 jump marks
    }
    chain marks {
        ip dscp set af41 meta mark set 0x83
    }
}
table inet ing {
    chain lan0_in {
        type filter hook ingress device "lan0" priority 0; policy accept;
        udp dport 7013 counter drop comment "inet ingress"
    }
}
table bridge br {
    set blocked {
        type inet_service
        elements = { 7102 }
    }
    chain pre {
        type filter hook prerouting priority -300; policy accept;
        iifname { "p1", "p2" } meta nftrace set 1
    }
    chain through {
        type filter hook forward priority 0; policy drop;
        ip protocol udp udp dport 7101 counter accept
        udp dport @blocked counter drop
        ether type ip ip ttl 64 udp dport 7103 jump deeper
    }
    chain deeper {
        iifname "p1" oifname "p2" return
    }
}
table arp a {
    chain in {
        type filter hook input priority 0; policy accept;
        arp saddr ip 10.83.1.0/24 meta nftrace set 1
        arp saddr ip 10.83.1.66 counter drop
        arp operation request counter accept
    }
}
table ip raw4 {
    chain pre {
        type filter hook prerouting priority raw; policy accept;
        udp dport 7020 notrack
    }
}
table ip nat4 {
    chain pre {
        type nat hook prerouting priority dstnat; policy accept;
        udp dport 7010 counter dnat to 10.83.2.2:70
        udp dport { 7015, 7016 } counter redirect to :7500
    }
    chain post {
        type nat hook postrouting priority srcnat; policy accept;
        oifname "wan0" udp dport 70 counter masquerade random
        oifname "wan0" udp dport 7011 counter snat to 10.83.2.1:1000-2000
    }
}
table ip fw4 {
    map verdicts {
        type inet_service : verdict
        elements = { 7004 : jump services, 7005 : drop, 7012 : accept, 7017 : goto dead_end }
    }
    chain in {
        type filter hook input priority filter; policy drop;
        udp dport 7500 udp sport 40000 ct state new counter accept
    }
    chain forward {
        type filter hook forward priority filter; policy drop;
        udp dport 7002 jump services
        udp dport 7003 goto dead_end
        udp dport vmap @verdicts
        udp dport 7006-7007 counter accept
        udp dport 7009 counter log prefix "families: " accept
        udp dport 7014 counter accept comment "replaced during the trace"
        udp dport { 70, 7011, 7019, 7020 } counter accept
    }
    chain services {
        udp dport 7002 return
        counter accept
    }
    chain dead_end {
        ip saddr 192.0.2.0/24 accept
    }
    chain out {
        type route hook output priority mangle; policy accept;
        meta l4proto icmp meta nftrace set 1
    }
}
table inet fw {
    chain forward {
        type filter hook forward priority 10; policy accept;
        udp dport 7008 counter reject with icmpx admin-prohibited
        meta nfproto ipv6 udp dport 7023 counter drop
        tcp dport 7024 counter reject with tcp reset
    }
    chain post {
        type filter hook postrouting priority 300; policy accept;
        meta mark 0x83 counter meta mark set 0
    }
}
table ip6 fw6 {
    chain pre {
        type filter hook prerouting priority raw; policy accept;
        iifname "lan0" udp dport 7021-7023 meta nftrace set 1
    }
    chain forward {
        type filter hook forward priority filter; policy accept;
        ip6 saddr fd83:1::/64 udp dport 7021 counter accept
        udp dport 7022 counter reject with icmpv6 no-route
    }
}
R
# nft queue is not built into every kernel, the xtables target of the same name is
inns rt iptables-nft -A FORWARD -p udp --dport 7006 -j NFQUEUE --queue-num 7
inns rt iptables-nft -A FORWARD -p udp --dport 7007 -j NFQUEUE --queue-num 7 --queue-bypass
# 7008 passes ip fw4's policy drop first: let it through to inet fw
inns rt nft add rule ip fw4 forward udp dport 7008 counter accept
inns rt nft add rule ip fw4 forward tcp dport 7024 counter accept
inns rt nft -a list ruleset > "$TMP/before"
h=$(sed -n '/table ip fw4/,/^}/s/.*replaced during the trace" # handle //p' "$TMP/before")
sleep 2
capture dst eth0 "$TMP/dst.pcap" "udp and not port 5353"; C=$BG
capture bb eth0 "$TMP/bb.pcap" "udp"; B=$BG
bgpeer rt udpserve 10.83.1.1 7500 2 > "$TMP/local"
bgns rt stdbuf -oL nft monitor trace > "$D/families.trace"; M=$BG
bgns rt stdbuf -oL nft -nn monitor trace > "$D/families-nn.trace"; N=$BG
sleep 0.6
go() { inns snd "$PY" "$RECORD_DIR/forms.py" ports eth0 52:54:00:0a:01:01 52:54:00:0a:01:02 10.83.1.2 "$@"; }
go 10.83.2.2 7001 7002 7003 7004 7005 7006 7007 7008 7009 7010 7011 7012 7013
inns rt nft replace rule ip fw4 forward handle $h udp dport 7014 counter accept comment '"the replacement"'
inns rt nft insert rule ip fw4 forward meta mark 0x999 counter
sleep 0.1
go 10.83.2.2 7014
go 10.83.1.1 7015
inns rt nft insert rule ip fw4 in udp dport 7500 ip id 7016 counter drop
inns rt nft add table ip later; inns rt nft add chain ip later f '{ type filter hook forward priority 50; }'; inns rt nft add rule ip later f udp dport 7017-7020 counter
sleep 0.1
go 10.83.1.1 7016
go 10.83.2.2 7017 7018 7019 7020
for p in 7021 7022 7023; do peer snd udp fd83:2::2 $p fd83:1::2 40000 "six"; done
peer snd connect 10.83.2.2 7024 10.83.1.2 40000 > "$TMP/tcp" || true
for p in 7101 7102 7103; do peer ba udp 10.83.4.3 $p 10.83.4.2 40000 "bridged"; done
inns snd "$PY" -c 'import socket
s=socket.socket(socket.AF_PACKET,socket.SOCK_RAW); s.bind(("eth0",0)); m=bytes.fromhex("5254000a0102")
for last in (66,67): s.send(b"\xff"*6+m+b"\x08\x06"+bytes.fromhex("0001080006040001")+m+bytes([10,83,1,last])+bytes(6)+bytes([10,83,1,1]))'
sleep 0.5
stop $M; stop $N; stop $C; stop $B
inns rt nft -a list ruleset > "$D/families.rules"
cp "$TMP/before" "$D/families.before.rules"
inns rt nft -j -a list ruleset > "$D/families.rules.json"
# (tcpdump prints ports 7000 to 7009 as AFS, hence the identifications)
expect "at the sink" "7004 7007 7009 7010 7011 7012 7014 7018 7019 7020 " "$("$PY" "$RECORD_DIR/forms.py" arrived "$TMP/dst.pcap" | grep '^70..$' | tr '\n' ' ')"
expect "IPv6 at the sink" 7021 "$(tcpdump -nr "$TMP/dst.pcap" ip6 2>/dev/null | sed -n 's/.*\.\(702[0-9]\): UDP.*/\1/p' | tr '\n' ' ' | sed 's/ $//')"
expect "bridged" 7101 "$(tcpdump -nr "$TMP/bb.pcap" udp 2>/dev/null | sed -n 's/.*\.\(71[0-9]*\): UDP.*/\1/p' | tr '\n' ' ' | sed 's/ $//')"
expect "delivered" 1 "$(grep -c got "$TMP/local")"
expect "TCP" refused "$(cat "$TMP/tcp")"
grep -q "unknown rule handle" "$D/families.trace"
cat > "$D/families.about" <<A
Sender 10.83.1.2 / fd83:1::2 - lan0 router wan0 - sink 10.83.2.2 / fd83:2::2, and a bridge br0 (ports p1, p2; no br_netfilter). Tables of the families netdev (ingress), inet (ingress, forward,
postrouting), ip, ip6, bridge and arp, and one iptables-nft table. families.before.rules is nft -a list ruleset as nft monitor trace started, families.rules (and .json) as it
ended: rules were replaced and added in between. families-nn.trace is nft -nn monitor trace, the same events. One packet each, UDP from port 40000 (identification = port), traced from netdev ingress on; what reached the
sink was seen by tcpdump:
7001 dropped in netdev early. 7002 dropped by the policy of ip fw4 forward after jump and explicit return. 7003 dropped by it after goto and end of chain. 7004 forwarded (vmap jump, accept in
services). 7005 dropped (vmap drop). 7006 dropped (queue 7 by iptables-nft, nobody listens). 7007 forwarded (the same with bypass: goes on behind that chain). 7008 rejected in inet fw forward; the
ICMP error is traced too (output), its events stand before the reject's own. 7009 logged, forwarded. 7010 forwarded (dnat to port 70, masquerade random). 7011 forwarded (snat). 7012 forwarded (vmap accept). 7013 dropped
in inet ingress. 7014 forwarded; its rule was replaced just before: nft still prints the old comment. 7015 delivered (redirect to port 7500). 7016 dropped by a rule of ip fw4 in added during the trace ("unknown rule
handle"). 7017 dropped by the policy of ip fw4 forward (vmap goto, end of chain; table "later" not reached). 7018 sent straight out of wan0 by fwd (verdict stolen), seen at the sink. 7019 forwarded, mark 0x83 from netdev to postrouting; an unknown handle in table later.
7020 forwarded, untracked (no nat chain), an unknown handle too. 7021 (IPv6) forwarded, accept. 7022 (IPv6) rejected. 7023 (IPv6) dropped in inet fw. TCP to 7024: SYN rejected by reset, the client was refused.
Bridged from p1 to p2: 7101 accepted (and its ICMP port unreachable not sent, as the receiver is silent), 7102 dropped by a set, 7103 dropped by the policy after jump and return. ARP requests for
10.83.1.1: from .66 dropped, from .67 accepted. $(cut -d" " -f3 "$D/families.trace" | sort -u | wc -l) packets traced (the ICMP error of 7008 is one), $(grep -c '^trace id' "$D/families.trace") lines. $(versions)
A
