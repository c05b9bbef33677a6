#include "journey/journey.h"

namespace fwtrace::journey {

std::string_view to_text(Did did) {
  switch (did) {
    case Did::Unknown: return "unknown";
    case Did::Continue: return "continue";
    case Did::Jump: return "jump";
    case Did::Goto: return "goto";
    case Did::Return: return "return";
    case Did::ChainEnd: return "chain end";
    case Did::Accept: return "accept";
    case Did::Drop: return "drop";
    case Did::Reject: return "reject";
    case Did::Queue: return "queue";
    case Did::Stolen: return "stolen";
    case Did::PolicyAccept: return "policy accept";
    case Did::PolicyDrop: return "policy drop";
    case Did::PolicyUnknown: return "policy";
    case Did::Headers: return "headers";
  }
  return "";
}

bool is_accept(Did did) { return did == Did::Accept || did == Did::PolicyAccept; }
bool is_drop(Did did) { return did == Did::Drop || did == Did::Reject || did == Did::PolicyDrop; }
bool is_final(Did did) {
  return is_accept(did) || is_drop(did) || did == Did::Queue || did == Did::Stolen ||
         did == Did::PolicyUnknown;
}

std::string_view to_text(OutcomeKind kind) {
  switch (kind) {
    case OutcomeKind::Dropped: return "dropped";
    case OutcomeKind::Rejected: return "rejected";
    case OutcomeKind::Delivered: return "delivered";
    case OutcomeKind::Forwarded: return "forwarded";
    case OutcomeKind::Sent: return "sent";
    case OutcomeKind::Queued: return "queued";
    case OutcomeKind::Stolen: return "stolen";
    case OutcomeKind::Lost: return "lost";
    case OutcomeKind::Undecided: return "undecided";
    case OutcomeKind::Incomplete: return "incomplete";
  }
  return "";
}

}  // namespace fwtrace::journey
