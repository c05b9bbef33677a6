#!/bin/bash
# demo/port-forward: a port forward that libvirt's rules reject. See the .about that it writes.
. "$(dirname "$0")/lib.sh"
D=$OUT/demo; mkdir -p "$D"

. "$RECORD_DIR/story.sh"
story_net
log_all_netns
kmsg_mark
story_bridge
story_rules | inns router iptables-legacy-restore
story_traffic

kmsg_save "$TMP/raw"
inns router iptables-legacy-save > "$D/port-forward.rules"
"$PY" "$RECORD_DIR/kmsg.py" syslog router < "$TMP/raw" | grep -v -e drop_caches > "$D/port-forward.log"

expect "lines that are not TRACE" 13 "$(grep -vc 'TRACE: ' "$D/port-forward.log")"
expect "web connection" refused "$web"
expect "ssh connection" connected "$ssh"
expect "ping" "answered 1 of 1" "$ping"
expect "DNAT" 1 "$(counter router nat '-j DNAT')"
expect "rule 7" 1 "$(counter router filter '-A FORWARD -o virbr1 -j REJECT')"
expect "rule 5" 1 "$(counter router filter '-A FORWARD -d 192.168.101.0/24')"
expect "rule 6" 1 "$(counter router filter '-A FORWARD -s 192.168.101.0/24')"
expect "INPUT policy" 1 "$(counter router filter ':INPUT DROP')"
expect "ssh rule" 1 "$(counter router filter '-A IN_public_allow')"
expect "MASQUERADE" 1 "$(counter router nat '! -d 192.168.101.0/24 -j MASQUERADE')"
expect "web server saw nobody" "listening" "$(cat "$TMP/http")"
IN=$(grep -c 'TRACE: raw:PREROUTING:policy' "$D/port-forward.log"); OUTP=$(grep -c 'TRACE: raw:OUTPUT:policy' "$D/port-forward.log")
SSHIN=$(grep 'TRACE: raw:PREROUTING:policy' "$D/port-forward.log" | grep -c 'DPT=22 ')
cat > "$D/port-forward.about" <<A
A router (em1 10.32.105.30; bridge virbr1 192.168.101.1 with the virtual machine 192.168.101.10 behind vnet0) with firewalld's and libvirt's
iptables-legacy rules; the client is 10.36.7.11 out of em1. Four things happen, in this order. (1) The client connects from port 54451 to
10.32.105.30:80: one SYN, sent to 192.168.101.10:80 by nat PREROUTING_direct rule 1, then rejected by filter FORWARD rule 7; the client's
connect() said "connection refused", the server on the machine saw nothing (the ICMP error itself is not traced). (2) The client connects from port
40622 to port 22 of the router itself and reads a banner: $SSHIN packets in, all delivered (the SYN by filter IN_public_allow rule 1, the others by filter
INPUT rule 3), $OUTP replies out of em1 by policy ACCEPT. (3) A UDP datagram from port 33434 to port 5353 of the router: filter INPUT rule 8
logs it (a line of its own, "INPUT_dropped: "), the policy DROP of INPUT drops it. (4) The machine 192.168.101.10 pings 10.36.7.11: request
forwarded by filter FORWARD rule 6 and masqueraded as 10.32.105.30 by nat POSTROUTING rule 5, its reply forwarded by rule 5; the ping was answered. In all
$((IN+OUTP)) packets traced ($IN in, $OUTP out), $(traces "$D/port-forward.log") TRACE lines, none lost. Thirteen lines are not TRACE: twelve of the bridge (its second machine starts before (3)), one of the LOG rule. Outcomes were checked by
the counters of the rules and by the peers. The text is that of the raw kernel records behind a traditional syslog stamp (UTC), the trailing space kept. $(versions)
A
