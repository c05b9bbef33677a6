"""Small peers for the recorders: ordinary sockets, bounded in count and time.

peer.py serve ADDR PORT N [TEXT]         accept N connections, send TEXT, wait for the other side to close
peer.py connect ADDR PORT [SRC SPORT [TEXT]]   connect, send TEXT, read to the end; prints connected / refused / timeout
peer.py udp ADDR PORT SRC SPORT TEXT [N]  send N datagrams
peer.py udpserve ADDR PORT N [reply]      receive N datagrams, print them, answer if asked
peer.py ping ADDR [SRC] [N] [ID]          echo requests, prints how many were answered
"""
import os, socket, struct, sys, time

def fam(a):
    return socket.AF_INET6 if ":" in a else socket.AF_INET

def csum(b):
    s = sum(struct.unpack("!%dH" % (len(b) // 2), b))
    while s >> 16:
        s = (s & 0xffff) + (s >> 16)
    return ~s & 0xffff

def main():
    what, a = sys.argv[1], sys.argv[2:]
    if what == "serve":
        s = socket.socket(fam(a[0]))
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind((a[0], int(a[1])))
        s.listen(8)
        s.settimeout(20)
        print("listening", flush=True)
        for _ in range(int(a[2])):
            c, who = s.accept()
            c.settimeout(5)
            if len(a) > 3:
                c.sendall(a[3].encode() + b"\r\n")
            n = 0
            while True:
                d = c.recv(4096)
                if not d:
                    break
                n += len(d)
            c.close()
            print("served %s:%d, %d bytes" % (who[0], who[1], n), flush=True)
    elif what == "connect":
        s = socket.socket(fam(a[0]))
        s.settimeout(4)
        if len(a) > 3:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            s.bind((a[2], int(a[3])))
        try:
            s.connect((a[0], int(a[1])))
        except ConnectionRefusedError:
            print("refused"); return
        except TimeoutError:
            print("timeout"); return
        except OSError as e:
            print("error", e.strerror); return
        if len(a) > 4:
            s.sendall(a[4].encode() + b"\r\n")
        else:
            s.recv(200)
        time.sleep(0.05)
        s.close()
        print("connected")
    elif what == "udp":
        s = socket.socket(fam(a[0]), socket.SOCK_DGRAM)
        s.bind((a[2], int(a[3])))
        for i in range(int(a[5]) if len(a) > 5 else 1):
            s.sendto(a[4].encode(), (a[0], int(a[1])))
            time.sleep(0.02)
    elif what == "udpserve":
        s = socket.socket(fam(a[0]), socket.SOCK_DGRAM)
        s.bind((a[0], int(a[1])))
        s.settimeout(15)
        print("listening", flush=True)
        for _ in range(int(a[2])):
            d, who = s.recvfrom(4096)
            print("got %d bytes from %s:%d" % (len(d), who[0], who[1]), flush=True)
            if len(a) > 3:
                s.sendto(b"re: " + d, who)
    elif what == "ping":
        six = ":" in a[0]
        s = socket.socket(fam(a[0]), socket.SOCK_RAW, socket.IPPROTO_ICMPV6 if six else socket.IPPROTO_ICMP)
        if len(a) > 1 and a[1] != "-":
            s.bind((a[1], 0))
        n = int(a[2]) if len(a) > 2 else 1
        ident = int(a[3]) if len(a) > 3 else 77
        s.settimeout(1)
        got = 0
        for i in range(1, n + 1):
            h = struct.pack("!BBHHH", 128 if six else 8, 0, 0, ident, i)
            d = bytes(range(48))
            if not six:
                h = struct.pack("!BBHHH", 8, 0, csum(h + d), ident, i)
            s.sendto(h + d, (a[0], 0))
            end = time.monotonic() + 1
            while time.monotonic() < end:
                try:
                    r = s.recv(2000)
                except TimeoutError:
                    break
                r = r if six else r[(r[0] & 15) * 4:]
                if r[0] == (129 if six else 0) and r[4:8] == h[4:8]:
                    got += 1
                    break
        print("answered %d of %d" % (got, n))

main()
