// The JSON form of one packet's headers; a field that is absent was not seen.
#pragma once

#include "packet/packet.h"
#include "report/json_writer.h"

namespace fwtrace::report {

void write_packet(JsonWriter& json, const packet::Packet& packet);

}  // namespace fwtrace::report
