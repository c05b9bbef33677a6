// What routing says of a packet that came in: the kernel's own answer, asked for by rtnetlink as `ip route get` does,
// with the input route's checks (rp_filter, forwarding). Evidence for packets that vanish behind prerouting.
#pragma once

#include <string>

#include "packet/packet.h"

namespace fwtrace::host {

// One sentence about now, in the calling thread's namespace: "routing says: no route to 10.9.9.9 (ip route get
// 10.9.9.9 from 10.1.0.2 iif eth0)"; "" if it says nothing that explains a loss, or cannot be asked.
std::string explain_route(const packet::Packet& packet);

}  // namespace fwtrace::host
