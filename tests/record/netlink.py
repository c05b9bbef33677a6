"""Records what the kernel says on one netlink socket that is at once the listener of NFLOG group 0 and a member of
NFTRACE: the datagrams as they came. Run it in the namespace to trace.

netlink.py OUT RULESET STOP [GROUP0-FLAGS]

RULESET: an nft script that arms, as `nft -f` reads it, with a table of `flags owner`: libnftables loads it on a
second socket, which lives as long as we do. Ends when the file STOP exists, at the latest after
30 seconds. OUT, all numbers little-endian, text UTF-8:

    "FWNL1\n"                              what follows was recorded by a little-endian machine
    'D' u32 ifindex u32 size name          one for each interface, as the recording began
    'M' u64 usec u32 size bytes            one for each recv(): when it was read (since 1970), and what
"""
import ctypes, os, socket, struct, sys, time

NETLINK_NETFILTER, SOL_NETLINK, ADD_MEMBERSHIP, SO_RCVBUFFORCE, NFTRACE = 12, 270, 1, 33, 9
out, ruleset, stop = sys.argv[1:4]
flags = int(sys.argv[4]) if len(sys.argv) > 4 else 1  # NFULNL_CFG_F_SEQ

s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_NETFILTER)
s.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 4 << 20)
s.bind((0, 0))
s.settimeout(0.1)

def attr(kind, data):
    return struct.pack("=HH", 4 + len(data), kind) + data + bytes(-len(data) % 4)

def config(family, *attrs):  # NFULNL_MSG_CONFIG of group 0, acknowledged
    body = struct.pack("=BBH", family, 0, 0) + b"".join(attrs)
    s.send(struct.pack("=IHHII", 16 + len(body), 4 << 8 | 1, 5, 1, 0) + body)
    answer = s.recv(65536)
    error = struct.unpack_from("=i", answer, 16)[0]
    if error:
        sys.exit("netlink.py: nfnetlink_log refused: " + os.strerror(-error))

config(socket.AF_UNSPEC, attr(1, struct.pack("=B", 1)))                      # NFULA_CFG_CMD: bind
config(socket.AF_UNSPEC, attr(2, struct.pack(">IBB", 128, 2, 0)))            # NFULA_CFG_MODE: copy 128 bytes
config(socket.AF_UNSPEC, attr(6, struct.pack(">H", flags)))                  # NFULA_CFG_FLAGS
for family, name in ((2, "nf_log/2"), (10, "nf_log/10")):                    # of this namespace only
    with open("/proc/sys/net/netfilter/" + name, "w") as f:
        f.write("nfnetlink_log")
s.setsockopt(SOL_NETLINK, ADD_MEMBERSHIP, NFTRACE)

nft = ctypes.CDLL("libnftables.so.1")
nft.nft_ctx_new.restype = ctypes.c_void_p
nft.nft_run_cmd_from_filename.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
owner = nft.nft_ctx_new(0)
if nft.nft_run_cmd_from_filename(owner, ruleset.encode()):
    sys.exit("netlink.py: the arming table was refused")

with open(out, "wb") as f:
    f.write(b"FWNL1\n")
    for index, name in socket.if_nameindex():
        f.write(b"D" + struct.pack("<II", index, len(name)) + name.encode())
    f.flush()
    print("armed", flush=True)
    end = time.time() + 30
    while time.time() < end:
        try:
            data = s.recv(65536)
        except TimeoutError:
            if os.path.exists(stop):
                break
            continue
        f.write(b"M" + struct.pack("<QI", int(time.time() * 1e6), len(data)) + data)
