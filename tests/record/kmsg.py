"""The kernel log as raw /dev/kmsg records.

kmsg.py mark                 print the sequence number of the newest record
kmsg.py since SEQ            print every record after SEQ, as read
kmsg.py follow SEQ           the same, live, until SIGTERM; then says on stderr how many are missing, if any
kmsg.py syslog HOST < raw    wrap raw records as a traditional syslog file
kmsg.py slow SEQ N PAUSE SECONDS   a reader that sleeps once, after N records, and reads on; a lost stretch (EPIPE) is skipped as every reader does
"""
import os, re, signal, sys, time

def reader():
    return os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)

def records(fd):
    while True:
        try:
            yield os.read(fd, 8192)
        except BlockingIOError:
            return
        except BrokenPipeError:
            continue

def seq(rec):
    return int(rec.split(b",", 2)[1])

def main():
    what = sys.argv[1]
    out = sys.stdout.buffer
    if what == "mark":
        last = 0
        for r in records(reader()):
            last = seq(r)
        print(last)
    elif what == "since":
        for r in records(reader()):
            if seq(r) > int(sys.argv[2]):
                out.write(r)
    elif what == "follow":
        stop = []
        signal.signal(signal.SIGTERM, lambda *_: stop.append(1))
        fd = reader()
        last, missing = int(sys.argv[2]), 0
        while True:
            ending = bool(stop)
            for r in records(fd):
                if seq(r) > last:
                    missing += seq(r) - last - 1
                    last = seq(r)
                    out.write(r)
            out.flush()
            if ending:
                break
            time.sleep(0.002)
        if missing:
            sys.stderr.write("kmsg.py: %d records missing\n" % missing)
            sys.exit(1)
    elif what == "slow":
        after, burst, pause, total = int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]), float(sys.argv[5])
        fd = reader()
        end = time.monotonic() + total
        n = 0
        while time.monotonic() < end:
            try:
                r = os.read(fd, 8192)
            except BlockingIOError:
                time.sleep(0.002)
                continue
            except BrokenPipeError:
                continue
            if seq(r) > after:
                out.write(r)
                n += 1
                if n == burst:
                    out.flush()
                    time.sleep(pause)
    elif what == "syslog":
        host = sys.argv[2]
        boot = time.clock_gettime(time.CLOCK_REALTIME) - time.clock_gettime(time.CLOCK_MONOTONIC)
        for line in sys.stdin.buffer:
            m = re.match(rb"\d+,\d+,(\d+),[^;]*;(.*)\n", line)
            if not m:       # " KEY=value" continuation lines never reach a syslog file
                continue
            us = int(m.group(1))
            t = time.gmtime(boot + us / 1e6)
            stamp = time.strftime("%b ", t) + "%2d" % t.tm_mday + time.strftime(" %H:%M:%S", t)
            text = m.group(2)
            if not text:
                continue
            out.write(b"%s %s kernel: [%5d.%06d] %s\n" % (stamp.encode(), host.encode(), us // 1000000, us % 1000000, text))

main()
