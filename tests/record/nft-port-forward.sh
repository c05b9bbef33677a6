#!/bin/bash
# nft/port-forward: the story with a native nft ruleset, seen by nft monitor trace.
. "$(dirname "$0")/lib.sh"
. "$RECORD_DIR/story.sh"
D=$OUT/nft; mkdir -p "$D"
story_net
story_bridge
inns router nft -f - <<'R'
table inet trace_me {
    chain in {
        type filter hook prerouting priority -350; policy accept;
        iifname "em1" meta nftrace set 1
        iifname "virbr1" ip saddr 192.168.101.10 meta nftrace set 1
    }
    chain out {
        type filter hook output priority -350; policy accept;
        oifname "em1" tcp sport 22 meta nftrace set 1
    }
}
table inet firewalld {
    chain mangle_PREROUTING {
        type filter hook prerouting priority mangle + 10; policy accept;
        jump mangle_PREROUTING_ZONES
    }
    chain mangle_PREROUTING_ZONES {
        iifname "em1" goto mangle_PRE_public
        goto mangle_PRE_public
    }
    chain mangle_PRE_public {
        jump mangle_PRE_public_deny
        jump mangle_PRE_public_allow
    }
    chain mangle_PRE_public_deny { }
    chain mangle_PRE_public_allow { }
    chain nat_PREROUTING {
        type nat hook prerouting priority dstnat + 10; policy accept;
        jump nat_PREROUTING_ZONES
    }
    chain nat_PREROUTING_ZONES {
        iifname "em1" goto nat_PRE_public
        goto nat_PRE_public
    }
    chain nat_PRE_public {
        jump nat_PRE_public_allow
    }
    chain nat_PRE_public_allow {
        ip daddr 10.32.105.30 tcp dport 80 dnat ip to 192.168.101.10:80
    }
    chain filter_INPUT {
        type filter hook input priority filter + 10; policy drop;
        ct state vmap { established : accept, related : accept, invalid : drop }
        iifname "lo" accept
        jump filter_INPUT_ZONES
        meta l4proto icmp accept
        limit rate 10/minute log prefix "INPUT_dropped: "
    }
    chain filter_INPUT_ZONES {
        iifname "em1" goto filter_IN_public
        goto filter_IN_public
    }
    chain filter_IN_public {
        jump filter_IN_public_deny
        jump filter_IN_public_allow
    }
    chain filter_IN_public_deny { }
    chain filter_IN_public_allow {
        tcp dport 22 ct state new accept
    }
}
table ip libvirt_network {
    chain forward {
        type filter hook forward priority filter; policy accept;
        counter jump guest_cross
        counter jump guest_input
        counter jump guest_output
    }
    chain guest_output {
        ip saddr 192.168.101.0/24 iif "virbr1" counter accept
        iif "virbr1" counter reject
    }
    chain guest_input {
        oif "virbr1" ip daddr 192.168.101.0/24 ct state established,related counter accept
        oif "virbr1" counter reject with icmp port-unreachable
    }
    chain guest_cross {
        iif "virbr1" oif "virbr1" counter accept
    }
    chain guest_nat {
        type nat hook postrouting priority srcnat; policy accept;
        ip saddr 192.168.101.0/24 ip daddr 224.0.0.0/24 counter return
        meta l4proto tcp ip saddr 192.168.101.0/24 ip daddr != 192.168.101.0/24 counter masquerade to :1024-65535
        ip saddr 192.168.101.0/24 ip daddr != 192.168.101.0/24 counter masquerade
    }
}
R
bgns router stdbuf -oL nft monitor trace > "$D/port-forward.trace"; M=$BG
bgns router stdbuf -oL nft -nn monitor trace > "$D/port-forward-nn.trace"; N=$BG
sleep 0.5
story_traffic
sleep 0.3
stop $M; stop $N
inns router nft -a list ruleset > "$D/port-forward.rules"
inns router nft -j -a list ruleset > "$D/port-forward.rules.json"
expect "web connection" refused "$web"
expect "ssh connection" connected "$ssh"
expect "ping" "answered 1 of 1" "$ping"
for r in 'oif "virbr1" counter packets 1 bytes [0-9]* reject' 'established,related counter packets 1 ' \
         'iif "virbr1" counter packets 1 bytes [0-9]* accept' '!= 192.168.101.0/24 counter packets 1 bytes [0-9]* masquerade #'; do
    grep -q "$r" "$D/port-forward.rules" || { echo "$0: not counted once: $r" >&2; exit 1; }
done
expect "web server saw nobody" "listening" "$(cat "$TMP/http")"
cat > "$D/port-forward.about" <<A
The story of demo/port-forward in nft clothes (tables of the shape that firewalld and libvirt write today), as nft monitor trace printed it (port-forward-nn.trace: nft -nn monitor
trace, the same events). The four things are the same: (1) TCP SYN 10.36.7.11:54451 to 10.32.105.30:80, dnat in inet firewalld nat_PRE_public_allow, rejected in ip libvirt_network
guest_input (second rule), client told "connection refused"; (2) ssh from port 40622: delivered (inet firewalld filter_IN_public_allow, then by the ct state vmap), replies sent by policy; (3) UDP 33434 to
5353: logged, then dropped by the policy of filter_INPUT; (4) ping from 192.168.101.10: accepted in guest_output, masqueraded in guest_nat, the reply accepted in guest_input. 12 packets
traced, $(grep -c '^trace id' "$D/port-forward.trace") lines. port-forward.rules is nft -a list ruleset after the traffic (counters), .json the same by nft -j. Checked by the peers and by the counters. $(versions)
A
