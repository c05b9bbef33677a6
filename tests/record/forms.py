"""Hand-made packets of every form the kernel's packet logger knows.

forms.py send4|send6 IFACE DSTMAC SRCMAC TABLE   send them, write a table "number <tab> what" to TABLE
forms.py tun4|tun6 NAME           make a tun interface, write one packet into it
forms.py sit6 NAME                a tap interface that calls itself SIT: the only way to TUNNEL= on a kernel without sit
forms.py vlan IFACE DSTMAC SRCMAC SRC DST   one VLAN-tagged (id 42) UDP frame
forms.py ports IFACE DSTMAC SRCMAC SRC DST PORT...   UDP to each port from port 40000, identification = port; 12 ms apart; "short" is 4 bytes of UDP, number 9999
forms.py flood IFACE DSTMAC SRCMAC SRC DST PORT N CPU GAP   N UDP packets from one CPU, GAP microseconds apart, identification counting from 1
forms.py arrived PCAP             the numbers seen in a capture, one a line

The number of a packet is its IP identification (IPv4; fragments of one datagram share it) or its flow label (IPv6).
Addresses: sender 10.77.1.2 / fd77:1::2, router .1, sink 10.77.2.2 / fd77:2::2.
"""
import fcntl, os, socket, struct, sys, time
import logging
logging.getLogger("scapy").setLevel(logging.ERROR)
from scapy.all import (AH, ESP, Dot1Q, Ether, GRE, ICMP, ICMPv6DestUnreach, ICMPv6EchoReply, ICMPv6EchoRequest, ICMPv6ND_NA, ICMPv6ND_NS,
                       ICMPv6ND_RA, ICMPv6ND_RS, ICMPv6PacketTooBig, ICMPv6ParamProblem, ICMPv6TimeExceeded, IP, IPv6, IPv6ExtHdrDestOpt,
                       IPv6ExtHdrFragment, IPv6ExtHdrHopByHop, IPv6ExtHdrRouting, PadN, RouterAlert, Raw, TCP, UDP, raw, rdpcap,
                       ICMPv6NDOptSrcLLAddr, ICMPv6MLReport2)

S4, R4, D4 = "10.77.1.2", "10.77.1.1", "10.77.2.2"
S6, R6, D6 = "fd77:1::2", "fd77:1::1", "fd77:2::2"

def forms4():
    """Yields (what, [packets]); every packet of a list gets the same number."""
    def ip(dst=D4, **k):
        return IP(src=S4, dst=dst, **k)
    x = lambda n: bytes(i & 255 for i in range(n))
    syn = [("MSS", 1460), ("SAckOK", b""), ("Timestamp", (305419896, 0)), ("NOP", None), ("WScale", 7)]
    yield "TCP SYN with options", [ip(flags="DF") / TCP(sport=40001, dport=80, seq=4294967295, flags="S", window=64240, options=syn)]
    yield "TCP SYN ACK without options", [ip() / TCP(sport=40002, dport=81, seq=1, ack=2, flags="SA")]
    yield "TCP FIN PSH ACK, data", [ip() / TCP(sport=40003, dport=82, seq=7, ack=9, flags="FPA") / b"bye"]
    yield "TCP RST", [ip() / TCP(sport=40004, dport=83, flags="R", window=0)]
    yield "TCP CWR ECE URG ACK PSH RST SYN FIN, urgent pointer", [ip() / TCP(sport=40005, dport=84, flags=0xff, urgptr=513)]
    yield "TCP every flag and AE (reserved bits 1)", [ip() / TCP(sport=40006, dport=85, flags=0x1ff)]
    yield "TCP reserved bits 4 set", [ip() / TCP(sport=40007, dport=86, reserved=4, flags="A")]
    yield "TCP no flag at all", [ip() / TCP(sport=40008, dport=87, flags=0)]
    yield "TCP 40 bytes of options", [ip() / TCP(sport=40009, dport=88, flags="A", options=[("NOP", None)] * 40)]
    t = raw(TCP(sport=40010, dport=89, flags="A", dataofs=10))[:20]
    yield "TCP data offset beyond the end: OPT (TRUNCATED)", [ip(proto=6) / Raw(t)]
    whole = raw(TCP(sport=40011, dport=90, flags="S", options=syn)) + x(20)
    yield "TCP in tiny fragments: 8 bytes (INCOMPLETE), then the rest", [ip(flags="MF", proto=6) / Raw(whole[:8]), ip(frag=1, proto=6) / Raw(whole[8:])]
    yield "TCP 13 bytes, no fragment (INCOMPLETE)", [ip(proto=6) / Raw(whole[:13])]
    yield "UDP", [ip() / UDP(sport=40012, dport=53) / b"hello"]
    yield "UDP empty", [ip() / UDP(sport=40013, dport=54)]
    yield "UDP 4 bytes (INCOMPLETE)", [ip(proto=17) / Raw(x(4))]
    yield "UDP checksum zero, length lies", [ip() / UDP(sport=40014, dport=55, len=9000, chksum=0) / b"hello"]
    yield "UDPLITE", [ip(proto=136) / Raw(struct.pack("!HHHH", 40015, 56, 8, 0x1234) + b"lite")]
    yield "UDPLITE 5 bytes (INCOMPLETE)", [ip(proto=136) / Raw(x(5))]
    big = raw(UDP(sport=40016, dport=57, chksum=0) / Raw(x(600)))
    yield "UDP in three fragments: first, middle, last", [ip(flags="MF", proto=17) / Raw(big[:256]), ip(flags="MF", frag=32, proto=17) / Raw(big[256:512]), ip(frag=64, proto=17) / Raw(big[512:])]
    yield "UDP with mark 0x2a set by raw PREROUTING rule 2", [ip(ttl=77) / UDP(sport=40017, dport=4242) / b"marked"]
    yield "UDP dropped by filter FORWARD rule 2", [ip(ttl=99) / UDP(sport=40018, dport=9) / b"discard"]
    yield "UDP to the router, closed port: delivered, answered by port unreachable", [ip(dst=R4) / UDP(sport=40019, dport=33434) / b"probe"]
    yield "UDP with TTL 1: the router answers time exceeded", [ip(ttl=1) / UDP(sport=40020, dport=33435) / b"probe"]
    yield "UDP too big for wan0, DF: the router answers frag needed, MTU=1400", [ip(flags="DF") / UDP(sport=40021, dport=58) / Raw(x(1420))]
    yield "UDP to the sender's own net: the router redirects to 10.77.1.9 and forwards", [ip(dst="10.77.1.9") / UDP(sport=40022, dport=59) / b"other way"]
    yield "UDP TOS: DSCP EF, ECN CE", [ip(tos=0xbb) / UDP(sport=40023, dport=60) / b"tos"]
    yield "UDP precedence 7, low delay, reserved IP flag (CE)", [ip(tos=0xf0, flags="evil") / UDP(sport=40024, dport=61) / b"evil"]
    yield "UDP with IP option router alert", [ip(options=[b"\x94\x04\x00\x00"]) / UDP(sport=40025, dport=62) / b"alert"]
    yield "UDP with IP options timestamp and record route, 40 bytes", [ip(options=b"\x44\x14\x05\x00" + bytes(16) + b"\x07\x13\x04" + bytes(16) + b"\x01") / UDP(sport=40026, dport=63) / b"rr"]
    yield "ICMP echo request", [ip() / ICMP(id=4711, seq=1) / x(48)]
    yield "ICMP echo reply", [ip() / ICMP(type=0, id=4711, seq=2) / x(8)]
    inner = IP(src=D4, dst=S4, id=1001, ttl=7, flags="DF")
    yield "ICMP port unreachable about UDP", [ip() / ICMP(type=3, code=3) / inner / UDP(sport=53, dport=40030) / b"abcd"]
    yield "ICMP host unreachable about TCP, 8 bytes of it (inner INCOMPLETE)", [ip() / ICMP(type=3, code=1) / Raw(raw(inner / TCP(sport=80, dport=40031, seq=5, flags="S"))[:28])]
    yield "ICMP unreachable about TCP, whole header", [ip() / ICMP(type=3, code=13) / inner / TCP(sport=80, dport=40032, seq=5, flags="S", options=syn)]
    yield "ICMP frag needed, MTU=1400", [ip() / ICMP(type=3, code=4, nexthopmtu=1400) / inner / UDP(sport=53, dport=40033) / b"abcd"]
    yield "ICMP unreachable about an ICMP echo (inner stops at TYPE CODE)", [ip() / ICMP(type=3, code=1) / inner / ICMP(id=9, seq=9) / b"abcd"]
    yield "ICMP unreachable about a last fragment of UDP", [ip() / ICMP(type=3, code=1) / IP(src=D4, dst=S4, id=1002, frag=64, proto=17) / b"abcdefgh"]
    yield "ICMP unreachable about GRE", [ip() / ICMP(type=3, code=2) / IP(src=D4, dst=S4, id=1003, proto=47) / b"abcdefgh"]
    yield "ICMP unreachable about a packet with IP options", [ip() / ICMP(type=3, code=1) / IP(src=D4, dst=S4, id=1004, options=[b"\x94\x04\x00\x00"]) / UDP(sport=53, dport=40034) / b"abcd"]
    yield "ICMP source quench", [ip() / ICMP(type=4) / inner / UDP(sport=53, dport=40035) / b"abcd"]
    yield "ICMP redirect, GATEWAY=", [ip() / ICMP(type=5, code=1, gw="10.77.1.254") / inner / UDP(sport=53, dport=40036) / b"abcd"]
    yield "ICMP time exceeded", [ip() / ICMP(type=11) / inner / UDP(sport=53, dport=40037) / b"abcd"]
    yield "ICMP parameter problem, PARAMETER=", [ip() / ICMP(type=12, ptr=20) / inner / UDP(sport=53, dport=40038) / b"abcd"]
    yield "ICMP timestamp request", [ip() / ICMP(type=13, id=3, seq=4) / x(12)]
    yield "ICMP router advertisement (nothing after CODE)", [ip() / ICMP(type=9) / x(8)]
    yield "ICMP type 200, unknown", [ip(proto=1) / Raw(b"\xc8\x05" + x(10))]
    yield "ICMP 4 bytes (INCOMPLETE)", [ip(proto=1) / Raw(b"\x08\x00\x12\x34")]
    yield "ICMP unreachable with nothing inside (INCOMPLETE)", [ip(proto=1) / Raw(b"\x03\x01\x12\x34\x00\x00\x00\x00")]
    yield "ICMP echo in two fragments", [ip(flags="MF", proto=1) / Raw(raw(ICMP(id=5, seq=5) / Raw(x(64)))[:40]), ip(frag=5, proto=1) / Raw(x(32))]
    yield "AH", [ip() / AH(nh=17, payloadlen=4, spi=0x1001, seq=1, icv=bytes(12)) / UDP(sport=1, dport=2)]
    yield "AH 6 bytes (INCOMPLETE)", [ip(proto=51) / Raw(x(6))]
    yield "AH, a last fragment (no PROTO at all)", [ip(proto=51, frag=9) / Raw(x(24))]
    yield "ESP", [ip() / ESP(spi=0xdeadbeef, seq=1, data=x(32))]
    yield "ESP 4 bytes (INCOMPLETE)", [ip(proto=50) / Raw(x(4))]
    yield "ESP, a last fragment", [ip(proto=50, frag=9) / Raw(x(24))]
    yield "GRE", [ip() / GRE(proto=0x0800) / IP(src="192.0.2.1", dst="192.0.2.2", id=1) / UDP()]
    yield "SCTP", [ip(proto=132) / Raw(struct.pack("!HHII", 1000, 2000, 0, 0) + x(8))]
    yield "IGMP report", [ip(proto=2) / Raw(b"\x16\x00\x00\x00\xe8\x01\x02\x03")]
    yield "DCCP", [ip(proto=33) / Raw(x(16))]
    yield "IP in IP", [ip(proto=4) / IP(src="192.0.2.1", dst="192.0.2.2", id=1) / UDP()]
    yield "IPv6 in IP", [ip(proto=41) / IPv6(src="2001:db8::1", dst="2001:db8::2") / UDP()]
    yield "protocol 0", [ip(proto=0) / Raw(x(8))]
    yield "protocol 255", [ip(proto=255) / Raw(x(8))]
    yield "UDP to 255.255.255.255, delivered", [ip(dst="255.255.255.255") / UDP(sport=68, dport=67) / b"dhcp?"]
    yield "UDP to 224.0.0.1, delivered", [ip(dst="224.0.0.1", ttl=1) / UDP(sport=40040, dport=5353) / b"mdns?"]

def forms6():
    def ip(dst=D6, **k):
        return IPv6(src=S6, dst=dst, **k)
    x = lambda n: bytes(i & 255 for i in range(n))
    syn = [("MSS", 1440), ("SAckOK", b""), ("Timestamp", (305419896, 0)), ("NOP", None), ("WScale", 7)]
    yield "TCP SYN with options", [ip() / TCP(sport=40001, dport=80, seq=4294967295, flags="S", window=64800, options=syn)]
    yield "TCP every flag and AE", [ip() / TCP(sport=40002, dport=81, flags=0x1ff, urgptr=513)]
    yield "TCP 13 bytes (INCOMPLETE)", [ip(nh=6) / Raw(x(13))]
    yield "TCP data offset beyond the end: OPT (TRUNCATED)", [ip(nh=6) / Raw(raw(TCP(sport=40003, dport=82, flags="A", dataofs=10))[:20])]
    yield "UDP", [ip() / UDP(sport=40004, dport=53) / b"hello"]
    yield "UDP traffic class 0xbb, hop limit 255", [ip(tc=0xbb, hlim=255) / UDP(sport=40005, dport=54) / b"hello"]
    yield "UDP with mark 0x2a set by raw PREROUTING rule 2", [ip(hlim=77) / UDP(sport=40006, dport=4242) / b"marked"]
    yield "UDP dropped by filter FORWARD rule 2", [ip(hlim=99) / UDP(sport=40007, dport=9) / b"discard"]
    yield "UDP 4 bytes (INCOMPLETE)", [ip(nh=17) / Raw(x(4))]
    yield "UDPLITE", [ip(nh=136) / Raw(struct.pack("!HHHH", 40008, 56, 8, 0x1234) + b"lite")]
    yield "UDP to the router, closed port: delivered, answered by port unreachable", [ip(dst=R6) / UDP(sport=40009, dport=33434) / b"probe"]
    yield "UDP with hop limit 1: the router answers time exceeded", [ip(hlim=1) / UDP(sport=40010, dport=33435) / b"probe"]
    yield "UDP too big for wan0: the router answers packet too big, MTU=1400", [ip() / UDP(sport=40011, dport=58) / Raw(x(1420))]
    yield "hop-by-hop (router alert), UDP", [ip() / IPv6ExtHdrHopByHop(options=[RouterAlert()]) / UDP(sport=40012, dport=59) / b"hbh"]
    yield "routing header type 4-like, segments left 0, UDP", [ip() / IPv6ExtHdrRouting(type=4, segleft=0, addresses=["2001:db8::1"]) / UDP(sport=40013, dport=60) / b"rh"]
    yield "destination options, UDP", [ip() / IPv6ExtHdrDestOpt(options=[PadN(optdata=bytes(10))]) / UDP(sport=40014, dport=61) / b"dst"]
    yield "hop-by-hop, destination options, routing, TCP", [ip() / IPv6ExtHdrHopByHop(options=[PadN(optdata=bytes(4))]) / IPv6ExtHdrDestOpt(options=[PadN(optdata=bytes(4))]) / IPv6ExtHdrRouting(type=4, segleft=0, addresses=["2001:db8::1"]) / TCP(sport=40015, dport=62, flags="S")]
    big = raw(UDP(sport=40016, dport=57, chksum=1) / Raw(x(600)))
    f = lambda o, m: IPv6ExtHdrFragment(nh=17, offset=o, m=m, id=0xabcdef01)
    yield "UDP in three fragments: first, middle, last", [ip() / f(0, 1) / Raw(big[:256]), ip() / f(32, 1) / Raw(big[256:512]), ip() / f(64, 0) / Raw(big[512:])]
    yield "UDP in an atomic fragment", [ip() / IPv6ExtHdrFragment(nh=17, offset=0, m=0, id=7) / UDP(sport=40017, dport=63) / b"atom"]
    yield "hop-by-hop and a first fragment, TCP with 8 bytes (INCOMPLETE)", [ip() / IPv6ExtHdrHopByHop(options=[PadN(optdata=bytes(4))]) / IPv6ExtHdrFragment(nh=6, offset=0, m=1, id=8) / Raw(x(8))]
    yield "AH, UDP", [ip(nh=51) / AH(nh=17, payloadlen=4, spi=0x1001, seq=1, icv=bytes(12)) / UDP(sport=40018, dport=64)]
    yield "AH in a last fragment", [ip() / IPv6ExtHdrFragment(nh=51, offset=9, m=0, id=9) / Raw(x(24))]
    yield "ESP", [ip(nh=50) / ESP(spi=0xdeadbeef, seq=1, data=x(32))]
    yield "destination options, ESP", [ip() / IPv6ExtHdrDestOpt(nh=50, options=[PadN(optdata=bytes(4))]) / ESP(spi=0xcafe, seq=1, data=x(32))]
    yield "no next header", [ip(nh=59)]
    yield "destination options, no next header", [ip() / IPv6ExtHdrDestOpt(nh=59, options=[PadN(optdata=bytes(4))])]
    yield "SCTP", [ip(nh=132) / Raw(struct.pack("!HHII", 1000, 2000, 0, 0) + x(8))]
    yield "GRE", [ip(nh=47) / Raw(b"\0\0\x08\0" + x(20))]
    yield "mobility header", [ip(nh=135) / Raw(b"\x3b\x01\x01\x00\x00\x00\x00\x00" + bytes(8))]
    yield "HIP", [ip(nh=139) / Raw(b"\x3b\x04" + bytes(38))]
    yield "IPv6 in IPv6", [ip(nh=41) / IPv6(src="2001:db8::1", dst="2001:db8::2") / UDP()]
    yield "ICMPv6 echo request", [ip() / ICMPv6EchoRequest(id=4711, seq=1, data=x(48))]
    yield "ICMPv6 echo reply", [ip() / ICMPv6EchoReply(id=4711, seq=2, data=x(8))]
    inner = IPv6(src=D6, dst=S6, hlim=7, fl=1001)
    yield "ICMPv6 port unreachable about UDP", [ip() / ICMPv6DestUnreach(code=4) / inner / UDP(sport=53, dport=40030) / b"abcd"]
    yield "ICMPv6 administratively prohibited about TCP", [ip() / ICMPv6DestUnreach(code=1) / inner / TCP(sport=80, dport=40031, flags="S", options=syn)]
    yield "ICMPv6 unreachable about an echo", [ip() / ICMPv6DestUnreach(code=0) / inner / ICMPv6EchoRequest(id=9, seq=9)]
    yield "ICMPv6 unreachable about a fragment of UDP", [ip() / ICMPv6DestUnreach(code=3) / inner / IPv6ExtHdrFragment(nh=17, offset=64, m=1, id=10) / b"abcdefgh"]
    yield "ICMPv6 unreachable with 20 bytes inside (TRUNCATED)", [ip(nh=58) / Raw(b"\x01\x00\x12\x34\x00\x00\x00\x00" + x(20))]
    yield "ICMPv6 packet too big, MTU=1400", [ip() / ICMPv6PacketTooBig(mtu=1400) / inner / UDP(sport=53, dport=40032) / b"abcd"]
    yield "ICMPv6 time exceeded", [ip() / ICMPv6TimeExceeded(code=0) / inner / UDP(sport=53, dport=40033) / b"abcd"]
    yield "ICMPv6 parameter problem, POINTER=", [ip() / ICMPv6ParamProblem(code=1, ptr=40) / inner / UDP(sport=53, dport=40034) / b"abcd"]
    yield "ICMPv6 3 bytes (INCOMPLETE)", [ip(nh=58) / Raw(b"\x80\x00\x12")]
    yield "ICMPv6 echo, 6 bytes (INCOMPLETE)", [ip(nh=58) / Raw(b"\x80\x00\x12\x34\x00\x01")]
    yield "ICMPv6 type 200, unknown", [ip(nh=58) / Raw(b"\xc8\x05\x12\x34" + x(8))]
    yield "neighbour solicitation for the router, delivered", [IPv6(src=S6, dst="ff02::1:ff00:1", hlim=255) / ICMPv6ND_NS(tgt=R6) / ICMPv6NDOptSrcLLAddr(lladdr="52:54:00:77:01:02")]
    yield "neighbour advertisement to the router, delivered", [IPv6(src=S6, dst=R6, hlim=255) / ICMPv6ND_NA(tgt=S6, R=0, S=1)]
    yield "router solicitation, delivered", [IPv6(src="fe80::77", dst="ff02::2", hlim=255) / ICMPv6ND_RS()]
    yield "router advertisement, delivered", [IPv6(src="fe80::77", dst="ff02::1", hlim=255) / ICMPv6ND_RA(routerlifetime=0)]
    yield "MLD report behind hop-by-hop, delivered", [IPv6(src="fe80::77", dst="ff02::16", hlim=1) / IPv6ExtHdrHopByHop(options=[RouterAlert()]) / ICMPv6MLReport2()]

def mac(s):
    return bytes.fromhex(s.replace(":", ""))

def send(forms, iface, dst, src, table, six):
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    s.bind((iface, 0))
    with open(table, "w") as t:
        for n, (what, packets) in enumerate(forms, 1):
            t.write("%d\t%s\n" % (n, what))
            for p in packets:
                if six:
                    p.fl = n
                    to = mac(dst) if not p.dst.startswith("ff") else b"\x33\x33" + socket.inet_pton(socket.AF_INET6, p.dst)[-4:]
                    s.send(to + mac(src) + b"\x86\xdd" + raw(p))
                else:
                    p.id = n
                    to = {"255.255.255.255": b"\xff" * 6, "224.0.0.1": b"\x01\x00\x5e\x00\x00\x01"}.get(p.dst, mac(dst))
                    s.send(to + mac(src) + b"\x08\x00" + raw(p))
                time.sleep(0.012)

def tun(name, tap, link=None):
    fd = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(fd, 0x400454ca, struct.pack("16sH22x", name.encode(), (2 if tap else 1) | 0x1000))     # TUNSETIFF, IFF_NO_PI
    address = open("/sys/class/net/%s/address" % name).read().strip() if tap else ""
    if link:
        fcntl.ioctl(fd, 0x400454cd, link)                                                               # TUNSETLINK
    os.system("ip link set %s up" % name)
    return fd, address

def main():
    what, a = sys.argv[1], sys.argv[2:]
    if what in ("send4", "send6"):
        send(forms4() if what == "send4" else forms6(), a[0], a[1], a[2], a[3], what == "send6")
    elif what in ("tun4", "tun6"):
        fd, _ = tun(a[0], False)
        time.sleep(0.1)
        if what == "tun4":
            os.write(fd, raw(IP(src="10.77.9.9", dst=D4, id=900) / UDP(sport=40900, dport=70) / b"from a tunnel"))
        else:
            os.write(fd, raw(IPv6(src="fd77:9::9", dst=D6, fl=900) / UDP(sport=40900, dport=70) / b"from a tunnel"))
        time.sleep(0.3)
    elif what == "sit6":
        fd, here = tun(a[0], True, 776)
        time.sleep(0.1)
        os.write(fd, mac(here) + mac("02:00:00:00:09:0a") + b"\x86\xdd" + raw(IPv6(src="fd77:a::a", dst=D6, fl=901) / UDP(sport=40901, dport=71) / b"from sit"))
        time.sleep(0.3)
    elif what == "vlan":
        s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        s.bind((a[0], 0))
        s.send(raw(Ether(dst=a[1], src=a[2]) / Dot1Q(vlan=42, prio=3) / IP(src=a[3], dst=a[4], id=902) / UDP(sport=40902, dport=72) / b"tagged"))
    elif what == "ports":
        s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        s.bind((a[0], 0))
        for port in a[5:]:
            if port == "short":
                p = IP(src=a[3], dst=a[4], id=9999, proto=17) / Raw(b"\x9c\x40\x03\xe8")
            else:
                p = IP(src=a[3], dst=a[4], id=int(port)) / UDP(sport=40000, dport=int(port)) / b"trap"
            s.send(mac(a[1]) + mac(a[2]) + b"\x08\x00" + raw(p))
            time.sleep(0.012)
    elif what == "flood":
        os.sched_setaffinity(0, {int(a[7])})
        s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        s.bind((a[0], 0))
        frames = [mac(a[1]) + mac(a[2]) + b"\x08\x00" + raw(IP(src=a[3], dst=a[4], id=n) / UDP(sport=40000 + int(a[7]), dport=int(a[5])) / (b"%06d" % n))
                  for n in range(1, int(a[6]) + 1)]
        at = (time.monotonic_ns() // 1000000000 + 1) * 1000000000        # all senders start on the same second
        for f in frames:
            while time.monotonic_ns() < at:
                pass
            s.send(f)
            at += int(a[8]) * 1000
    elif what == "arrived":
        seen = set()
        for p in rdpcap(a[0]):
            n = p.payload
            if isinstance(n, IPv6):
                seen.add(n.fl)
            elif isinstance(n, IP):
                seen.add(n.id)
        print("\n".join(str(n) for n in sorted(seen)))

main()
