#include "trace/event.h"

namespace fwtrace::trace {

std::string_view to_text(Dialect dialect) {
  switch (dialect) {
    case Dialect::KernelLog: return "kernel";
    case Dialect::NftMonitor: return "nft";
    case Dialect::XtablesMonitor: return "xtables";
  }
  return "";
}

std::string_view to_text(EventKind kind) {
  switch (kind) {
    case EventKind::Rule: return "rule";
    case EventKind::Return: return "return";
    case EventKind::Policy: return "policy";
    case EventKind::Headers: return "packet";
  }
  return "";
}

std::string_view to_text(LineKind kind) {
  switch (kind) {
    case LineKind::Trace: return "trace";
    case LineKind::Log: return "LOG";
    case LineKind::Continuation: return "wrapped part";
    case LineKind::Foreign: return "other";
    case LineKind::Blank: return "blank";
    case LineKind::Header: return "log header";
    case LineKind::LossNote: return "loss note";
    case LineKind::RepeatNote: return "repeat note";
    case LineKind::Damaged: return "damaged";
  }
  return "";
}

}  // namespace fwtrace::trace
