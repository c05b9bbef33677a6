#!/bin/bash
# kernel/traps: where "rule", "return" and "policy" in a TRACE line do not mean what they seem to.
. "$(dirname "$0")/lib.sh"
D=$OUT/kernel; mkdir -p "$D"
log_all_netns
line3 80
inns dst iptables-legacy -P INPUT DROP
inns rt iptables-legacy-restore <<'R'
*raw
:PREROUTING ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
-A PREROUTING -i lan0 -j TRACE
-A PREROUTING -p udp -m udp --dport 1017 -j TRACE
COMMIT
*mangle
:PREROUTING ACCEPT [0:0]
:INPUT DROP [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
-A PREROUTING -p udp -m udp --dport 1001 -j RETURN
-A PREROUTING -j ACCEPT
-A PREROUTING -j DROP
-A INPUT -j ACCEPT
-A FORWARD -p udp -m udp --dport 1018 -j TTL --ttl-set 33
-A POSTROUTING -j RETURN
-A POSTROUTING -j DROP
COMMIT
*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:ACCEPTS - [0:0]
:DROPS - [0:0]
:RETURNS - [0:0]
:RETURNS_SOME - [0:0]
:EMPTY - [0:0]
:IMPLICIT - [0:0]
:GONE - [0:0]
:GOES - [0:0]
:GONE_TOO - [0:0]
:COMMENTED - [0:0]
:OUTER - [0:0]
:MIDDLE - [0:0]
:INNER - [0:0]
:QUEUES - [0:0]
:REJECTS - [0:0]
-A INPUT -p udp -m udp --dport 301 -j ACCEPT
-A INPUT -j DROP
-A FORWARD -p udp -m udp --dport 1001 -j ACCEPTS
-A FORWARD -p udp -m udp --dport 1002 -j DROPS
-A FORWARD -p udp -m udp --dport 1003 -j RETURNS
-A FORWARD -p udp -m udp --dport 1004 -j RETURNS_SOME
-A FORWARD -p udp -m udp --dport 1005 -j EMPTY
-A FORWARD -p udp -m udp --dport 1006 -j IMPLICIT
-A FORWARD -p udp -m udp --dport 1007 -g GONE
-A FORWARD -p udp -m udp --dport 1008 -j GOES
-A FORWARD -p udp -m udp --dport 1009 -m comment --comment "no target"
-A FORWARD -p udp -m udp --dport 1009 -j MARK --set-xmark 0x7/0xffffffff
-A FORWARD -p udp -m udp --dport 1010 -j LOG --log-prefix "TRACE: fake:chain:rule:1 "
-A FORWARD -p udp -m udp --dport 1011 -j COMMENTED
-A FORWARD -p udp -m udp --dport 1012 -j OUTER
-A FORWARD -p udp -m udp --dport 1013 -j NFQUEUE --queue-num 9
-A FORWARD -p udp -m udp --dport 1014 -j NFQUEUE --queue-num 9 --queue-bypass
-A FORWARD -p udp -m udp --dport 1015 -j REJECTS
-A FORWARD -p udp -m udp --dport 1016 -j QUEUES
-A FORWARD -p udp -m udp --dport 1003:1018 -j ACCEPT
-A ACCEPTS -p tcp -j RETURN
-A ACCEPTS -j ACCEPT
-A ACCEPTS -p udp -j DROP
-A DROPS -j DROP
-A RETURNS -j RETURN
-A RETURNS -j DROP
-A RETURNS_SOME -p udp -j RETURN
-A RETURNS_SOME -j DROP
-A IMPLICIT -p tcp -j DROP
-A IMPLICIT -p udp
-A IMPLICIT -p icmp -j DROP
-A GONE -p tcp -j ACCEPT
-A GOES -p udp -g GONE_TOO
-A GOES -j DROP
-A GONE_TOO -j RETURN
-A COMMENTED -m comment --comment everything -j ACCEPT
-A OUTER -j MIDDLE
-A MIDDLE -j INNER
-A INNER -p tcp -j ACCEPT
-A QUEUES -j QUEUE
-A REJECTS -j REJECT --reject-with icmp-admin-prohibited
COMMIT
R
sleep 1
capture dst eth0 "$TMP/dst.pcap" udp; C=$BG
bgpeer rt udpserve 10.80.1.1 301 1 > "$TMP/in301"
bgpeer rt udpserve 10.80.1.1 302 1 > "$TMP/in302"
kmsg_follow "$D/traps.kmsg"
inns snd "$PY" "$RECORD_DIR/forms.py" ports eth0 52:54:00:0a:01:01 52:54:00:0a:01:02 10.80.1.2 10.80.2.2 1001 1002 1003 1004 1005 1006 1007 1008 1009 1010 1011 1012 1013 1014 1015 1016 1017 1018 1099 short
inns snd "$PY" "$RECORD_DIR/forms.py" ports eth0 52:54:00:0a:01:01 52:54:00:0a:01:02 10.80.1.2 10.80.1.1 301 302
kmsg_end "$D/traps.kmsg"
stop $C
inns rt iptables-legacy-save -c > "$D/traps.rules"
expect arrived "1001 1003 1004 1005 1006 1008 1009 1010 1011 1012 1014 1017 1018" "$("$PY" "$RECORD_DIR/forms.py" arrived "$TMP/dst.pcap" | tr '\n' ' ' | sed 's/ $//')"
grep -q "got 4 bytes" "$TMP/in301"; ! grep -q got "$TMP/in302"
cat > "$D/traps.about" <<A
Sender 10.80.1.2 - lan0 router wan0 - sink 10.80.2.2, iptables-legacy, no conntrack. 22 UDP packets from port 40000, one for each trap, the number is both the
destination port and the IP identification. All 22 are traced from raw PREROUTING. "Forwarded" was seen at the sink by tcpdump, the two local
ones by a socket. Every packet first meets mangle PREROUTING, whose rule 2 is an unconditional ACCEPT (printed policy:2; rule 3, DROP, is never reached), and every
forwarded one meets mangle POSTROUTING, whose rule 1 is an unconditional RETURN (printed policy:1, then policy:3) before a DROP never reached.
1001 forwarded: ACCEPTS rule 2, unconditional ACCEPT in a user chain, printed return:2. Before, in mangle PREROUTING, a conditional RETURN: rule:1, then policy:4.
1002 dropped: DROPS rule 1, unconditional DROP in a user chain, printed return:1.
1003 forwarded: RETURNS rule 1, unconditional RETURN (return:1), back, then FORWARD rule 18 ACCEPT.
1004 forwarded: RETURNS_SOME rule 1, conditional RETURN (rule:1, no return line), then FORWARD rule 18.
1005 forwarded: EMPTY has no rules (return:1), then rule 18.
1006 forwarded: IMPLICIT rule 2 has no target (rule:2), implicit return:4, then rule 18.
1007 dropped: goto GONE, its end (return:2) is not followed by FORWARD rule 8 but by the policy, DROP (policy:19).
1008 forwarded: jump to GOES, goto GONE_TOO, RETURN there (return:1) goes on behind the jump: FORWARD rule 18.
1009 forwarded: rule 9 has no target, rule 10 sets mark 7 (shown from the next event on), rule 18.
1010 forwarded: rule 11 logs with a prefix that imitates a trace line ("TRACE: fake:chain:rule:1 "; a LOG line, no event), then rule 18.
1011 forwarded: COMMENTED rule 1 accepts everything, but a comment counts as a condition: rule:1.
1012 forwarded: OUTER, MIDDLE, INNER: three implicit returns, then rule 18.
1013 dropped: rule 14 NFQUEUE to queue 9, nobody listens.
1014 forwarded: rule 15 NFQUEUE with bypass, nobody listens: accepted there, rule 18 is not reached.
1015 rejected: REJECTS rule 1 (unconditional REJECT is printed rule:1).
1016 dropped: QUEUES rule 1 is an unconditional QUEUE, printed return:1, nobody listens.
1017 forwarded: raw PREROUTING rule 2 is a second TRACE, printed rule:2 as the packet is traced by then.
1018 forwarded: mangle FORWARD rule 1 sets the TTL to 33, shown from the next event on.
1099 dropped: nothing matches, FORWARD policy DROP (policy:19).
9999 dropped without a line: 4 bytes of UDP; the udp match of raw PREROUTING rule 2 finds no ports and drops it ("hotdrop") right after rule 1 armed the trace.
301 delivered: mangle INPUT rule 1 unconditional ACCEPT (policy:1) although the policy is DROP; filter INPUT rule 1.
302 dropped: filter INPUT rule 2, unconditional DROP, printed policy:2 although the policy is ACCEPT.
$(traces "$D/traps.kmsg") lines begin with "TRACE: ", one of them is the LOG rule's; none is about 9999. $(versions)
A
grep -q ID=9999 "$D/traps.kmsg" && { echo "9999 was logged"; exit 1; } || true
