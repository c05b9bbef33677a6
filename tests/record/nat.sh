#!/bin/bash
# kernel/nat: DNAT with a change of port, MASQUERADE, REDIRECT; requests and replies. kernel/tee: a TEE clone.
. "$(dirname "$0")/lib.sh"
D=$OUT/kernel; mkdir -p "$D"
log_all_netns
line3 81
rules() { inns rt iptables-legacy-restore; }
rules <<'R'
*raw
:PREROUTING ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
-A PREROUTING -p tcp -j TRACE
-A PREROUTING -p udp -j TRACE
-A OUTPUT -p tcp -j TRACE
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
-A PREROUTING -d 10.81.1.1/32 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 10.81.2.2:80
-A PREROUTING -d 10.81.1.1/32 -p udp -m udp --dport 5300 -j DNAT --to-destination 10.81.2.2:53
-A PREROUTING -p tcp -m tcp --dport 2222 -j REDIRECT --to-ports 22
-A POSTROUTING -o wan0 -j MASQUERADE
COMMIT
*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT
-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -m conntrack --ctstate DNAT -j ACCEPT
COMMIT
R
bgpeer dst serve 10.81.2.2 80 1 "web" > "$TMP/web"
bgpeer dst udpserve 10.81.2.2 53 2 reply > "$TMP/dns"
bgpeer rt serve 10.81.1.1 22 1 "ssh" > "$TMP/ssh"
sleep 0.6
kmsg_follow "$D/nat.kmsg"
a=$(peer snd connect 10.81.1.1 8080 10.81.1.2 41000); sleep 0.1
peer snd udp 10.81.1.1 5300 10.81.1.2 41001 "query" 2; sleep 0.1
b=$(peer snd connect 10.81.1.1 2222 10.81.1.2 41002); sleep 0.1
peer snd udp 10.81.2.2 99 10.81.1.2 41003 "not wanted"
kmsg_end "$D/nat.kmsg"
inns rt iptables-legacy-save -c > "$D/nat.rules"
expect dnat connected "$a"; expect redirect connected "$b"
grep -q 'from 10.81.2.1:' "$TMP/dns"; grep -q 'served 10.81.2.1:' "$TMP/web"; grep -q 'served 10.81.1.2:41002' "$TMP/ssh"
expect "udp seen" 2 "$(grep -c got "$TMP/dns")"
expect "FORWARD policy" 1 "$(counter rt filter ':FORWARD DROP')"
n() { grep -e 'raw:PREROUTING:policy' -e 'raw:OUTPUT:policy' "$D/nat.kmsg" | grep -c "$1" || true; }
cat > "$D/nat.about" <<A
Client 10.81.1.2 - lan0 router wan0 - server 10.81.2.2, conntrack on. (1) TCP from port 41000 to the router's port 8080: nat PREROUTING rule 1 makes it
10.81.2.2:80, nat POSTROUTING rule 1 masquerades it as $(sed -n 's/served \(.*\), .*/\1/p' "$TMP/web") (seen by the server; never shown in the trace). Whole connection, all forwarded:
$(n 'SPT=41000 ') packets of the client, $(n 'IN=wan0.*SPT=80 ') of the server (arriving for 10.81.2.1:41000, going on to 10.81.1.2 from mangle FORWARD on; still from 10.81.2.2:80 in every
line, although the client gets them from 10.81.1.1:8080). Only the SYN meets the nat table. (2) Two UDP datagrams from port 41001 to port 5300, DNAT to port 53, both
delivered and answered ($(n 'IN=lan0.*SPT=41001 ') and $(n 'IN=wan0.*SPT=53 ') packets). (3) TCP from port 41002 to the router's port 2222, REDIRECT to its port 22: delivered to the router ($(n 'SPT=41002 ')
packets in, $(n 'OUT=lan0.*SPT=22 ') replies in OUTPUT, which show port 22 everywhere). (4) UDP from port 41003 straight to 10.81.2.2:99: dropped by the policy of filter FORWARD. In all $(n .) packets,
$(traces "$D/nat.kmsg") TRACE lines, none lost. Checked by the peers and by the counters. $(versions)
A

# TEE
rules <<'R'
*raw
:PREROUTING ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
-A PREROUTING -i lan0 -p udp -j TRACE
COMMIT
*mangle
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
-A PREROUTING -p udp -m udp --dport 53 -j TEE --gateway 10.81.2.9
-A PREROUTING -p udp -m udp --dport 54 -j TEE --gateway 10.81.2.9
COMMIT
*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
COMMIT
*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
-A FORWARD -p udp -m udp --dport 54 -j DROP
-A FORWARD -m conntrack --ctstate NEW -j ACCEPT
COMMIT
R
inns rt ip neigh add 10.81.2.9 lladdr 52:54:00:0a:02:09 dev wan0
inns dst iptables-legacy -P INPUT DROP
capture dst eth0 "$TMP/tee.pcap" "udp"; C=$BG
kmsg_follow "$D/tee.kmsg"
inns snd "$PY" "$RECORD_DIR/forms.py" ports eth0 52:54:00:0a:01:01 52:54:00:0a:01:02 10.81.1.2 10.81.2.2 53 54 55
kmsg_end "$D/tee.kmsg"
stop $C
inns rt iptables-legacy-save -c > "$D/tee.rules"
w=$(tcpdump -ner "$TMP/tee.pcap" 2>/dev/null | sed 's/.*> \(52[0-9a-f:]*\),.*10.81.2.2.\([0-9]*\):.*/\1-\2/' | sort | tr '\n' ' ')
expect "frames at the sink" "52:54:00:0a:02:02-53 52:54:00:0a:02:02-55 52:54:00:0a:02:09-53 52:54:00:0a:02:09-54 " "$w"
cat > "$D/tee.about" <<A
Sender 10.81.1.2 - lan0 router wan0 - sink 10.81.2.2, conntrack on. Three UDP packets from port 40000 (identification = port): 53, cloned by mangle PREROUTING
rule 1 (TEE to 10.81.2.9), the original forwarded by filter FORWARD rule 2; 54, cloned by rule 2, the original dropped by filter FORWARD rule 1; 55, not cloned,
forwarded by rule 2. Each clone is traced too: its OUTPUT and POSTROUTING events (identification the same, TTL one less, DF set, no nat as a clone is untracked; in POSTROUTING
this kernel prints IN=wan0 and a MAC= of stray memory, although the clone came from nowhere) stand nested between the original's
mangle PREROUTING rule and the event after it, and both clones left by wan0 to 10.81.2.9's address (seen at the sink by destination MAC, tcpdump). 3 packets and 2 clones traced, $(traces "$D/tee.kmsg")
TRACE lines, none lost. $(versions)
A
