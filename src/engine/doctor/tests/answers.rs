//! Firewalls that drop the answers by which a line is known to live.

use super::*;
use crate::engine::kernel::firewall::Ruleset;

/// A table whose one chain begins where packets for the box arrive.
fn input(name: &str, chain: &str, policy: Policy, rules: Vec<Vec<Expr>>) -> Table {
    let sees = if name.starts_with("inet") { Family::BOTH.to_vec() } else { vec![Family::V4] };
    let chains = [(chain.to_owned(), Chain { policy: Some(policy), rules })].into();
    Table { name: name.to_owned(), sees, chains, ..Table::default() }
}

fn established() -> Vec<Expr> {
    const ESTABLISHED: u32 = 2;
    vec![Expr::States(ESTABLISHED, Relation::Equal), Expr::End(Verdict::Accept)]
}

/// What is found, and what to do about it.
fn found_in(table: Table) -> Vec<(String, String)> {
    let mut facts = sound();
    let net = "2001:db8::2/64".parse().unwrap();
    let address = Address { index: IfIndex(2), net, peer: None, global: true, deprecated: false };
    facts.view.addresses.push(address);
    facts.arriving = Ruleset { tables: vec![table] };
    let findings = judge(&config(CONFIG), &facts).into_iter();
    findings.map(|finding| (format!("{} {}", finding.what, finding.why), finding.mend)).collect()
}

#[test]
fn a_policy_without_a_rule_for_answers_is_named_with_the_rule_that_it_needs() {
    let found = found_in(input("inet filter", "input", Policy::Drop, vec![]));
    let [(what, mend)] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!(
        what,
        "the firewall inet filter drops echo replies, answers of name servers and IPv6 neighbour advertisements \
         that come in by usb0 and wan0 An uplink whose answers are not heard looks dead although it works: \
         chain input has no rule for them, and its policy is drop."
    );
    assert_eq!(
        mend,
        "nft 'insert rule inet filter input ct state established,related accept'\n\
         nft 'insert rule inet filter input icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-advert } accept'"
    );
}

#[test]
fn what_lets_answers_in_needs_neighbours_too() {
    let found = found_in(input("inet filter", "input", Policy::Drop, vec![established()]));
    let [(what, mend)] = found.as_slice() else { panic!("{found:?}") };
    assert!(
        what.contains("drops IPv6 neighbour advertisements that come in by wan0 Without"),
        "{what}"
    );
    assert!(mend.starts_with("nft 'insert rule inet filter input icmpv6 type {"), "{mend}");
    let v4 = || input("ip filter", "INPUT", Policy::Drop, vec![established()]);
    assert_eq!(found_in(v4()), []);
}

#[test]
fn a_rule_is_named_in_the_words_of_its_program() {
    let pings = || {
        let is = Expr::Compare(Register(1), Relation::Equal, vec![1]);
        vec![Expr::Load(Register(1), Field::Protocol), is, Expr::End(Verdict::Drop)]
    };
    let named = |table: &str, chain: &str| {
        let found = found_in(input(table, chain, Policy::Accept, vec![pings()]));
        let [(what, mend)] = found.as_slice() else { panic!("{found:?}") };
        assert!(what.contains("drops echo replies that come in by usb0 and wan0 "), "{what}");
        assert!(what.contains(&format!(": rule 1 of chain {chain} does it.")), "{what}");
        mend.clone()
    };
    assert_eq!(
        named("ip filter", "INPUT"),
        "iptables -t filter -L INPUT 1 -v # this rule\n\
         iptables -t filter -I INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"
    );
    assert_eq!(
        named("ip raw", "PREROUTING"),
        "iptables -t raw -L PREROUTING 1 -v # this rule\niptables -t raw -I PREROUTING -p icmp -j ACCEPT"
    );
    assert_eq!(
        named("ip mine", "early"),
        "nft -a list chain ip mine early # it is rule 1 there\n\
         nft 'insert rule ip mine early ct state established,related accept'"
    );
}
