// Answers: a packet that only the receiver of another can have sent proves that the other arrived.
#pragma once

#include "journey/journey.h"

namespace fwtrace::journey {

// Does `later` answer `asked`: the reverse flow, replying to just this packet? For TCP it must acknowledge what
// `asked` carried (SYN, FIN or data); for ICMP echo it has the same id and sequence. UDP has nothing of the kind:
// there the reverse flow is all that can be asked for, and it proves little.
bool is_answer(const Journey& asked, const Journey& later);

// Are both the same segment of one flow, sent again: equal ends and TCP sequence number?
bool is_sent_again(const Journey& first, const Journey& second);

}  // namespace fwtrace::journey
