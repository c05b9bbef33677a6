#include "journey/decide.h"

#include <ranges>

#include "base/check.h"
#include "journey/answer.h"
#include "journey/decide_words.h"
#include "journey/summary.h"
#include "journey/vanished.h"

namespace fwtrace::journey {
namespace {

using packet::Hook;
using packet::Packet;
using trace::Dialect;
using trace::EventKind;

class Decider {
 public:
  Decider(Journey& journey, const Evidence& evidence)
      : j_(journey), e_(evidence), last_index_(last_of(journey)), last_(journey.steps[last_index_]) {}

  void run() {
    CHECK(e_.seen != nullptr);
    j_.outcome = Outcome{};
    j_.outcome.step = last_index_;
    if (e_.doubtful_backend)
      out().assumes.push_back("the iptables-nft rules given are the ones that were traced");
    decided_by_steps();
    const bool by_ruleset = last_.rule != nullptr || last_.kind == EventKind::Policy;
    const OutcomeKind kind = out().kind;
    const bool sure = kind != OutcomeKind::Undecided && kind != OutcomeKind::Incomplete;
    // What passed the filter, as later lines show, did so whatever the ruleset says.
    const bool decisive = is_drop(last_.did) || (is_accept(last_.did) && last_.table.text() == "filter");
    if (e_.misfit && e_.has_rules && by_ruleset && sure && decisive) {
      out().likely = kind;
      out().kind = OutcomeKind::Undecided;
      out().step = last_index_;
      out().because =
          "the ruleset does not fit this packet's lines, so it cannot be trusted; by it, " + out().because;
    }
  }

 private:
  void decided_by_steps() {
    if (const auto exit = exit_marker()) return went_out(*exit);
    if (is_drop(last_.did)) return dropped();
    if (j_.marked && !j_.overlaps_loss) return vanished();
    if (last_.did == Did::Queue || last_.did == Did::Stolen) return queued();
    if (last_.dialect == Dialect::KernelLog) legacy();
    else nft();
  }

  // The step that speaks last of the user's rules; of a live journey markers and bare headers are none.
  static std::uint32_t last_of(const Journey& journey) {
    const auto& steps = journey.steps;
    for (std::uint32_t i = static_cast<std::uint32_t>(steps.size()); journey.live && i-- > 0;) {
      if (!steps[i].marker && steps[i].kind != EventKind::Headers) return i;
    }
    return static_cast<std::uint32_t>(steps.size() - 1);
  }
  bool is_rule_step() const { return !last_.marker && last_.kind != EventKind::Headers; }

  // The marker at an exit, if it was the last that happened.
  std::optional<trace::Marker> exit_marker() const {
    for (const Step& step : std::views::reverse(j_.steps)) {
      if (!step.marker) {
        if (step.kind == EventKind::Headers) continue;
        return std::nullopt;
      }
      const bool out_by_lo = j_.forms.size() > step.form && j_.forms[step.form].out.text() == "lo";
      if (step.family == packet::Family::Bridge && *step.marker == trace::Marker::Delivered) continue;
      if (*step.marker == trace::Marker::Delivered) return step.marker;
      if (*step.marker == trace::Marker::Left && !out_by_lo) return step.marker;
      return std::nullopt;
    }
    return std::nullopt;
  }
  void went_out(trace::Marker exit) {
    const OutcomeKind kind = exit == trace::Marker::Delivered ? OutcomeKind::Delivered : way_out();
    const bool decided = is_rule_step() && lets_through(last_);
    passed(kind, decided ? accepted_by(last_) + ", and nothing behind that stopped it"
                         : "no rule stopped it: it was seen behind the last chain");
    // A policy of nat, say, decided nothing.
    if (!is_rule_step() || !lets_through(j_.steps[*out().step])) out().step.reset();
    seen_to_its_end();
  }

  // Our markers stand at every hook and none behind its last step came: so it ended there.
  void vanished() {
    const bool matched = is_rule_step() && !passed_a_marker_since();
    if (matched && (last_.did == Did::Queue || last_.did == Did::Stolen)) return queued();
    if (matched && (last_.did == Did::Unknown || last_.did == Did::PolicyUnknown)) {
      out().kind = OutcomeKind::Dropped;
      out().because =
          entry_name(last_) +
          " was the last that it met, and it was not seen behind it: that one dropped it (its text "
          "is not known)";
      return;
    }
    if (!is_rule_step()) out().step.reset();
    decide_vanished(j_, e_.legacy_unheard);
    if (matched && out().kind == OutcomeKind::Lost && (last_.did == Did::Continue || last_.did == Did::Jump))
      out().because += "; or " + entry_name(last_) + " itself";
  }
  bool passed_a_marker_since() const {
    for (std::uint32_t i = last_index_ + 1; i < j_.steps.size(); ++i) {
      if (j_.steps[i].marker) return true;
    }
    return false;
  }

  Outcome& out() { return j_.outcome; }

  void dropped() {
    out().kind = last_.did == Did::Reject ? OutcomeKind::Rejected : OutcomeKind::Dropped;
    if (last_.did == Did::PolicyDrop) {
      out().because = "no rule of " + fell_out_of(j_, last_) + " decided, so the policy of " +
                      text(last_.chain) + " (DROP) did";
    } else {
      out().because = passed_over() + entry_name(last_) +
                      (last_.did == Did::Reject ? ", which rejects" : ", which drops");
      if (last_.rule != nullptr && last_.rule->conditional && !*last_.rule->conditional)
        out().because += " everything that reaches it";
    }
    seen_to_its_end();
  }
  // The input's end, or a loss behind its last step, did not hurt it.
  void seen_to_its_end() {
    j_.ends_early = false;
    j_.overlaps_loss = j_.loss_inside;
  }

  // Rules that did not match are never logged: what is missing before the deciding rule did not match.
  std::string passed_over() const {
    // A rule that armed the trace matched without a line, as did all before it; so the raw table tells nothing, nor
    // does a chain in whose middle the record begins.
    if (last_.number < 2 || j_.overlaps_loss || j_.damaged || last_.table.text() == "raw" ||
        (j_.starts_late && j_.steps.front().chain == last_.chain))
      return "it matched ";
    std::size_t matched = 0;
    for (const Step& step : j_.steps) {
      matched += step.chain == last_.chain && step.table == last_.table && step.hook == last_.hook &&
                         step.kind == EventKind::Rule && step.number < last_.number
                     ? 1U
                     : 0U;
    }
    const std::string before =
        last_.number == 2 ? "rule 1" : "rules 1 to " + std::to_string(last_.number - 1);
    if (matched == 0) return before + " did not match, it matched ";
    return "no rule before that decided, it matched ";
  }

  void queued() {
    if (last_.did != Did::Queue) {
      out().kind = OutcomeKind::Stolen;
      out().because = entry_name(last_) + " took it out of the normal way (stolen)";
      return;
    }
    const std::string gave = entry_name(last_) + " gave it to a program in user space (NFQUEUE)";
    const bool legacy = last_.dialect == Dialect::KernelLog && !j_.live;
    const bool must_follow =
        !legacy ||
        e_.seen->next(j_.host, j_.family, {hook(), last_.table.text()}, to_lo(), met_nat()).has_value();
    if (j_.ends_early || j_.overlaps_loss) {
      out().kind = OutcomeKind::Incomplete;
      out().because = gave + ", and " + ends();
    } else if (must_follow) {
      out().kind = OutcomeKind::Queued;
      out().because =
          gave + ", and it was not seen again: the program dropped it or holds it, or no program listens";
    } else {
      out().kind = OutcomeKind::Undecided;
      out().because = gave + "; what became of it is not in this log";
    }
  }

  bool to_lo() const {
    const Packet* form = j_.forms.empty() ? nullptr : &j_.forms[last_.form];
    return form != nullptr && form->out.text() == "lo" && form->in.text() != "lo";
  }
  bool came_in() const {
    for (const Step& step : j_.steps) {
      if (step.hook == Hook::Prerouting || step.hook == Hook::Forward || step.hook == Hook::Ingress)
        return true;
      if (step.hook == Hook::Output) return false;
    }
    return !j_.forms.empty() && !j_.forms.front().in.empty();
  }

  // It passed everything that was there to pass. What people ask for is the rule of the filter that let it in or
  // through, not the last table's policy.
  void passed(OutcomeKind kind, std::string because) {
    out().kind = kind;
    out().because = std::move(because);
    if (is_final(last_.did)) seen_to_its_end();
    for (std::uint32_t i = last_index_ + 1; i-- > 0;) {
      if (!lets_through(j_.steps[i])) continue;
      if (i == last_index_) return;
      out().step = i;
      out().because = accepted_by(j_.steps[i]) + ", and nothing behind that stopped it";
      return;
    }
  }
  bool lets_through(const Step& step) const {
    if (step.marker) return false;
    if (step.dialect == Dialect::KernelLog || step.table.text() == "filter")
      return step.table.text() == "filter" &&
             (is_accept(step.did) || step.did == Did::Queue);  // queue: it came back
    // nft: tables have any name. A rule that accepts, and not one of nat; live, a policy where filters stand.
    const bool filters = step.hook == Hook::Input || step.hook == Hook::Forward || step.hook == Hook::Output;
    if (step.did != Did::Accept && !(j_.live && filters && step.did == Did::PolicyAccept)) return false;
    for (const std::string_view word : {"nat", "NAT"}) {
      if (step.table.text().find(word) != std::string_view::npos ||
          step.chain.text().find(word) != std::string_view::npos)
        return false;
    }
    const std::string& rule = step.rule != nullptr ? step.rule->text : step.rule_text;
    for (const std::string_view word : {"masquerade", "snat to", "dnat to", "redirect"}) {
      if (rule.find(word) != std::string::npos) return false;
    }
    return true;
  }
  static std::string accepted_by(const Step& step) {
    if (step.kind == EventKind::Policy && step.rule == nullptr)
      return "the policy of " + text(step.chain) + " let it pass";
    if (step.did == Did::Queue) return entry_name(step) + " gave it to user space, and it came back";
    return entry_name(step) + " accepted it";
  }
  OutcomeKind way_out() const {
    return came_in() && !(j_.looped) ? OutcomeKind::Forwarded : OutcomeKind::Sent;
  }

  // The hook the last step stands at, also when it is inside a user chain: the hook of its table's walk.
  Hook hook() const { return last_.hook; }

  // Packets that begin a connection meet nat at each of its hooks; this one began one.
  bool met_nat() const {
    for (const Step& step : j_.steps) {
      if (step.table.text() == "nat") return true;
    }
    return false;
  }

  void legacy() {
    const auto next = e_.seen->next(j_.host, j_.family, {hook(), last_.table.text()}, to_lo(), met_nat());
    silent_ = next.has_value();
    bool accepted = is_accept(last_.did);
    const std::string_view table = last_.table.text();
    const bool nat = table == "nat";
    if (!accepted && (last_.did == Did::Unknown || last_.did == Did::PolicyUnknown)) {
      // nat cannot drop: iptables refuses DROP there. The policies of raw, mangle and security hardly ever do.
      if (nat && (hook() == Hook::Postrouting || last_.kind == EventKind::Policy ||
                  !(j_.ends_early || j_.overlaps_loss)))
        accepted = true;
      else if (hardly_filters(table) && last_.did == Did::PolicyUnknown) {
        accepted = true;
        out().assumes.push_back("the policy of " + std::string(table) + " " + text(last_.chain) +
                                " is ACCEPT" + (e_.has_rules ? "" : " (no ruleset given)"));
      } else if (hardly_filters(table) && !next && (hook() == Hook::Postrouting || hook() == Hook::Input) &&
                 !e_.seen->ends_of_chains(j_.host)) {
        accepted = true;
        out().assumes.push_back("nothing in " + std::string(table) + " " + upper(hook()) +
                                " drops (this log has no policy lines, so its end is not shown)");
      }
    }
    if (accepted) return legacy_accepted(next);
    if (is_open_end()) return legacy_cut();
    legacy_unknown(next);
  }

  // The last step is known to have gone on within its table, yet nothing of that is there.
  bool is_open_end() const {
    return last_.did == Did::Continue || last_.did == Did::Jump || last_.did == Did::Goto ||
           last_.did == Did::Return || last_.did == Did::ChainEnd;
  }

  void legacy_accepted(const std::optional<Seen::Next>& next) {
    if (next) return lost(*next);
    const std::string how = accepted_by(last_);
    switch (hook()) {
      case Hook::Input: return passed(OutcomeKind::Delivered, how + ", and nothing behind that stopped it");
      case Hook::Postrouting:
        if (to_lo()) break;
        if (j_.steps.front().hook == Hook::Postrouting && !came_in() &&
            !(j_.last_form() != nullptr && j_.last_form()->uid))
          out().assumes.push_back(
              "it was made on this machine (the first line seen is in POSTROUTING, where older kernels "
              "leave IN= empty)");
        return passed(way_out(), "it passed " + std::string(last_.table.text()) +
                                     " POSTROUTING, the last table on its way");
      case Hook::Forward:
      case Hook::Output:
        out().assumes.push_back("nothing behind " + upper(hook()) +
                                " stopped it: no table with a POSTROUTING chain is logged here");
        return passed(hook() == Hook::Forward ? OutcomeKind::Forwarded : way_out(), how);
      default: break;
    }
    // Nothing that this log shows stands behind it.
    out().kind = j_.ends_early ? OutcomeKind::Incomplete : OutcomeKind::Undecided;
    out().because = how + ", and nothing of INPUT or FORWARD follows: ";
    if (j_.ends_early) {
      out().because +=
          "the log ends here; if it is whole, no rule dropped it: look at routing (ip route get, rp_filter, ip_forward)";
    } else {
      out().likely = OutcomeKind::Lost;
      out().because +=
          "it was lost in routing (no route, rp_filter, ip_forward off, address not local), or no table that "
          "is traced stands there";
    }
    see_answer();
  }

  void lost(const Seen::Next& next) {
    const std::string where = next_name(next);
    if (j_.ends_early || j_.overlaps_loss) {
      out().kind = OutcomeKind::Incomplete;
      out().because = entry_name(last_) + " let it pass, and " + where + " would come next, but " + ends();
      if (!j_.overlaps_loss && hook() == Hook::Prerouting && next.place.hook != hook())
        out().because +=
            "; if the log is whole, no rule dropped it: look at routing (ip route get, rp_filter, ip_forward)";
      see_answer();
      return;
    }
    if (next.place.hook == hook()) {
      out().kind = OutcomeKind::Incomplete;
      out().because = where + " must come next, at the same hook, and is not there: lines are missing";
      if (last_.table.text() == "raw") out().because += ", or conntrack dropped it (table full)";
      see_answer();
      return;
    }
    out().kind = OutcomeKind::Lost;
    out().because = "no rule dropped it, yet " + where + " never came";
    switch (hook()) {
      case Hook::Prerouting:
        out().because +=
            ": between them stand routing (no route, rp_filter, ip_forward off, address not local) and the TTL";
        break;
      case Hook::Forward:
      case Hook::Output:
        out().because += ": between them stands the way out (MTU, neighbour, a bridge port)";
        break;
      default: break;
    }
  }

  std::string ends() const {
    if (j_.overlaps_loss) return "log lines were lost there";
    return "the log ends here";
  }

  void legacy_cut() {
    out().kind = OutcomeKind::Incomplete;
    const char* went = last_.did == Did::Jump || last_.did == Did::Goto ? ", which goes to chain " : nullptr;
    out().because = entry_name(last_);
    if (last_.kind == EventKind::Return && last_.rule == nullptr)
      out().because = "chain " + text(last_.chain) + " ended";
    if (went != nullptr && last_.rule != nullptr) out().because += went + last_.rule->target;
    else if (last_.kind == EventKind::Rule) out().because += " does not end the walk";
    out().because += ", so more lines must follow, but ";
    out().because += j_.ends_early || j_.overlaps_loss ? ends() : "none does: lines are missing";
    see_answer();
  }

  void legacy_unknown(const std::optional<Seen::Next>& next) {
    const bool open = j_.ends_early || j_.overlaps_loss;
    const bool in_filter = last_.table.text() == "filter";
    out().kind =
        open && (next || last_.kind == EventKind::Rule) ? OutcomeKind::Incomplete : OutcomeKind::Undecided;
    std::string why;
    if (!e_.has_rules) why = "no ruleset given: ";
    else if (e_.misfit) why = "the ruleset does not fit the log: ";
    else if (last_.rule == nullptr) why = "the ruleset given does not hold this chain: ";
    else if (!last_.rule->target.empty())
      why = "what target \"" + last_.rule->target + "\" does is not known from the log: ";
    const std::string name = last_.kind == EventKind::Policy ? "the policy of " + text(last_.chain)
                             : last_.kind == EventKind::Return
                                 ? "the unconditional rule " + std::to_string(last_.number) + " of " +
                                       text(last_.chain) + " (or a lost line)"
                             : last_.depth > 0 ? entry_name(last_)
                                               : "rule " + std::to_string(last_.number);
    if (open && last_.kind == EventKind::Return) {
      out().kind = OutcomeKind::Incomplete;
      out().because = why + "the last line is return:" + std::to_string(last_.number) + " of " +
                      text(last_.chain) + ", the chain's end or an unconditional rule, and " + ends();
    } else if (open && last_.table.text() == "nat") {
      out().because =
          why + "the last line is " + entry_name(last_) + ", which may go on to another chain, and " + ends();
    } else if (next) {
      if (open && last_.kind == EventKind::Policy) {
        out().because = why + next_name(*next) + " would come next if " + name + " is ACCEPT, but " + ends();
      } else {
        out().likely = OutcomeKind::Dropped;
        out().because = why + name + " most likely dropped it, because nothing follows it";
        if (open)
          out().because += j_.overlaps_loss ? " (unless that was lost: " + ends() + ")"
                                            : " (unless the log is just cut: it ends here)";
        else out().because += ", and a packet that passes goes on to " + next_name(*next);
      }
    } else if (hook() == Hook::Forward || hook() == Hook::Output || hook() == Hook::Input ||
               hook() == Hook::None || in_filter) {
      out().because =
          why + name +
          " decided, and whether it accepts or drops is not in the log: nothing would follow either way";
      if (hook() == Hook::Output && last_.kind == EventKind::Policy && last_.number == 1) {
        out().likely = OutcomeKind::Sent;
        out().because +=
            "; the chain is empty (policy:1), so with DROP this machine could send nothing at all";
      }
      if (open && out().kind == OutcomeKind::Incomplete)
        out().because = why + "the last line is " + entry_name(last_) + ", and " + ends();
      if (hook() == Hook::None)
        out().because = why + "the last line is inside chain " + text(last_.chain) +
                        ", and which hook that belongs to is not in the log";
    } else {
      out().because = why + name + " is the last line, and whether it accepts or drops is not in the log";
    }
    if (see_answer()) return;
    if (!e_.has_rules) out().because += "; pass --rules";
  }

  // Only the receiver can have answered: then the packet arrived.
  bool see_answer() {
    // Silence of a table that speaks for every packet is the stronger evidence.
    if (silent_ && !j_.ends_early && !j_.overlaps_loss && !j_.damaged) return false;
    if (!e_.from_there || j_.forms.empty()) return false;
    const Journey* answer = nullptr;
    e_.from_there(j_.forms.back(), [&](const Journey& other) {
      // Newest first: the last one found is the one that came first.
      if (other.serial > j_.serial && is_answer(j_, other)) answer = &other;
      return true;
    });
    if (answer == nullptr || e_.sent_again) return false;  // a retransmission may be what was answered
    const bool from_here = answer->steps.front().hook == Hook::Output;
    const bool at_input = hook() == Hook::Input;
    const std::string proof = "packet " + std::to_string(answer->serial) + " of this log answers it";
    const OutcomeKind arrived = from_here                 ? OutcomeKind::Delivered
                                : hook() == Hook::Forward ? OutcomeKind::Forwarded
                                                          : way_out();
    if (!proves(*answer)) {  // UDP has no numbers: it may answer another datagram of this flow
      if (from_here == (at_input || hook() == Hook::Prerouting)) {
        out().likely = arrived;
        out().because += "; packet " + std::to_string(answer->serial) + " of this log may be its answer";
      }
      return false;
    }
    out().likely.reset();
    if (from_here && (at_input || hook() == Hook::Prerouting)) {
      const std::string before = at_input ? entry_name(last_) + " let it pass: " : std::string();
      passed_keeping_flags(OutcomeKind::Delivered, before + proof + ", and that came from this machine");
      return true;
    }
    if (!from_here && (hook() == Hook::Forward || hook() == Hook::Output || hook() == Hook::Postrouting)) {
      passed_keeping_flags(hook() == Hook::Forward ? OutcomeKind::Forwarded : way_out(),
                           entry_name(last_) + " let it pass: " + proof);
      return true;
    }
    return false;
  }
  static bool proves(const Journey& answer) {
    const Packet* form = answer.first_form();
    return form != nullptr && (packet::find_tcp(*form) != nullptr || packet::find_icmp(*form) != nullptr);
  }
  void passed_keeping_flags(OutcomeKind kind, std::string because) {
    out().kind = kind;
    out().because = std::move(because);
    if (last_.did == Did::PolicyUnknown) j_.steps[last_index_].did = Did::PolicyAccept;
  }

  void nft() {
    if (last_.did == Did::Headers) {
      out().kind = OutcomeKind::Incomplete;
      out().because = "the last line is the headers at the start of chain " + text(last_.chain) +
                      "; what its rules said is missing";
      return;
    }
    if (is_accept(last_.did) || last_.did == Did::PolicyUnknown) return nft_accepted();
    // nft and xtables-monitor do not print the end of every chain; a rule that continues must be followed by
    // another or by the policy of its base chain.
    out().kind = OutcomeKind::Incomplete;
    out().because =
        "the last line does not end the walk of chain " + text(last_.chain) + ", and no verdict follows";
    if (j_.ends_early) out().because += ": the input ends here";
    see_answer();
  }

  void nft_accepted() {
    const std::string how = accepted_by(last_);
    for (std::uint32_t i = last_index_ + 1; i-- > 0;) {
      const Step& base = j_.steps[i];
      if (base.depth != 0 && base.kind != EventKind::Headers) continue;
      const Seen::Walk* next = e_.seen->follower({j_.family, base.table, base.chain});
      if (next == nullptr) break;
      const std::string where = "chain " + text(next->chain) + " of table " + text(next->table);
      if (j_.ends_early || j_.overlaps_loss) {
        out().kind = OutcomeKind::Incomplete;
        out().because =
            how + ", and " + where + " would come next (other packets of this trace met it), but " + ends();
      } else {
        out().kind = OutcomeKind::Undecided;
        if (hook() == Hook::Prerouting || hook() == Hook::Ingress) out().kind = OutcomeKind::Lost;
        else out().likely = OutcomeKind::Lost;
        out().because = how + ", yet " + where +
                        ", which other packets of this trace met next, never came: lines are missing, "
                        "or it was lost between the two (routing, rp_filter, TTL, multicast)";
      }
      see_answer();
      return;
    }
    Hook at = hook();
    const Packet* form = j_.forms.empty() ? nullptr : &j_.forms[last_.form];
    if (at == Hook::None && form != nullptr) {
      // The devices tell half: with both it is on its way through, with only an output device on its way out.
      const bool in = !form->in.empty(), out = !form->out.empty();
      if (in && out) at = Hook::Forward;
      else if (out) at = Hook::Postrouting;
      else if (in && j_.family == packet::Family::Arp)
        at = Hook::Input;  // arp has no other hook on the way in
    }
    if (last_.did == Did::PolicyUnknown) {
      out().kind = OutcomeKind::Undecided;
      out().because = "the policy of " + text(last_.chain) + " decided, and the trace does not say how";
      see_answer();
      return;
    }
    // With an input device only, prerouting and input look alike; the chain's name decided. Elsewhere both of the
    // possible hooks mean the same outcome.
    if (at == Hook::Input && packet::hook_of_chain(last_.chain.text()) == Hook::None &&
        j_.family != packet::Family::Arp)
      out().assumes.push_back("chain " + text(last_.chain) +
                              " is attached at input (by its name: the trace does not say)");
    switch (at) {
      case Hook::Input: return passed(OutcomeKind::Delivered, how + "; no later chain dropped it");
      case Hook::Postrouting:
      case Hook::Egress:
        if (to_lo()) break;
        return passed(way_out(), how + "; no later chain dropped it");
      case Hook::Forward:
      case Hook::Output:
        if (to_lo()) break;
        return passed(at == Hook::Forward ? OutcomeKind::Forwarded : way_out(),
                      how + "; no later chain dropped it");
      default: break;
    }
    if (at == Hook::Prerouting || at == Hook::Ingress || at == Hook::None) {
      const bool later =
          e_.seen->nft_chain_at(j_.host, Hook::Input) && e_.seen->nft_chain_at(j_.host, Hook::Forward);
      if (later && at != Hook::None && !j_.ends_early && !j_.overlaps_loss) {
        out().kind = OutcomeKind::Lost;
        out().because =
            "no chain dropped it, yet neither an input nor a forward chain came: between them stand routing "
            "(no route, rp_filter, forwarding off, address not local), the TTL and multicast groups nobody joined";
        see_answer();
        return;
      }
    }
    out().kind = OutcomeKind::Undecided;
    out().because = how + ", the last chain this trace shows; what came after is not in it";
    see_answer();
  }

  Journey& j_;
  const Evidence& e_;
  const std::uint32_t last_index_;
  const Step& last_;
  bool silent_ = false;  // a table that had to speak next did not
};

}  // namespace

void decide(Journey& journey, const Evidence& evidence) { Decider(journey, evidence).run(); }

}  // namespace fwtrace::journey
