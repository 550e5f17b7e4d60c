//! What becomes of the LAN's packets in small tables.

use super::*;
use crate::units::IfName;

const REGISTER: Register = Register(1);

fn way() -> Way {
    let port = |name: &str, index| Port { name: IfName::new(name).unwrap(), index: IfIndex(index) };
    Way { lan: port("lan0", 3), out: port("wan0", 4), client: "192.168.77.254".parse().unwrap() }
}

fn is(field: Field, value: &[u8]) -> Vec<Expr> {
    vec![Expr::Load(REGISTER, field), Expr::Compare(REGISTER, Relation::Equal, value.to_vec())]
}

/// `iifname "…"` or `oifname "…"`.
fn named(field: Field, name: &str) -> Vec<Expr> {
    let mut value = name.as_bytes().to_vec();
    value.resize(16, 0);
    is(field, &value)
}

/// `ct state established,related`.
fn established() -> Vec<Expr> {
    let bits = |n: u32| n.to_ne_bytes().to_vec();
    let masked = Expr::Bits { from: REGISTER, to: REGISTER, mask: bits(6), flip: bits(0) };
    let any = Expr::Compare(REGISTER, Relation::NotEqual, bits(0));
    vec![Expr::Load(REGISTER, Field::State), masked, any]
}

fn rule(tests: &[Vec<Expr>], verdict: Verdict) -> Vec<Expr> {
    tests.iter().flatten().cloned().chain([Expr::End(verdict)]).collect()
}

fn chain(policy: impl Into<Option<Policy>>, rules: Vec<Vec<Expr>>) -> Chain {
    Chain { policy: policy.into(), rules }
}

fn table(chains: Vec<(&str, Chain)>) -> Table {
    let chains = chains.into_iter().map(|(name, chain)| (name.to_owned(), chain));
    let (name, sees) = ("ip filter".to_owned(), vec![Family::V4]);
    Table { name, sees, chains: chains.collect(), sets: BTreeMap::new() }
}

/// What is in the way: the step at which, and whether that is certain.
fn met(table: Table) -> Option<(Step, Certainty)> {
    let ruleset = Ruleset { tables: vec![table] };
    ruleset.barriers(&way()).pop().map(|barrier| (barrier.step, barrier.certainty))
}

#[test]
fn both_directions_count() {
    let out =
        || rule(&[named(Field::InName, "lan0"), named(Field::OutName, "wan0")], Verdict::Accept);
    let back = || rule(&[established()], Verdict::Accept);
    let drop = |rules| met(table(vec![("FORWARD", chain(Policy::Drop, rules))]));
    assert_eq!(drop(vec![]), Some((Step::Asks, Certainty::Stops)));
    assert_eq!(drop(vec![out()]), Some((Step::Answered, Certainty::Stops)));
    assert_eq!(drop(vec![back()]), Some((Step::Asks, Certainty::Stops)));
    assert_eq!(drop(vec![out(), back()]), None);
    let other = rule(&[named(Field::OutName, "docker0"), established()], Verdict::Accept);
    assert_eq!(drop(vec![out(), other]), Some((Step::Answered, Certainty::Stops)));
}

#[test]
fn jumps_come_back_and_gotos_do_not() {
    let jump = |to: &str| rule(&[], Verdict::Jump(to.to_owned()));
    let goto = |to: &str| rule(&[], Verdict::Goto(to.to_owned()));
    let accept = || rule(&[], Verdict::Accept);
    let returns = || rule(&[], Verdict::Return);
    let with = |first: Vec<Expr>, there: Vec<Vec<Expr>>| {
        let base = chain(Policy::Drop, vec![first, accept()]);
        met(table(vec![("FORWARD", base), ("there", chain(None, there))])).is_some()
    };
    assert!(!with(jump("there"), vec![]));
    assert!(!with(jump("there"), vec![returns(), rule(&[], Verdict::Drop)]));
    assert!(with(jump("there"), vec![rule(&[], Verdict::Drop)]));
    assert!(with(goto("there"), vec![]), "the policy comes next");
    assert!(!with(goto("there"), vec![accept()]));
}

#[test]
fn what_is_not_known_is_not_guessed() {
    let asks = || vec![Expr::Unknown("the match mac of iptables".to_owned())];
    let depends = Certainty::Depends("the match mac of iptables".to_owned());
    let of = |policy, verdict| {
        met(table(vec![("FORWARD", chain(policy, vec![rule(&[asks()], verdict)]))]))
    };
    assert_eq!(of(Policy::Accept, Verdict::Drop), Some((Step::Asks, depends.clone())));
    assert_eq!(of(Policy::Drop, Verdict::Accept), Some((Step::Asks, depends)));
    // It does not matter where the end is the same.
    assert_eq!(of(Policy::Accept, Verdict::Accept), None);
    assert_eq!(of(Policy::Drop, Verdict::Drop), Some((Step::Asks, Certainty::Stops)));
    // What does not match anyway does not depend on it.
    let other = rule(&[asks(), named(Field::InName, "eth9")], Verdict::Drop);
    assert_eq!(met(table(vec![("FORWARD", chain(Policy::Accept, vec![other]))])), None);
    // It may have written over what was loaded before.
    let stale = [vec![Expr::Load(REGISTER, Field::Protocol)], asks()].concat();
    let stale =
        rule(&[stale, vec![Expr::Compare(REGISTER, Relation::Equal, vec![17])]], Verdict::Drop);
    assert!(met(table(vec![("FORWARD", chain(Policy::Accept, vec![stale]))])).is_some());
}

#[test]
fn sets_and_maps_are_looked_up_as_the_kernel_does() {
    let back = || rule(&[established()], Verdict::Accept);
    let accept = || rule(&[], Verdict::Accept);
    let verdicts = |elements: Vec<Element>| {
        let set = Set { key_len: 16, elements, ..Set::default() };
        let map = Expr::Map { of: REGISTER, set: "ways".to_owned() };
        let rule = vec![Expr::Load(REGISTER, Field::OutName), map];
        let mut table = table(vec![
            ("FORWARD", chain(Policy::Drop, vec![rule, back()])),
            ("out", chain(None, vec![accept()])),
        ]);
        table.sets.insert("ways".to_owned(), set);
        met(table)
    };
    let element = |name: &str| {
        let mut key = name.as_bytes().to_vec();
        key.resize(16, 0);
        let verdict = Some(Verdict::Jump("out".to_owned()));
        Element { key, verdict, ..Element::default() }
    };
    assert_eq!(verdicts(vec![element("usb0"), element("wan0")]), None);
    assert_eq!(verdicts(vec![element("usb0")]), Some((Step::Asks, Certainty::Stops)));
    let others = Element { key: Vec::new(), ..element("") };
    assert_eq!(verdicts(vec![element("usb0"), others]), None, "the one for all others");

    // Of ranges, the last that begins at or before it.
    let edge = |ip: [u8; 4], ends| Element { key: ip.to_vec(), ends, ..Element::default() };
    let private =
        [edge([10, 0, 0, 0], false), edge([11, 0, 0, 0], true), edge([192, 168, 0, 0], false)];
    let mut ranges =
        Set { key_len: 4, intervals: true, elements: private.to_vec(), ..Set::default() };
    let from = || vec![Expr::Load(REGISTER, Field::Network(12, 4))];
    let among = Expr::Lookup { of: REGISTER, set: "private".to_owned(), relation: Relation::Equal };
    let of = |set: &Set| {
        let accept = rule(&[from(), vec![among.clone()]], Verdict::Accept);
        let mut table = table(vec![("FORWARD", chain(Policy::Drop, vec![accept, back()]))]);
        table.sets.insert("private".to_owned(), set.clone());
        met(table)
    };
    assert_eq!(of(&ranges), None);
    ranges.elements.push(edge([192, 168, 10, 0], true));
    assert_eq!(of(&ranges), Some((Step::Asks, Certainty::Stops)));
    ranges.partial = true;
    let depends = Certainty::Depends("set private".to_owned());
    assert_eq!(of(&ranges), Some((Step::Asks, depends)));
}

#[test]
fn chains_that_jump_a_lot_end() {
    let next = |n: usize| {
        let jump = rule(&[], Verdict::Jump(format!("c{}", n + 1)));
        (format!("c{n}"), chain(None, vec![jump.clone(), jump]))
    };
    let mut deep = table(vec![(
        "FORWARD",
        chain(Policy::Accept, vec![rule(&[], Verdict::Jump("c0".to_owned()))]),
    )]);
    deep.chains.extend((0..40).map(next));
    assert!(matches!(met(deep), Some((Step::Asks, Certainty::Depends(_)))));
}

#[test]
fn a_device_is_closed_if_no_interface_of_the_lan_gets_out() {
    let guests =
        Way { lan: Port { name: IfName::new("guest").unwrap(), index: IfIndex(9) }, ..way() };
    let only = rule(&[named(Field::InName, "guest")], Verdict::Accept);
    let back = rule(&[established()], Verdict::Accept);
    let tables = vec![table(vec![("FORWARD", chain(Policy::Drop, vec![only, back]))])];
    let ruleset = Ruleset { tables };
    assert_eq!(closed(&ruleset, &[way(), guests]), PerFamily::default());
    let closed = closed(&ruleset, &[way()]);
    assert_eq!(closed.v4, [(IfIndex(4), "ip filter".to_owned())].into());
    assert!(closed.v6.is_empty());
}

#[test]
fn a_client_is_not_the_box() {
    let client = |own: &str| a_client(own.parse().unwrap()).to_string();
    assert_eq!(client("192.168.77.1/24"), "192.168.77.254");
    assert_eq!(client("192.168.77.254/24"), "192.168.77.253");
    assert_eq!(client("10.1.2.1/30"), "10.1.2.2");
    assert_eq!(client("fd77::1/64"), "fd77::ff");
}

fn arrival(own: &str, answer: Answer) -> Arrival {
    let by = Port { name: IfName::new("wan0").unwrap(), index: IfIndex(4) };
    Arrival { by, own: own.parse().unwrap(), answer }
}

/// The rule that drops an answer; 0: the policy does; `None`: it arrives.
fn dropped(rules: Vec<Vec<Expr>>, policy: Policy, answer: Answer) -> Option<usize> {
    let own = if answer == Answer::Neighbour { "2001:db8::2" } else { "192.168.10.2" };
    let mut table = table(vec![("INPUT", chain(policy, rules))]);
    table.sees = Family::BOTH.to_vec();
    let stops = Ruleset { tables: vec![table] }.stops(&arrival(own, answer));
    stops.first().map(|stop| stop.rule.unwrap_or(0))
}

#[test]
fn answers_to_the_box_are_dropped_by_a_rule_or_for_want_of_one() {
    const ICMP: [u8; 1] = [1];
    let all = |rules: &dyn Fn() -> Vec<Vec<Expr>>, policy| {
        Answer::ALL.map(|answer| dropped(rules(), policy, answer))
    };
    let (nothing, zero) = (None, Some(0));
    assert_eq!(all(&Vec::new, Policy::Accept), [nothing; 3]);
    assert_eq!(all(&Vec::new, Policy::Drop), [zero; 3]);
    // What no flow is known of needs a rule of its own.
    let answers = || vec![rule(&[established()], Verdict::Accept)];
    assert_eq!(all(&answers, Policy::Drop), [nothing, nothing, zero]);
    let loopback = || vec![rule(&[named(Field::InName, "lo")], Verdict::Accept)];
    assert_eq!(all(&loopback, Policy::Drop), [zero; 3]);
    let pings = || {
        let drop = rule(&[is(Field::Protocol, &ICMP)], Verdict::Drop);
        vec![rule(&[named(Field::InName, "lan0")], Verdict::Accept), drop]
    };
    assert_eq!(all(&pings, Policy::Accept), [Some(2), nothing, nothing]);
    let reply = |kind: u8| rule(&[is(Field::Transport(0, 1), &[kind])], Verdict::Accept);
    assert_eq!(dropped(vec![reply(0)], Policy::Drop, Answer::Echo), nothing);
    assert_eq!(dropped(vec![reply(8)], Policy::Drop, Answer::Echo), zero);
    assert_eq!(dropped(vec![reply(136)], Policy::Drop, Answer::Neighbour), nothing);
    let dns = rule(&[is(Field::Transport(0, 2), &[0, 53])], Verdict::Accept);
    assert_eq!(dropped(vec![dns], Policy::Drop, Answer::Name), nothing);
    // Where it goes is nobody's: it stays here.
    let out = || rule(&[named(Field::OutName, "wan0")], Verdict::Drop);
    assert_eq!(dropped(vec![out()], Policy::Accept, Answer::Echo), nothing);
    // What iptables looks at in ICMP may be just this, and is no certain drop.
    let of = |protocol| vec![Expr::Of(protocol, "its type".to_owned()), Expr::End(Verdict::Accept)];
    assert_eq!(dropped(vec![of(1)], Policy::Drop, Answer::Echo), nothing);
    assert_eq!(dropped(vec![of(17)], Policy::Drop, Answer::Echo), zero);
    let jump = rule(&[], Verdict::Jump("away".to_owned()));
    let away = chain(None, vec![rule(&[], Verdict::Drop)]);
    let table = table(vec![("INPUT", chain(Policy::Accept, vec![reply(9), jump])), ("away", away)]);
    let stops = Ruleset { tables: vec![table] }.stops(&arrival("192.168.10.2", Answer::Echo));
    assert_eq!(stops.first().unwrap().rule, Some(2));
}
