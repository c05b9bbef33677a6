#!/bin/bash
# xtables/port-forward: the story with iptables-nft, seen by xtables-monitor --trace.
. "$(dirname "$0")/lib.sh"
. "$RECORD_DIR/story.sh"
D=$OUT/xtables; mkdir -p "$D"
story_net
story_bridge
story_rules | inns router iptables-nft-restore
bgns router stdbuf -oL xtables-monitor --trace > "$D/port-forward.txt"; M=$BG
sleep 0.5
story_traffic
sleep 0.3
stop $M
inns router iptables-nft-save > "$D/port-forward.rules"
inns router iptables-nft-save -c > "$TMP/counters"
inns router nft -a list ruleset > "$D/port-forward.nft" 2>/dev/null
count() { grep -F -e "$1" "$TMP/counters" | sed -n '1{s/.*\[\([0-9]*\):[0-9]*\].*/\1/p}'; }
expect "web connection" refused "$web"
expect "ssh connection" connected "$ssh"
expect "ping" "answered 1 of 1" "$ping"
expect "rule 7" 1 "$(count '-A FORWARD -o virbr1 -j REJECT')"
expect "rule 5" 1 "$(count '-A FORWARD -d 192.168.101.0/24')"
expect "INPUT policy" 1 "$(count ':INPUT DROP')"
expect "packets" 12 "$(grep -E -c 'TRACE: 2 [0-9a-f]+ raw:(PREROUTING|OUTPUT):policy' "$D/port-forward.txt")"
cat > "$D/port-forward.about" <<A
The story of demo/port-forward once more, the same rules loaded with iptables-nft (the packets, ports and outcomes are the same; see there: SYN rejected by filter
FORWARD rule 7, ssh to the router delivered and answered, UDP dropped by the policy of INPUT, ping forwarded, masqueraded and answered), as xtables-monitor --trace
printed it; 12 packets traced, $(grep -c 'TRACE: ' "$D/port-forward.txt") TRACE and $(grep -c 'PACKET: ' "$D/port-forward.txt") PACKET lines. port-forward.rules is iptables-nft-save, port-forward.nft is nft -a list ruleset (the handles that the trace names; in hexadecimal there).
Checked by the counters and by the peers. $(versions)
A
