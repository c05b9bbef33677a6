#!/bin/bash
# kernel/interleaved: two CPUs at once. kernel/lost: a reader that is too slow.
. "$(dirname "$0")/lib.sh"
D=$OUT/kernel; mkdir -p "$D"
[ "$(nproc)" -ge 2 ] || { echo "$0: needs two CPUs" >&2; exit 1; }
log_all_netns
line3 82
ns_add snd2; ns_no6 snd2
veth rt lan1 52:54:00:0a:03:01 snd2 eth0 52:54:00:0a:03:02
inns rt ip addr add 10.82.3.1/24 dev lan1; inns snd2 ip addr add 10.82.3.2/24 dev eth0
inns dst iptables-legacy -P INPUT DROP
inns rt iptables-legacy-restore <<'R'
*raw
:PREROUTING ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
-A PREROUTING -p udp -m udp --dport 7000 -j TRACE
COMMIT
*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:check - [0:0]
-A FORWARD -p udp -j check
-A FORWARD -i lan1 -j DROP
-A check -i lan1 -j RETURN
COMMIT
R
sleep 1
flood() { inns $1 "$PY" "$RECORD_DIR/forms.py" flood eth0 $2 $3 $4 10.82.2.2 7000 $5 $6 $7; }
kmsg_follow "$D/interleaved.kmsg"
flood snd 52:54:00:0a:01:01 52:54:00:0a:01:02 10.82.1.2 100 0 200 & A=$!
flood snd2 52:54:00:0a:03:01 52:54:00:0a:03:02 10.82.3.2 100 1 200 & B=$!
wait $A; wait $B
kmsg_end "$D/interleaved.kmsg"
inns rt iptables-legacy-save -c > "$D/interleaved.rules"
expect dropped 100 "$(counter rt filter '-A FORWARD -i lan1 -j DROP')"
expect passed 100 "$(counter rt filter ':FORWARD ACCEPT')"
cut=$("$PY" - "$D/interleaved.kmsg" <<'P'
import re, sys
seen, last, cut = set(), None, set()
for l in open(sys.argv[1]):
    m = re.search(r"SRC=(\S+) .* ID=(\d+) ", l)
    if m:
        k = m.groups()
        if k != last and k in seen:
            cut.add(k)
        seen.add(k)
        last = k
print(len(seen), len(cut))
P
)
expect "packets" 200 "${cut% *}"; [ "${cut#* }" -gt 0 ] || { echo "nothing interleaved, record again" >&2; exit 1; }
cat > "$D/interleaved.about" <<A
Two senders, each on its own CPU, 100 UDP packets each to 10.82.2.2:7000 through the router at the same time, 200 us apart: 10.82.1.2 (into lan0, source port 40000) all
forwarded by the policy of filter FORWARD (policy:3), 10.82.3.2 (into lan1, source port 40001) all dropped by filter FORWARD rule 2. Identifications count from 1 for
both. 200 packets traced, $(traces "$D/interleaved.kmsg") TRACE lines, none lost; the events of ${cut#* } packets have a line of another packet in between. Checked by the counters. $(versions)
A
inns rt iptables-legacy -Z
kmsg_mark
"$PY" "$RECORD_DIR/kmsg.py" slow "$MARK" 150 1.5 5 > "$D/lost.kmsg" & R=$!; OUR_PIDS="$OUR_PIDS $R"
flood snd 52:54:00:0a:01:01 52:54:00:0a:01:02 10.82.1.2 2000 0 20
wait $R
inns rt iptables-legacy-save -c > "$D/lost.rules"
expect passed 2000 "$(counter rt filter ':FORWARD ACCEPT')"
gap=$("$PY" - "$D/lost.kmsg" <<'P'
import re, sys
last, gaps, n = None, [], 0
first = last_id = None
for l in open(sys.argv[1]):
    m = re.match(r"\d+,(\d+),", l)
    if m:
        s = int(m.group(1)); n += 1
        if last is not None and s != last + 1:
            gaps.append(s - last - 1)
        last = s
if n + sum(gaps) != 8000 or not gaps:
    sys.exit("%d lines and gaps %s do not make 8000 (another namespace's lines?), record again" % (n, gaps))
print("%d in %d place%s" % (sum(gaps), len(gaps), "s" if len(gaps) > 1 else ""))
P
)
cat > "$D/lost.about" <<A
10.82.1.2 sent 2000 UDP packets from port 40000 to 10.82.2.2:7000 through the router (identifications 1 to 2000, one CPU, 20 us apart), all traced, four lines each, all forwarded by the policy of
filter FORWARD (policy:3; by its counter). The reader of /dev/kmsg slept, so the ring overran: of 8000 lines $(traces "$D/lost.kmsg") are here, $gap are missing;
the sequence numbers (second field) tell. Packets at the edges of a gap are incomplete. $(versions)
A
