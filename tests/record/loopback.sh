#!/bin/bash
# kernel/loopback: the same packet in OUTPUT, POSTROUTING, PREROUTING and INPUT.
. "$(dirname "$0")/lib.sh"
D=$OUT/kernel; mkdir -p "$D"
log_all_netns
ns_add one; ns_no6 one
inns one iptables-legacy-restore <<'R'
*raw
:PREROUTING ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
-A PREROUTING -i lo -j TRACE
-A OUTPUT -o lo -j TRACE
COMMIT
*mangle
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
COMMIT
*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
-A OUTPUT -d 127.0.0.1/32 -p tcp -m tcp --dport 8080 -j REDIRECT --to-ports 80
COMMIT
*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A INPUT -p tcp -m tcp --dport 25 -j DROP
-A OUTPUT -m conntrack --ctstate INVALID -j DROP
COMMIT
R
bgpeer one serve 127.0.0.1 80 2 "hello" > "$TMP/srv"
sleep 0.5
kmsg_follow "$D/loopback.kmsg"
a=$(peer one connect 127.0.0.1 81 127.0.0.1 40081); sleep 0.1
b=$(peer one connect 127.0.0.1 80 127.0.0.1 40080); sleep 0.1
c=$(peer one connect 127.0.0.1 8080 127.0.0.1 48080); sleep 0.1
peer one udp 127.0.0.1 25 127.0.0.1 40025 "to a closed port"
inns one timeout 0.5 "$PY" "$RECORD_DIR/peer.py" connect 127.0.0.1 25 127.0.0.1 40026 || true
kmsg_end "$D/loopback.kmsg"
inns one iptables-legacy-save -c > "$D/loopback.rules"
expect closed refused "$a"; expect open connected "$b"; expect redirected connected "$c"
expect "INPUT rule 2" 1 "$(counter one filter '--dport 25 -j DROP')"
n() { grep 'raw:OUTPUT:' "$D/loopback.kmsg" | grep -c "$1" || true; }
cat > "$D/loopback.about" <<A
One namespace, everything over lo, raw OUTPUT -o lo and raw PREROUTING -i lo both armed, conntrack on. Each packet is one skb that does OUTPUT, POSTROUTING,
PREROUTING, INPUT, traced in all four; in PREROUTING the TRACE rule itself is logged (raw:PREROUTING:rule:1), in OUTPUT not. In order: (1) TCP 40081 to closed
port 81: SYN, delivered, and the RST that answers it ($(n '40081 ') packets). (2) TCP 40080 to port 80: connected, banner read, closed ($(n '40080 ') packets, all delivered).
(3) TCP 48080 to port 8080, which nat OUTPUT rule 1 redirects to port 80: connected ($(n '48080 ') packets: the requests show port 8080 in raw, mangle and nat OUTPUT
and 80 from filter OUTPUT on). (4) UDP 40025 to closed port 25: delivered, answered by an ICMP port unreachable (2 packets). (5) TCP 40026 to port 25: the SYN is
dropped by filter INPUT rule 2 after OUTPUT and POSTROUTING had passed it ($(n '40026 ') packet; the client gave up after half a second). In all $(n .) packets,
$(traces "$D/loopback.kmsg") TRACE lines, none lost. UID= and GID= stand in OUTPUT and POSTROUTING only. $(versions)
A
