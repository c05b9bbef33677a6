#!/bin/bash
# wrappers/: the same few kernel records as the real tools print them: dmesg, journalctl, rsyslogd, and compressed.
. "$(dirname "$0")/lib.sh"
D=$OUT/wrappers; mkdir -p "$D"
log_all_netns
line3 84
inns rt iptables-legacy-restore <<'R'
*raw
:PREROUTING ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
-A PREROUTING -i lan0 -p udp -j TRACE
COMMIT
*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
-A FORWARD -p udp -m udp --dport 53 -j ACCEPT
-A FORWARD -p udp -m udp --dport 54 -j LOG --log-prefix "refused: "
-A FORWARD -p udp -m udp --dport 54 -j REJECT --reject-with icmp-port-unreachable
COMMIT
R
sleep 0.5
kmsg_mark
inns snd "$PY" "$RECORD_DIR/forms.py" ports eth0 52:54:00:0a:01:01 52:54:00:0a:01:02 10.84.1.2 10.84.2.2 53 54
sleep 0.1
inns rt iptables-legacy-save -c > "$D/wrappers.rules"
kmsg_save "$D/kmsg.txt"
expect "reject" 1 "$(counter rt filter '-j REJECT')"; expect "accept" 1 "$(counter rt filter '--dport 53 -j ACCEPT')"
expect "records" "5 1" "$(traces "$D/kmsg.txt") $(grep -vc TRACE "$D/kmsg.txt")"
# only our records: everything of the ring from the first of them on
s=$(sed -n '1s/^[0-9]*,[0-9]*,\([0-9]*\),.*/\1/p' "$D/kmsg.txt"); e=$(sed -n '$s/^[0-9]*,[0-9]*,\([0-9]*\),.*/\1/p' "$D/kmsg.txt")
first=$(printf '%d.%06d' $((s / 1000000)) $((s % 1000000))); last=$(printf '%d.%06d' $((e / 1000000)) $((e % 1000000)))
ours() { sed -n "/ *$first\]/,/ *$last\]/p"; }
dmesg | ours > "$D/dmesg.txt"
dmesg -r | ours > "$D/dmesg-r.txt"
dmesg -x | ours > "$D/dmesg-x.txt"
dmesg -d | sed -n "/ *$first </,/ *$last </p" > "$D/dmesg-d.txt"
n=$(wc -l < "$D/kmsg.txt")
dmesg | grep -n "$first" | head -1 | cut -d: -f1 > "$TMP/line"; l=$(cat "$TMP/line")
part() { tail -n +$l | head -$n; }
dmesg -T | part > "$D/dmesg-T.txt"
dmesg --time-format=iso | part > "$D/dmesg-iso.txt"
dmesg -t | part > "$D/dmesg-t.txt"
dmesg -H --nopager --color=never | part > "$D/dmesg-H.txt" || true
dmesg -J > "$TMP/j" 2>/dev/null && "$PY" - "$TMP/j" "$first" "$last" > "$D/dmesg-json.txt" <<'P' || rm -f "$D/dmesg-json.txt"
# dmesg -J prints one object; keep our entries, byte for byte
import sys
text = open(sys.argv[1]).read()
a = text.index("[\n") + 2
b = text.rindex("\n   ]")
entries = text[a:b].split("},{")
first = next(i for i, e in enumerate(entries) if sys.argv[2] in e)
last = next(i for i, e in enumerate(entries) if sys.argv[3] in e)
keep = "},{".join(entries[first:last + 1])
if not keep.lstrip().startswith("{"):
    keep = "      {" + keep
if last + 1 < len(entries):
    keep += "}"
sys.stdout.write(text[:a] + keep + text[b:])
P
# rsyslogd with a configuration of its own, reading the dmesg lines from a file
if command -v rsyslogd >/dev/null; then
    cat > "$TMP/rs.conf" <<C
global(workDirectory="$TMP" localHostname="router")
module(load="imfile")
template(name="old" type="list") { property(name="timereported" dateFormat="rfc3164") constant(value=" router kernel:") property(name="msg" spifno1stsp="on") property(name="msg" droplastlf="on") constant(value="\n") }
template(name="iso" type="list") { property(name="timereported" dateFormat="rfc3339") constant(value=" router kernel:") property(name="msg" spifno1stsp="on") property(name="msg" droplastlf="on") constant(value="\n") }
input(type="imfile" file="$TMP/in" tag="kernel:" severity="warning" facility="kern")
action(type="omfile" file="$TMP/old" template="old")
action(type="omfile" file="$TMP/iso" template="iso")
C
    cp "$D/dmesg.txt" "$TMP/in"
    rsyslogd -n -f "$TMP/rs.conf" -i "$TMP/rs.pid" > "$TMP/rs.log" 2>&1 & R=$!; OUR_PIDS="$OUR_PIDS $R"
    for i in 1 2 3 4 5 6 7 8 9 10; do [ "$(cat "$TMP/iso" 2>/dev/null | wc -l)" = $n ] && break; sleep 0.3; done
    stop $R
    [ -s "$TMP/old" ] && cp "$TMP/old" "$D/rsyslog.log" && cp "$TMP/iso" "$D/rsyslog-iso.log"
fi
# the journal: import the records, print them in every form
R=/lib/systemd/systemd-journal-remote
if [ -x $R ]; then
    cat > "$TMP/export.py" <<'P'
import re, sys, time
boot, later = sys.argv[2], int(sys.argv[3]) * 1000000
off = time.clock_gettime_ns(time.CLOCK_REALTIME) // 1000 - time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000 + later
for n, line in enumerate(open(sys.argv[1]), 1):
    prio, seq, us, text = re.match(r"(\d+),(\d+),(\d+),[^;]*;(.*)", line).groups()
    print("__CURSOR=s=%s;i=%x;b=%s;m=%x;t=%x;x=0" % (boot[::-1], n, boot, int(us), off + int(us)))
    print("__REALTIME_TIMESTAMP=%d\n__MONOTONIC_TIMESTAMP=%d\n_BOOT_ID=%s" % (off + int(us), int(us), boot))
    print("_TRANSPORT=kernel\nPRIORITY=%d\nSYSLOG_FACILITY=%d\nSYSLOG_IDENTIFIER=kernel\n_MACHINE_ID=0123456789abcdef0123456789abcdef" % (int(prio) & 7, int(prio) >> 3))
    print("_HOSTNAME=router\n_SOURCE_MONOTONIC_TIMESTAMP=%s\nMESSAGE=%s\n" % (us, text))
P
    "$PY" "$TMP/export.py" "$D/kmsg.txt" 5bd3a2f1c0de4a11b0c0ffee12345678 0 > "$TMP/export"
    { cat "$TMP/export"; "$PY" "$TMP/export.py" "$D/kmsg.txt" 77d3a2f1c0de4a11b0c0ffee12345699 3600; } > "$TMP/export2"
    $R -o "$TMP/router.journal" "$TMP/export" > "$TMP/jr" 2>&1 || cat "$TMP/jr"
    for o in short short-iso short-iso-precise short-precise short-monotonic short-unix short-full json json-pretty export verbose cat; do
        journalctl --no-pager --utc -q --file "$TMP/router.journal" -o $o > "$D/journal-$o.txt" || rm -f "$D/journal-$o.txt"
    done
    mv "$D/journal-json.txt" "$D/journal.json"; mv "$D/journal-json-pretty.txt" "$D/journal-pretty.json"
    $R -o "$TMP/boots.journal" "$TMP/export2" > "$TMP/jr" 2>&1 || cat "$TMP/jr"
    journalctl --no-pager --utc --file "$TMP/boots.journal" -o short > "$D/journal-boots.txt"
fi
gzip -9nc "$D/dmesg.txt" > "$D/dmesg.txt.gz"; xz -9c "$D/dmesg.txt" > "$D/dmesg.txt.xz"; zstd -q -19 -c "$D/dmesg.txt" > "$D/dmesg.txt.zst"
cat > "$D/wrappers.about" <<A
Sender 10.84.1.2 - lan0 router wan0 - sink 10.84.2.2, no conntrack. Two UDP packets from port 40000: to 53, forwarded by filter FORWARD rule 1; to 54, logged by rule 2 ("refused: ", not a TRACE line), then
rejected by rule 3. 2 packets traced, 5 TRACE lines and one LOG line, in every file here the same $n records (journal-boots.txt: twice): kmsg.txt (/dev/kmsg as read), dmesg with no option, -T, --time-format=iso, -t, -d, -H, -r, -x, -J
(where this dmesg can; cut to our entries), rsyslog.log and rsyslog-iso.log (rsyslogd with a private configuration and imfile, so the stamp is the time of reading and the machine's zone), journal-* (made from the records by systemd-journal-remote with
host router and an invented boot id, printed by journalctl --utc in each of its formats; journal-boots.txt: the same records imported a second time as another boot an hour later, with journalctl's "-- Boot" line), dmesg.txt.gz, .xz, .zst. Checked by the counters. $(versions) Tools: $(dmesg -V), $(journalctl --version | sed 1q), $(rsyslogd -v | sed -n '1s/ (.*//p').
A
