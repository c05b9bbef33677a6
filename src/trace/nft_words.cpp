#include "trace/nft_words.h"

#include <algorithm>
#include <array>
#include <span>

#include "base/text.h"
#include "packet/packet.h"

namespace fwtrace::trace {
namespace {

struct Row {
  std::string_view name;
  std::uint16_t number;
};

constexpr auto kDscp = std::to_array<Row>({
    {"cs0", 0x00},   {"cs1", 0x08},  {"cs2", 0x10},  {"cs3", 0x18},  {"cs4", 0x20},
    {"cs5", 0x28},   {"cs6", 0x30},  {"cs7", 0x38},  {"df", 0x00},   {"be", 0x00},
    {"lephb", 0x01}, {"af11", 0x0a}, {"af12", 0x0c}, {"af13", 0x0e}, {"af21", 0x12},
    {"af22", 0x14},  {"af23", 0x16}, {"af31", 0x1a}, {"af32", 0x1c}, {"af33", 0x1e},
    {"af41", 0x22},  {"af42", 0x24}, {"af43", 0x26}, {"va", 0x2c},   {"ef", 0x2e},
});
constexpr auto kEcn = std::to_array<Row>({{"not-ect", 0}, {"ect1", 1}, {"ect0", 2}, {"ce", 3}});
constexpr auto kEtherTypes = std::to_array<Row>({
    {"ip", 0x0800},
    {"arp", 0x0806},
    {"vlan", 0x8100},
    {"8021q", 0x8100},
    {"ip6", 0x86dd},
    {"8021ad", 0x88a8},
});
constexpr auto kArpOperations = std::to_array<Row>({
    {"request", 1},
    {"reply", 2},
    {"rrequest", 3},
    {"rreply", 4},
    {"inrequest", 8},
    {"inreply", 9},
    {"nak", 10},
});
// /etc/protocols, as far as packet::parse_protocol does not know it; nft asks getprotobynumber().
constexpr auto kProtocols = std::to_array<Row>({
    {"ip", 0},
    {"hopopt", 0},
    {"ggp", 3},
    {"ipencap", 4},
    {"ipv4", 4},
    {"st", 5},
    {"egp", 8},
    {"igp", 9},
    {"pup", 12},
    {"hmp", 20},
    {"xns-idp", 22},
    {"rdp", 27},
    {"iso-tp4", 29},
    {"dccp", 33},
    {"xtp", 36},
    {"ddp", 37},
    {"idpr-cmtp", 38},
    {"ipv6", 41},
    {"ipv6-route", 43},
    {"ipv6-frag", 44},
    {"idrp", 45},
    {"rsvp", 46},
    {"skip", 57},
    {"ipv6-nonxt", 59},
    {"ipv6-opts", 60},
    {"rspf", 73},
    {"vmtp", 81},
    {"eigrp", 88},
    {"ospf", 89},
    {"ospfigp", 89},
    {"ax.25", 93},
    {"ipip", 94},
    {"etherip", 97},
    {"encap", 98},
    {"pim", 103},
    {"ipcomp", 108},
    {"comp", 108},
    {"vrrp", 112},
    {"carp", 112},
    {"l2tp", 115},
    {"isis", 124},
    {"fc", 133},
    {"mobility-header", 135},
    {"mpls-in-ip", 137},
    {"manet", 138},
    {"hip", 139},
    {"shim6", 140},
    {"wesp", 141},
    {"rohc", 142},
    {"ethernet", 143},
});
constexpr auto kIcmpTypes = std::to_array<Row>({
    {"echo-reply", 0},
    {"destination-unreachable", 3},
    {"source-quench", 4},
    {"redirect", 5},
    {"echo-request", 8},
    {"router-advertisement", 9},
    {"router-solicitation", 10},
    {"time-exceeded", 11},
    {"parameter-problem", 12},
    {"timestamp-request", 13},
    {"timestamp-reply", 14},
    {"info-request", 15},
    {"info-reply", 16},
    {"address-mask-request", 17},
    {"address-mask-reply", 18},
});
constexpr auto kIcmpv6Types = std::to_array<Row>({
    {"destination-unreachable", 1},  {"packet-too-big", 2},         {"time-exceeded", 3},
    {"parameter-problem", 4},        {"echo-request", 128},         {"echo-reply", 129},
    {"mld-listener-query", 130},     {"mld-listener-report", 131},  {"mld-listener-done", 132},
    {"mld-listener-reduction", 132}, {"nd-router-solicit", 133},    {"nd-router-advert", 134},
    {"nd-neighbor-solicit", 135},    {"nd-neighbor-advert", 136},   {"nd-redirect", 137},
    {"router-renumbering", 138},     {"ind-neighbor-solicit", 141}, {"ind-neighbor-advert", 142},
    {"mld2-listener-report", 143},
});
constexpr auto kIcmpCodes = std::to_array<Row>({
    {"net-unreachable", 0},
    {"host-unreachable", 1},
    {"prot-unreachable", 2},
    {"port-unreachable", 3},
    {"frag-needed", 4},
    {"net-prohibited", 9},
    {"host-prohibited", 10},
    {"admin-prohibited", 13},
});
constexpr auto kIcmpv6Codes = std::to_array<Row>({
    {"no-route", 0},
    {"admin-prohibited", 1},
    {"addr-unreachable", 3},
    {"port-unreachable", 4},
    {"policy-fail", 5},
    {"reject-route", 6},
});
constexpr auto kTcpFlags = std::to_array<Row>({
    {"fin", 0x01},
    {"syn", 0x02},
    {"rst", 0x04},
    {"psh", 0x08},
    {"ack", 0x10},
    {"urg", 0x20},
    {"ecn", 0x40},
    {"ece", 0x40},
    {"cwr", 0x80},
    {"ae", 0x100},
});
// kernel: NF_CT_STATE_BIT, include/net/netfilter/nf_conntrack.h
constexpr auto kCtStates = std::to_array<Row>({
    {"invalid", 1},
    {"established", 2},
    {"related", 4},
    {"new", 8},
    {"untracked", 64},
});
// kernel: enum ip_conntrack_status
constexpr auto kCtStatuses = std::to_array<Row>({
    {"expected", 1},
    {"seen-reply", 2},
    {"assured", 4},
    {"confirmed", 8},
    {"snat", 0x10},
    {"dnat", 0x20},
    {"seq-adjust", 0x40},
    {"snat-done", 0x80},
    {"dnat-done", 0x100},
    {"dying", 0x200},
    {"fixed-timeout", 0x400},
    {"template", 0x800},
    {"clash", 0x1000},
    {"helper", 0x2000},
    {"offload", 0x4000},
    {"hw-offload", 0x8000},
});
constexpr auto kDirections = std::to_array<Row>({{"original", 0}, {"reply", 1}});

// Debian's /etc/services: nft before 0.9 and `nft -S` print its names for ports. Sorted.
// clang-format off
constexpr auto kServices = std::to_array<Row>({
    {"Clearcase", 371}, {"acr-nema", 104}, {"afpovertcp", 548}, {"afs3-bos", 7007}, {"afs3-callback", 7001},
    {"afs3-fileserver", 7000}, {"afs3-kaserver", 7004}, {"afs3-prserver", 7002}, {"afs3-rmtsys", 7009},
    {"afs3-update", 7008}, {"afs3-vlserver", 7003}, {"afs3-volser", 7005}, {"amanda", 10080},
    {"amandaidx", 10082}, {"amidxtape", 10083}, {"amqp", 5672}, {"amqps", 5671}, {"asf-rmcp", 623},
    {"asp", 27374}, {"auth", 113}, {"authentication", 113}, {"babel", 6696}, {"bacula-dir", 9101},
    {"bacula-fd", 9102}, {"bacula-sd", 9103}, {"bbs", 7000}, {"bgp", 179}, {"bgpd", 2605}, {"biff", 512},
    {"binkp", 24554}, {"bootpc", 68}, {"bootps", 67}, {"canna", 5680}, {"cfengine", 5308}, {"chargen", 19},
    {"cisco-sccp", 2000}, {"clc-build-daemon", 8990}, {"clearcase", 371}, {"cmd", 514}, {"cmip-agent", 164},
    {"cmip-man", 163}, {"codaauth2", 370}, {"codasrv", 2432}, {"codasrv-se", 2433}, {"comsat", 512},
    {"csync2", 30865}, {"cvspserver", 2401}, {"daap", 3689}, {"datametrics", 1645}, {"daytime", 13},
    {"db-lsp", 17500}, {"dcap", 22125}, {"dhcpv6-client", 546}, {"dhcpv6-server", 547}, {"dicom", 104},
    {"dict", 2628}, {"dircproxy", 57000}, {"discard", 9}, {"distcc", 3632}, {"domain", 53},
    {"domain-s", 853}, {"echo", 7}, {"epmap", 135}, {"epmd", 4369}, {"exec", 512}, {"f5-globalsite", 2792},
    {"f5-iquery", 4353}, {"fax", 4557}, {"fido", 60179}, {"finger", 79}, {"font-service", 7100},
    {"freeciv", 5556}, {"fsp", 21}, {"fspd", 21}, {"ftp", 21}, {"ftp-data", 20}, {"ftps", 990},
    {"ftps-data", 989}, {"gdomap", 538}, {"gds-db", 3050}, {"gds_db", 3050}, {"git", 9418}, {"gnunet", 2086},
    {"gnutella-rtr", 6347}, {"gnutella-svc", 6346}, {"gopher", 70}, {"gpsd", 2947}, {"gris", 2135},
    {"groupwise", 1677}, {"gsidcap", 22128}, {"gsiftp", 2811}, {"gsigatekeeper", 2119}, {"hkp", 11371},
    {"hprop", 754}, {"http", 80}, {"http-alt", 8080}, {"https", 443}, {"hylafax", 4559}, {"iax", 4569},
    {"icp", 3130}, {"icpv2", 3130}, {"ident", 113}, {"imap", 143}, {"imap2", 143}, {"imaps", 993},
    {"ingreslock", 1524}, {"ipp", 631}, {"iprop", 2121}, {"ipsec-nat-t", 4500}, {"ipx", 213}, {"ircd", 6667},
    {"ircs-u", 6697}, {"isakmp", 500}, {"iscsi-target", 3260}, {"isisd", 2608}, {"isns", 3205},
    {"iso-tsap", 102}, {"jabber-client", 5222}, {"jabber-server", 5269}, {"kamanda", 10081}, {"kdc", 750},
    {"kerberos", 88}, {"kerberos-adm", 749}, {"kerberos-iv", 750}, {"kerberos-master", 751},
    {"kerberos-sec", 88}, {"kerberos4", 750}, {"kerberos5", 88}, {"kerberos_master", 751}, {"kermit", 1649},
    {"klogin", 543}, {"kpasswd", 464}, {"krb-prop", 754}, {"krb5", 88}, {"krb5_prop", 754},
    {"krb_prop", 754}, {"krcmd", 544}, {"kshell", 544}, {"l2f", 1701}, {"l2tp", 1701}, {"ldap", 389},
    {"ldaps", 636}, {"ldp", 646}, {"loc-srv", 135}, {"login", 513}, {"lotusnote", 1352},
    {"lotusnotes", 1352}, {"lrrd", 4949}, {"mail", 25}, {"mailq", 174}, {"mdns", 5353},
    {"microsoft-ds", 445}, {"moira-db", 775}, {"moira-update", 777}, {"moira-ureg", 779}, {"moira_db", 775},
    {"moira_update", 777}, {"moira_ureg", 779}, {"mon", 2583}, {"ms-sql-m", 1434}, {"ms-sql-s", 1433},
    {"ms-wbt-server", 3389}, {"mtn", 4691}, {"munin", 4949}, {"mysql", 3306}, {"mysql-proxy", 6446},
    {"nbd", 10809}, {"nbp", 2}, {"netbios-dgm", 138}, {"netbios-ns", 137}, {"netbios-ssn", 139},
    {"netstat", 15}, {"nfs", 2049}, {"nicname", 43}, {"nntp", 119}, {"nntps", 563}, {"nqs", 607},
    {"nrpe", 5666}, {"nsca", 5667}, {"ntalk", 518}, {"ntp", 123}, {"ntske", 4460}, {"null", 9},
    {"nut", 3493}, {"old-radacct", 1646}, {"old-radius", 1645}, {"omniorb", 8088}, {"openvpn", 1194},
    {"ospf6d", 2606}, {"ospfapi", 2607}, {"ospfd", 2604}, {"passwd-server", 752}, {"passwd_server", 752},
    {"pawserv", 345}, {"pop-3", 110}, {"pop3", 110}, {"pop3s", 995}, {"poppassd", 106}, {"portmapper", 111},
    {"postgres", 5432}, {"postgresql", 5432}, {"predict", 1210}, {"printer", 515}, {"proofd", 1093},
    {"ptp-event", 319}, {"ptp-general", 320}, {"puppet", 8140}, {"qmqp", 628}, {"qmtp", 209}, {"qotd", 17},
    {"quote", 17}, {"radacct", 1813}, {"radius", 1812}, {"radius-acct", 1813}, {"radmin-port", 4899},
    {"readnews", 119}, {"redis", 6379}, {"remctl", 4373}, {"ripd", 2602}, {"ripngd", 2603},
    {"rmiregistry", 1099}, {"rmtcfg", 1236}, {"rootd", 1094}, {"route", 520}, {"routed", 520},
    {"router", 520}, {"rpc2portmap", 369}, {"rplay", 5555}, {"rptp", 5556}, {"rsync", 873},
    {"rtcm-sc104", 2101}, {"rtmp", 1}, {"rtsp", 554}, {"sa-msg-port", 1646}, {"saft", 487}, {"sane", 6566},
    {"sane-port", 6566}, {"saned", 6566}, {"sge-execd", 6445}, {"sge-qmaster", 6444}, {"sge_execd", 6445},
    {"sge_qmaster", 6444}, {"sgi-cad", 17004}, {"sgi-cmsd", 17001}, {"sgi-crsd", 17002}, {"sgi-gcd", 17003},
    {"shell", 514}, {"sieve", 4190}, {"silc", 706}, {"sink", 9}, {"sip", 5060}, {"sip-tls", 5061},
    {"skkserv", 1178}, {"smtp", 25}, {"smtps", 465}, {"smux", 199}, {"snmp", 161}, {"snmp-trap", 162},
    {"snmptrap", 162}, {"snntp", 563}, {"snpp", 444}, {"socks", 1080}, {"source", 19}, {"spamd", 783},
    {"spooler", 515}, {"ssh", 22}, {"ssmtp", 465}, {"submission", 587}, {"submissions", 465},
    {"subversion", 3690}, {"sunrpc", 111}, {"supfiledbg", 1127}, {"supfilesrv", 871}, {"suucp", 4031},
    {"svn", 3690}, {"svrloc", 427}, {"syslog", 514}, {"syslog-tls", 6514}, {"sysrqd", 4094}, {"systat", 11},
    {"tacacs", 49}, {"talk", 517}, {"tap", 113}, {"tcpmux", 1}, {"telnet", 23}, {"telnets", 992},
    {"tfido", 60177}, {"tftp", 69}, {"time", 37}, {"timserver", 37}, {"tinc", 655}, {"tproxy", 8081},
    {"tsap", 102}, {"ttytst", 19}, {"untp", 119}, {"urd", 465}, {"users", 11}, {"uucp", 540}, {"uucpd", 540},
    {"venus", 2430}, {"venus-se", 2431}, {"wais", 210}, {"webcache", 8080}, {"webmin", 10000}, {"who", 513},
    {"whod", 513}, {"whois", 43}, {"wnn6", 22273}, {"www", 80}, {"x11", 6000}, {"x11-0", 6000},
    {"x11-1", 6001}, {"x11-2", 6002}, {"x11-3", 6003}, {"x11-4", 6004}, {"x11-5", 6005}, {"x11-6", 6006},
    {"x11-7", 6007}, {"xdmcp", 177}, {"xfs", 7100}, {"xinetd", 9098}, {"xmms2", 9667}, {"xmpp-client", 5222},
    {"xmpp-server", 5269}, {"xtel", 1313}, {"xtelw", 1314}, {"z3950", 210}, {"zabbix-agent", 10050},
    {"zabbix-trapper", 10051}, {"zebra", 2601}, {"zebrasrv", 2600}, {"zephyr-clt", 2103},
    {"zephyr-hm", 2104}, {"zephyr-srv", 2102}, {"zip", 6}, {"zope", 9673}, {"zope-ftp", 8021},
    {"zserv", 346},
});
// clang-format on

std::optional<std::uint64_t> find(std::span<const Row> rows, std::string_view word) {
  if (const auto number = base::parse_unsigned(word)) return number;
  const auto row = std::ranges::find(rows, word, &Row::name);
  if (row == rows.end()) return std::nullopt;
  return row->number;
}

std::optional<std::uint64_t> find_bits(std::span<const Row> rows, std::string_view words) {
  static constexpr std::string_view kBetween = " \t|,(){}";
  std::uint64_t bits = 0;
  bool any = false;
  for (std::size_t at = words.find_first_not_of(kBetween); at < words.size();) {
    const std::size_t end = std::min(words.find_first_of(kBetween, at), words.size());
    const auto bit = find(rows, words.substr(at, end - at));
    if (!bit) return std::nullopt;
    bits |= *bit;
    any = true;
    at = words.find_first_not_of(kBetween, end);
  }
  if (!any) return std::nullopt;
  return bits;
}

std::string_view without_quotes(std::string_view word) {
  if (word.size() >= 2 && word.front() == '"' && word.back() == '"') return word.substr(1, word.size() - 2);
  return word;
}

}  // namespace

std::optional<std::uint64_t> nft_dscp(std::string_view word) { return find(kDscp, word); }
std::optional<std::uint64_t> nft_ecn(std::string_view word) { return find(kEcn, word); }
std::optional<std::uint64_t> nft_ether_type(std::string_view word) { return find(kEtherTypes, word); }
std::optional<std::uint64_t> nft_arp_operation(std::string_view word) { return find(kArpOperations, word); }
std::optional<std::uint64_t> nft_tcp_flags(std::string_view words) { return find_bits(kTcpFlags, words); }
std::optional<std::uint64_t> nft_ct_state(std::string_view words) { return find_bits(kCtStates, words); }
std::optional<std::uint64_t> nft_ct_status(std::string_view words) { return find_bits(kCtStatuses, words); }
std::optional<std::uint64_t> nft_ct_direction(std::string_view word) { return find(kDirections, word); }

std::optional<std::uint64_t> nft_protocol(std::string_view word) {
  word = without_quotes(word);
  if (const auto known = find(kProtocols, word)) return known;
  if (const auto number = packet::parse_protocol(word)) return *number;
  return std::nullopt;
}

std::optional<std::uint64_t> nft_service(std::string_view word) {
  word = without_quotes(word);
  if (const auto number = base::parse_unsigned(word)) return number;
  const auto row = std::ranges::lower_bound(kServices, word, {}, &Row::name);
  if (row == kServices.end() || row->name != word) return std::nullopt;
  return row->number;
}

std::optional<std::uint64_t> nft_icmp_type(packet::IpVersion version, std::string_view word) {
  return version == packet::IpVersion::V6 ? find(kIcmpv6Types, word) : find(kIcmpTypes, word);
}

std::optional<std::uint64_t> nft_icmp_code(packet::IpVersion version, std::string_view word) {
  return version == packet::IpVersion::V6 ? find(kIcmpv6Codes, word) : find(kIcmpCodes, word);
}

}  // namespace fwtrace::trace
