#!/bin/bash
# kernel/forms-v4, kernel/forms-v6: every form of line that nf_log_syslog writes. See the .about files that it writes.
. "$(dirname "$0")/lib.sh"
D=$OUT/kernel; mkdir -p "$D"
log_all_netns
for n in snd rt dst ba bb; do ns_add $n; done
veth rt lan0 52:54:00:77:01:01 snd eth0 52:54:00:77:01:02
veth rt wan0 52:54:00:77:02:01 dst eth0 52:54:00:77:02:02
veth rt p1 52:54:00:77:03:11 ba eth0 52:54:00:77:03:02
veth rt p2 52:54:00:77:03:12 bb eth0 52:54:00:77:03:03
inns rt ip link add br0 address 52:54:00:77:03:01 type bridge stp_state 0 forward_delay 0
inns rt ip link set p1 master br0; inns rt ip link set p2 master br0; inns rt ip link set br0 up
for v in "rt lan0 10.77.1.1/24 fd77:1::1/64" "snd eth0 10.77.1.2/24 fd77:1::2/64" "rt wan0 10.77.2.1/24 fd77:2::1/64" "dst eth0 10.77.2.2/24 fd77:2::2/64" \
         "rt br0 10.77.3.1/24 fd77:3::1/64" "ba eth0 10.77.3.2/24 fd77:3::2/64" "bb eth0 10.77.3.3/24 fd77:3::3/64"; do
    set -- $v
    inns $1 ip addr add $3 dev $2; inns $1 ip -6 addr add $4 dev $2 nodad
done
inns rt ip link set wan0 mtu 1400
inns rt sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0 \
    net.ipv4.conf.all.send_redirects=1 net.ipv4.conf.lan0.send_redirects=1 net.ipv4.icmp_ratelimit=0 net.ipv6.icmp.ratelimit=0 \
    net.bridge.bridge-nf-call-iptables=1 net.bridge.bridge-nf-call-ip6tables=1 net.bridge.bridge-nf-filter-vlan-tagged=1
# neighbours known, so that no lookup falls in between
inns rt ip neigh add 10.77.1.2 lladdr 52:54:00:77:01:02 dev lan0
inns rt ip neigh add 10.77.1.9 lladdr 52:54:00:77:01:09 dev lan0
inns rt ip neigh add 10.77.2.2 lladdr 52:54:00:77:02:02 dev wan0
inns rt ip -6 neigh add fd77:1::2 lladdr 52:54:00:77:01:02 dev lan0
inns rt ip -6 neigh add fd77:2::2 lladdr 52:54:00:77:02:02 dev wan0
for n in ba bb; do
    for v in "10.77.3.1 01" "10.77.3.2 02" "10.77.3.3 03" "fd77:3::1 01" "fd77:3::2 02" "fd77:3::3 03"; do
        set -- $v; inns $n ip neigh replace $1 lladdr 52:54:00:77:03:$2 dev eth0
    done
done
inns rt ip neigh add 10.77.3.2 lladdr 52:54:00:77:03:02 dev br0; inns rt ip -6 neigh add fd77:3::2 lladdr 52:54:00:77:03:02 dev br0
# the ends stay silent
for n in snd dst; do inns $n iptables-legacy -P INPUT DROP; inns $n ip6tables-legacy -P INPUT DROP; inns $n ip6tables-legacy -P OUTPUT DROP; done
sleep 2

ruleset() { # ruleset ICMP TTL-MATCH
cat <<R
*raw
:PREROUTING ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
-A PREROUTING ! -i lo -j TRACE
-A PREROUTING -m $2-eq 77 -j MARK --set-xmark 0x2a/0xffffffff
-A OUTPUT -o lan0 -p $1 -j TRACE
-A OUTPUT -p udp -m udp --dport 5555 -j TRACE
-A OUTPUT -o lo -j TRACE
COMMIT
*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
-A INPUT -i lo -j ACCEPT
-A FORWARD -i br0 -o br0 -j ACCEPT
-A FORWARD -m $2-eq 98 -j DROP
COMMIT
R
}

run() { # run 4|6 NET ADDRESS-OF-LO
    local v=$1 t=iptables-legacy ic=icmp ttl="ttl --ttl" a="10.77." lo=127.0.0.1 et=ip
    [ $v = 4 ] || { t=ip6tables-legacy; ic=ipv6-icmp ttl="hl --hl"; a="fd77:"; lo=::1; et=ip6; }
    addr() { if [ $v = 4 ]; then echo "10.77.$1.$2"; else echo "fd77:$1::$2"; fi; }
    ruleset $ic "$ttl" | inns rt $t-restore
    capture rt lan0 "$D/forms-v$v.pcap" "$et and ether src 52:54:00:77:01:02"; C1=$BG
    capture dst eth0 "$TMP/dst$v.pcap" "$et"; C2=$BG
    kmsg_follow "$D/forms-v$v.kmsg"
    inns snd "$PY" "$RECORD_DIR/forms.py" send$v eth0 52:54:00:77:01:01 52:54:00:77:01:02 "$TMP/table$v"
    # local output, with and without a mark, by user 1000 group 100
    inns rt setpriv --reuid=1000 --regid=100 --clear-groups "$PY" "$RECORD_DIR/peer.py" udp $(addr 2 2) 5555 $(addr 2 1) 40801 "from a user"
    inns rt "$PY" -c 'import socket,sys
s=socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET,socket.SOCK_DGRAM); s.setsockopt(socket.SOL_SOCKET,36,0x1f00); s.bind((sys.argv[2],40802)); s.sendto(b"marked socket",(sys.argv[1],5555))' $(addr 2 2) $(addr 2 1)
    peer rt ping $lo - 1 4712 > "$TMP/lo$v"
    inns rt "$PY" "$RECORD_DIR/forms.py" tun$v tun0
    [ $v = 4 ] || inns rt "$PY" "$RECORD_DIR/forms.py" sit6 sit9
    peer ba udp $(addr 3 3) 73 $(addr 3 2) 40803 "bridged"
    peer ba udp $(addr 3 1) 74 $(addr 3 2) 40804 "to the bridge"
    peer ba udp $(addr 2 2) 75 $(addr 3 2) 40805 "bridge, then routed" 2>/dev/null || { inns ba ip route add default via $(addr 3 1); peer ba udp $(addr 2 2) 75 $(addr 3 2) 40805 "bridge, then routed"; }
    [ $v = 6 ] || inns ba "$PY" "$RECORD_DIR/forms.py" vlan eth0 52:54:00:77:03:03 52:54:00:77:03:02 10.77.3.2 10.77.3.3
    kmsg_end "$D/forms-v$v.kmsg"
    stop $C1; stop $C2
    inns rt $t-save -c > "$D/forms.rules$v"
    "$PY" "$RECORD_DIR/forms.py" arrived "$TMP/dst$v.pcap" > "$TMP/arrived$v"
}
about() { # about V NUMBER-FIELD
    local v=$1
    echo "Router with lan0 (.1.1), wan0 (.2.1, MTU 1400) and the bridge br0 (.3.1; ports p1, p2; br_netfilter on); networks $3; no conntrack, so fragments stay fragments."
    echo "The packets below were sent into lan0, 12 ms apart, each with its number as $2 (fragments of one datagram share it); forms-v$v.pcap holds them as"
    echo "they came in. After the number: whether the packet came out of wan0 and reached the sink (seen there by tcpdump), then what it is. \"no\" and nothing said: delivered to the router."
    echo
    while IFS=$'\t' read -r n what; do
        if grep -qx "$n" "$TMP/arrived$v"; then echo "$n yes $what"; else echo "$n no  $what"; fi
    done < "$TMP/table$v"
    echo
    echo "Then, not in the capture, each one packet: UDP to the sink's port 5555 sent by the router itself as user 1000 group 100 (sport 40801), the same by root with"
    echo "socket mark 0x1f00 (40802); an echo request to itself and its reply over lo (id 4712: $(cat "$TMP/lo$v")); UDP out of tun0 forwarded to the sink (40900, number 900);"
    [ $v = 4 ] || echo "UDP out of sit9 (a tap interface whose link type was set to SIT, as this kernel has no sit: the bytes in MAC= are stray memory, those behind TUNNEL= are of its Ethernet header; 40901);"
    echo "UDP bridged from p1 to p2 (40803; its port unreachable came back, bridged and traced too), from p1 to the router's br0 address (40804: closed port, delivered; the error it sends is not traced), from p1 through br0 and routed to the sink (40805, traced as bridged frame and as routed packet)."
    [ $v = 6 ] || echo "Last a VLAN-tagged (42) UDP frame bridged from p1 to p2 (40902; number 902): no trace of the tag in its lines."
    echo "ICMP errors that the router sent out of lan0 are traced in OUTPUT$([ $v = 4 ] || echo ", so is the answer to number 45").
$(grep -c -e 'raw:PREROUTING:policy:3 IN=[^l]' -e 'raw:PREROUTING:policy:3 IN=lan' -e 'raw:OUTPUT:policy' "$D/forms-v$v.kmsg") packets traced (each fragment counts, each packet over lo once), $(traces "$D/forms-v$v.kmsg") TRACE lines, no record missing. $(versions)"
}
run 4
about 4 "IP identification" "10.77.1.0/24 10.77.2.0/24 10.77.3.0/24" > "$D/forms-v4.about"
run 6
about 6 "flow label" "fd77:1::/64 fd77:2::/64 fd77:3::/64" > "$D/forms-v6.about"
