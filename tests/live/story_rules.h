// The story's firewall as each rule system writes it: libvirt-like chains, a port forward, masquerading, REJECT; jumps, a
// goto, RETURN, marks, states, comments. All of it speaks of TCP, so that the machines' own chatter moves no counter.
// Texts for fmt::format: {0} the router, {1} the server, {2} the guests' network, {3} a network without packets, {4} the
// server as it stands before a port.
#pragma once

namespace fwtrace::live {

inline constexpr const char* kIptablesNat = R"(*nat
-N LIBVIRT_PRT
-A PREROUTING -d {0} -p tcp -m tcp --dport 8080 -m comment --comment "port forward" -j DNAT --to-destination {4}:80
-A POSTROUTING -p tcp -j LIBVIRT_PRT
-A LIBVIRT_PRT -s {2} -d {3} -j RETURN
-A LIBVIRT_PRT -s {2} ! -d {2} -p tcp -j MASQUERADE --to-ports 1024-65535
-A LIBVIRT_PRT -s {2} ! -d {2} -j MASQUERADE
COMMIT
)";
inline constexpr const char* kIptables = R"(*raw
-A PREROUTING -p tcp -m comment --comment "raw sees it" -j ACCEPT
-A OUTPUT -p udp -j DROP
-A OUTPUT -p tcp
COMMIT
*mangle
-N PASS
-A PREROUTING -p tcp -j MARK --set-xmark 0x7/0xff
-A INPUT -p tcp -m mark --mark 0x7/0xff
-A FORWARD -p tcp -j PASS
-A OUTPUT -p tcp -j MARK --set-xmark 0x9/0xff
-A POSTROUTING -p tcp -m mark --mark 0x7/0xff -j PASS
-A POSTROUTING -p tcp -m mark --mark 0x9/0xff -m comment --comment "our own" -j ACCEPT
-A PASS -s {3} -j DROP
-A PASS -m mark --mark 0x7/0xff -j RETURN
-A PASS -j DROP
COMMIT
*filter
-N LIBVIRT_INP
-N LIBVIRT_FWX
-N LIBVIRT_FWI
-N LIBVIRT_FWO
-N LIBVIRT_OUT
-N SERVICES
-A INPUT -p tcp -j LIBVIRT_INP
-A INPUT -p tcp -m conntrack --ctstate RELATED,ESTABLISHED -m comment --comment "known already" -j ACCEPT
-A INPUT -p tcp -m tcp --dport 2200:2299 -g SERVICES
-A INPUT -p tcp -j DROP
-A FORWARD -p tcp -j LIBVIRT_FWX
-A FORWARD -p tcp -j LIBVIRT_FWI
-A FORWARD -p tcp -j LIBVIRT_FWO
-A FORWARD -p tcp -j DROP
-A OUTPUT -p tcp -j LIBVIRT_OUT
-A OUTPUT -p tcp -m conntrack --ctstate NEW
-A LIBVIRT_INP -i virbr1 -p udp -m udp --dport 53 -j ACCEPT
-A LIBVIRT_INP -s {3} -j RETURN
-A LIBVIRT_FWX -i virbr1 -o virbr1 -m comment --comment "between guests" -j ACCEPT
-A LIBVIRT_FWI -d {1} -o virbr1 -p tcp -m tcp --dport 80 -m comment --comment "the web, \"open\"" -j ACCEPT
-A LIBVIRT_FWI -d {2} -o virbr1 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A LIBVIRT_FWI -o virbr1 -p tcp -m tcp --dport 82 -j REJECT --reject-with tcp-reset
-A LIBVIRT_FWI -o virbr1 -j REJECT
-A LIBVIRT_FWO -s {2} -i virbr1 -j ACCEPT
-A LIBVIRT_FWO -i virbr1 -j REJECT
-A LIBVIRT_OUT -o virbr1 -p udp -m udp --dport 68 -j ACCEPT
-A LIBVIRT_OUT -j RETURN
-A SERVICES -p tcp -m tcp --dport 2201 -j DROP
-A SERVICES -m comment --comment "a service" -j ACCEPT
COMMIT
)";
// The same for nft. {5} is "ip" or "ip6"; {6} the table's family.
inline constexpr const char* kNftNat = R"(table {6} fwnat {{
  chain pre {{ type nat hook prerouting priority -100; policy accept;
    {5} daddr {0} tcp dport 8080 counter dnat to {4}:80 comment "port forward"; }}
  chain guests {{
    {5} saddr {2} {5} daddr {3} counter return
    {5} saddr {2} {5} daddr != {2} meta l4proto tcp counter masquerade to :1024-65535
    {5} saddr {2} {5} daddr != {2} counter masquerade; }}
  chain post {{ type nat hook postrouting priority 100; policy accept;
    meta l4proto tcp counter jump guests; }}
}}
)";
inline constexpr const char* kNft = R"(table bridge fwbridge {{
  chain ports {{ type filter hook forward priority 0; policy accept;
    tcp dport 5000 counter comment "from port to port"
    meta l4proto tcp counter accept; }}
  chain up {{ type filter hook input priority 0; policy accept;
    meta l4proto tcp counter; }}
  chain down {{ type filter hook output priority 0; policy accept;
    meta l4proto tcp counter; }}
}}
table inet fw {{
  chain early {{ type filter hook prerouting priority -300; policy accept;
    meta l4proto tcp counter accept comment "raw sees it"; }}
  chain marks {{ type filter hook prerouting priority -150; policy accept;
    meta l4proto tcp counter meta mark set 0x7
    meta l4proto tcp meta mark 0x7 accept; }}
  chain inp {{
    iifname "virbr1" udp dport 53 counter accept
    {5} saddr {3} counter return; }}
  chain services {{
    tcp dport 2201 counter drop
    tcp dport vmap {{ 2201 : drop, 2202 : drop }}
    tcp dport {{ 2200, 2222 }} counter accept comment "a service"; }}
  chain input {{ type filter hook input priority 0; policy accept;
    meta l4proto tcp counter jump inp
    meta l4proto tcp ct state established,related counter accept comment "known already"
    tcp dport 2200-2299 counter goto services
    meta l4proto tcp counter drop; }}
  chain fwx {{
    iifname "virbr1" oifname "virbr1" counter accept comment "between guests"; }}
  chain fwi {{
    oifname "virbr1" {5} daddr {1} tcp dport 80 counter accept comment "the web"
    oifname "virbr1" {5} daddr {2} ct state established,related counter accept
    oifname "virbr1" tcp dport 82 counter reject with tcp reset
    oifname "virbr1" counter reject; }}
  chain fwo {{
    iifname "virbr1" {5} saddr {2} counter accept
    iifname "virbr1" counter reject; }}
  chain pass {{
    {5} saddr {3} counter drop
    meta mark 0x7 counter return
    counter drop; }}
  chain forward {{ type filter hook forward priority 0; policy accept;
    meta l4proto tcp counter jump pass
    meta l4proto tcp counter jump fwx
    meta l4proto tcp counter jump fwi
    meta l4proto tcp counter jump fwo
    meta l4proto tcp counter drop; }}
  chain output {{ type filter hook output priority 0; policy accept;
    meta l4proto tcp counter meta mark set 0x9
    meta l4proto tcp ct state new counter; }}
  chain post {{ type filter hook postrouting priority -150; policy accept;
    meta l4proto tcp meta mark 0x9 counter accept comment "our own"
    meta l4proto tcp counter; }}
}}
)";

}  // namespace fwtrace::live
