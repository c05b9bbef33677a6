// The JSON form: one object a line, {"schema":1,"journey":{…}} for each journey, then {"schema":1,"summary":{…}}.
// Field names are stable; docs/json.md describes them and docs/fwtrace.schema.json is their schema.
// Written by our own streaming writer: nothing is built in memory.
#pragma once

#include "base/output.h"
#include "base/place.h"
#include "journey/journey.h"
#include "journey/summary.h"

namespace fwtrace::report {

void write_json(base::Output& out, const journey::Journey& journey, const base::Sources& sources);
void write_json(base::Output& out, const journey::Summary& summary, const base::Sources& sources);

}  // namespace fwtrace::report
