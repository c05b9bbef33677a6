// Packets of a live run that ended where no rule said so: our markers stand at every hook, and none behind their last
// step saw them. Where that was says what can have happened.
#pragma once

#include "journey/journey.h"

namespace fwtrace::journey {

// Sets the outcome's kind and sentence. `legacy_unheard`: rules of iptables-legacy stand on its way, unseen.
void decide_vanished(Journey& journey, bool legacy_unheard);

}  // namespace fwtrace::journey
