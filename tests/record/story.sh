# The port forward that libvirt's rules reject: machines, rules and traffic, for the recorders that tell it in different clothes.
# Sourced after lib.sh.
story_net() {
    ns_add client; ns_add router; ns_add vm; ns_add vm2
    for n in client router vm vm2; do ns_no6 $n; done
    veth router em1 52:54:00:32:69:1e client eth0 52:54:00:24:07:0b
    inns router ip addr add 10.32.105.30/24 dev em1
    inns client ip addr add 10.32.105.1/24 dev eth0
    inns client ip addr add 10.36.7.11/32 dev lo
    inns client ip route add default via 10.32.105.30 src 10.36.7.11
    inns client sysctl -qw net.ipv4.ip_default_ttl=59
    inns router ip route add default via 10.32.105.1
    inns router sysctl -qw net.ipv4.ip_forward=1 net.bridge.bridge-nf-call-iptables=0 net.bridge.bridge-nf-call-arptables=0
}

# the bridge and its first machine (a function of its own: its kernel messages belong to the log)
story_bridge() {
    inns router ip link add virbr1 address 52:54:00:a1:01:01 type bridge stp_state 0 forward_delay 0
    inns router ip addr add 192.168.101.1/24 dev virbr1
    inns router ip link set virbr1 up
    veth router vnet0 fe:54:00:65:0a:10 vm eth0 52:54:00:65:0a:10
    inns router ip link set vnet0 master virbr1
    inns vm ip addr add 192.168.101.10/24 dev eth0
    inns vm ip route add default via 192.168.101.1
}

# story_rules: for iptables-restore
story_rules() {
    cat <<'R'
*raw
:PREROUTING ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
-A PREROUTING -i em1 -j TRACE
-A PREROUTING -s 192.168.101.10/32 -i virbr1 -j TRACE
-A OUTPUT -o em1 -p tcp -m tcp --sport 22 -j TRACE
COMMIT
*mangle
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:FORWARD_direct - [0:0]
:INPUT_direct - [0:0]
:OUTPUT_direct - [0:0]
:POSTROUTING_direct - [0:0]
:PREROUTING_ZONES - [0:0]
:PREROUTING_ZONES_SOURCE - [0:0]
:PREROUTING_direct - [0:0]
:PRE_public - [0:0]
:PRE_public_allow - [0:0]
:PRE_public_deny - [0:0]
:PRE_public_log - [0:0]
-A PREROUTING -j PREROUTING_direct
-A PREROUTING -j PREROUTING_ZONES_SOURCE
-A PREROUTING -j PREROUTING_ZONES
-A INPUT -j INPUT_direct
-A FORWARD -j FORWARD_direct
-A OUTPUT -j OUTPUT_direct
-A POSTROUTING -o virbr1 -p udp -m udp --dport 68 -j CHECKSUM --checksum-fill
-A POSTROUTING -j POSTROUTING_direct
-A PREROUTING_ZONES -i em1 -g PRE_public
-A PREROUTING_ZONES -g PRE_public
-A PRE_public -j PRE_public_log
-A PRE_public -j PRE_public_deny
-A PRE_public -j PRE_public_allow
COMMIT
*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:OUTPUT_direct - [0:0]
:POSTROUTING_direct - [0:0]
:PREROUTING_ZONES - [0:0]
:PREROUTING_ZONES_SOURCE - [0:0]
:PREROUTING_direct - [0:0]
:PRE_public - [0:0]
:PRE_public_allow - [0:0]
:PRE_public_deny - [0:0]
:PRE_public_log - [0:0]
-A PREROUTING -j PREROUTING_direct
-A PREROUTING -j PREROUTING_ZONES_SOURCE
-A PREROUTING -j PREROUTING_ZONES
-A OUTPUT -j OUTPUT_direct
-A POSTROUTING -s 192.168.101.0/24 -d 224.0.0.0/24 -j RETURN
-A POSTROUTING -s 192.168.101.0/24 -d 255.255.255.255/32 -j RETURN
-A POSTROUTING -s 192.168.101.0/24 ! -d 192.168.101.0/24 -p tcp -j MASQUERADE --to-ports 1024-65535
-A POSTROUTING -s 192.168.101.0/24 ! -d 192.168.101.0/24 -p udp -j MASQUERADE --to-ports 1024-65535
-A POSTROUTING -s 192.168.101.0/24 ! -d 192.168.101.0/24 -j MASQUERADE
-A POSTROUTING -j POSTROUTING_direct
-A PREROUTING_ZONES -i em1 -g PRE_public
-A PREROUTING_ZONES -g PRE_public
-A PREROUTING_direct -d 10.32.105.30/32 -p tcp -m tcp --dport 80 -j DNAT --to-destination 192.168.101.10:80
-A PRE_public -j PRE_public_log
-A PRE_public -j PRE_public_deny
-A PRE_public -j PRE_public_allow
COMMIT
*filter
:INPUT DROP [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:FORWARD_direct - [0:0]
:INPUT_ZONES - [0:0]
:INPUT_direct - [0:0]
:IN_public - [0:0]
:IN_public_allow - [0:0]
:IN_public_deny - [0:0]
:IN_public_log - [0:0]
:OUTPUT_direct - [0:0]
-A INPUT -i virbr1 -p udp -m udp --dport 53 -j ACCEPT
-A INPUT -i virbr1 -p udp -m udp --dport 67 -j ACCEPT
-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A INPUT -i lo -j ACCEPT
-A INPUT -j INPUT_direct
-A INPUT -j INPUT_ZONES
-A INPUT -p icmp -j ACCEPT
-A INPUT -m limit --limit 10/min -j LOG --log-prefix "INPUT_dropped: "
-A FORWARD -d 192.168.122.0/24 -o virbr0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -s 192.168.122.0/24 -i virbr0 -j ACCEPT
-A FORWARD -i virbr0 -o virbr0 -j ACCEPT
-A FORWARD -o virbr0 -j REJECT --reject-with icmp-port-unreachable
-A FORWARD -d 192.168.101.0/24 -o virbr1 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FORWARD -s 192.168.101.0/24 -i virbr1 -j ACCEPT
-A FORWARD -o virbr1 -j REJECT --reject-with icmp-port-unreachable
-A FORWARD -i virbr1 -j REJECT --reject-with icmp-port-unreachable
-A FORWARD -j FORWARD_direct
-A OUTPUT -o virbr1 -p udp -m udp --dport 68 -j ACCEPT
-A OUTPUT -j OUTPUT_direct
-A INPUT_ZONES -i em1 -g IN_public
-A INPUT_ZONES -g IN_public
-A IN_public -j IN_public_log
-A IN_public -j IN_public_deny
-A IN_public -j IN_public_allow
-A IN_public_allow -p tcp -m tcp --dport 22 -m conntrack --ctstate NEW -j ACCEPT
COMMIT
R
}

# sets web, ssh, ping to what the peers said; $TMP/http is what the web server saw
story_traffic() {
    bgpeer router serve 10.32.105.30 22 1 "SSH-2.0-OpenSSH_9.2" > "$TMP/ssh"; S=$BG
    bgpeer vm serve 192.168.101.10 80 1 "hello" > "$TMP/http"; H=$BG
    sleep 0.6
    web=$(peer client connect 10.32.105.30 80 10.36.7.11 54451)
    sleep 1.1
    ssh=$(peer client connect 10.32.105.30 22 10.36.7.11 40622)
    sleep 0.9
    # a second machine starts: the bridge says so in the same log
    veth router vnet1 fe:54:00:65:0b:11 vm2 eth0 52:54:00:65:0b:11
    inns router ip link set vnet1 master virbr1
    sleep 0.2
    peer client udp 10.32.105.30 5353 10.36.7.11 33434 "who is there"
    sleep 1
    ping=$(peer vm ping 10.36.7.11 - 1 4711)
    sleep 0.3
}
