//! Proof above ICMP: names resolve, and a well-known page looks as it should.
//!
//! Echo replies alone prove little: a portal answers them too, and so does an operator whose DNS is
//! dead. These checks can only lower trust.
//!
//! Where an uplink's own resolvers do not resolve, public ones are asked by the same line: if they do,
//! names resolve there, and only who is asked has to change.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::conduct::Conduct;
use crate::config::HttpCheck;
use crate::engine::probe::{Asker, Heard, Outcome, ProbeId, Question};
use crate::time::Instant;
use crate::units::Family;

/// What a check has shown so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finding {
    /// Not asked yet, or turned off.
    #[default]
    Unknown,
    /// It answered as it should.
    Passed,
    NoAnswer,
    /// It answered something else: a portal, and where it sends people.
    Wrong(Option<String>),
    /// The resolvers name no server for it, as those do that block advertising: says nothing of the line.
    Blocked,
}

/// What is to be checked, and whom to ask.
#[derive(Clone, Copy, Debug)]
pub struct Plan<'a> {
    /// The name to resolve; `None`: this proof is off.
    pub name: Option<&'a str>,
    /// The IP version of the line.
    pub family: Family,
    /// The resolvers to ask; those of the other IP version are not.
    pub resolvers: &'a [IpAddr],
    /// They are the uplink's own. If not, their silence proves nothing.
    pub resolvers_known: bool,
    /// Public resolvers, which are asked when the uplink's own do not answer.
    pub public: &'a [IpAddr],
    /// The pages to look at; empty: this proof is off.
    pub pages: &'a [HttpCheck],
}

impl Plan<'_> {
    fn whom(&self) -> Vec<IpAddr> {
        let fits = |ip: &&IpAddr| Family::of(ip) == self.family;
        self.resolvers.iter().filter(fits).copied().collect()
    }

    /// Whom to ask besides, when these do not answer. Without resolvers of its own there is nobody else.
    fn others(&self) -> Vec<IpAddr> {
        let other = |ip: &&IpAddr| Family::of(ip) == self.family && !self.resolvers.contains(ip);
        self.public.iter().filter(|_| self.resolvers_known).filter(other).copied().collect()
    }
}

/// Why a question was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Purpose {
    /// To resolve the name; asked of one of the line's own resolvers.
    Name(IpAddr),
    /// The same, asked of a public one.
    NameByPublic,
    HostOfPage(usize),
    HostByPublic(usize),
    Page(usize),
    /// The same, of a server in a private network: a portal's, or none at all.
    PrivatePage(usize),
}

impl Purpose {
    const fn is_name(self) -> bool {
        matches!(self, Self::Name(_) | Self::NameByPublic)
    }

    /// The page whose host it is to find.
    const fn host_of(self) -> Option<usize> {
        match self {
            Self::HostOfPage(page) | Self::HostByPublic(page) => Some(page),
            Self::Name(_) | Self::NameByPublic | Self::Page(_) | Self::PrivatePage(_) => None,
        }
    }
}

/// How much one round of checks asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Round {
    /// One resolver, the next in turn; every one while any of them has not answered.
    #[default]
    Names,
    /// Every resolver and every page.
    All,
}

/// The checks of one line.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Proof {
    dns: Finding,
    http: Finding,
    asked: BTreeMap<ProbeId, Purpose>,
    round: Round,
    /// What the round under way has seen: names resolve, a page is right, a page is wrong.
    resolved: bool,
    right: bool,
    wrong: Option<Option<String>>,
    names_asked: Option<Instant>,
    pages_asked: Option<Instant>,
    /// When the last round began that asked everything and found nothing wrong.
    passed: Option<Instant>,
    turn: usize,
    /// Rounds in a row that ended without DNS.
    dns_failures: u32,
    /// When the last round began in which names resolved.
    #[serde(default)]
    named: Option<Instant>,
    /// When the first round after it began in which they did not.
    #[serde(default)]
    unnamed: Option<Instant>,
    /// When the last round began that found something wrong.
    #[serde(default)]
    unwell: Option<Instant>,
    /// Who of the line's own resolvers has resolved the name in the round under way.
    heard: BTreeMap<IpAddr, bool>,
    /// Public resolvers were asked in it, too.
    widened: bool,
    /// It has shown whether names resolve.
    names_done: bool,
    /// Pages whose host was given no server on the Internet in the round under way.
    blocked: BTreeSet<usize>,
    /// Rounds in a row in which every page was asked for and nobody answered.
    page_failures: u32,
    /// It has shown how pages are answered.
    pages_done: bool,
    /// How long an answer counts in the round under way.
    patience: Duration,
    conduct: Conduct,
}

/// An answer to a check counts for this long on a quick line …
const PATIENCE: Duration = Duration::from_millis(2500);
/// … and at most for this long on a slow one.
const PATIENCE_MAX: Duration = Duration::from_secs(15);
/// Round trips in the longest check: a handshake, a request, and one of either that was lost.
const ROUND_TRIPS: u32 = 4;

/// How long a check is waited for on a line whose answers are late after this time.
#[must_use]
pub fn patience(late_after: Option<Duration>) -> Duration {
    late_after.map_or(PATIENCE, |late| (late * ROUND_TRIPS).clamp(PATIENCE, PATIENCE_MAX))
}

/// Whether an address that a resolver gave for a page's host can be a server beyond the line. Resolvers
/// that block a name answer with the unspecified address, or with the box's own.
fn is_server(ip: IpAddr, own: IpAddr) -> bool {
    !ip.is_unspecified() && !ip.is_loopback() && ip != own
}

/// Whether it is nobody's on the Internet (RFC 1918, RFC 4193, RFC 3927).
const fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_private() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

impl Proof {
    /// Begins a round now, unless one is under way. Answers count for `patience`.
    pub fn begin(
        &mut self,
        round: Round,
        patience: Duration,
        plan: Plan<'_>,
        now: Instant,
        asker: &mut Asker<'_>,
    ) {
        if self.is_busy() {
            return;
        }
        (self.round, self.patience) = (round, patience);
        if self.dns_failures > 0 || !matches!(self.http, Finding::Passed | Finding::Unknown) {
            self.unwell = self.names_asked.or(self.unwell);
        }
        self.names_asked = Some(now);
        (self.resolved, self.right, self.wrong) = (false, false, None);
        (self.widened, self.names_done, self.pages_done) = (false, false, round == Round::Names);
        self.blocked.clear();
        self.heard.clear();
        self.conduct.keep(plan.resolvers);
        if plan.name.is_some() {
            self.turn = self.turn.wrapping_add(1);
            let mut whom = plan.whom();
            if round == Round::Names && !whom.is_empty() && !self.conduct.is_uneasy() {
                whom = vec![whom[self.turn % whom.len()]];
            }
            self.ask_own(&whom, plan, asker);
        }
        if round == Round::All {
            self.pages_asked = Some(now);
            self.ask_pages(plan, asker);
        }
        self.conclude(plan, asker);
    }

    fn ask_pages(&mut self, plan: Plan<'_>, asker: &mut Asker<'_>) {
        for (position, page) in plan.pages.iter().enumerate() {
            match page.host.parse() {
                Ok(server) => self.ask_page(page, server, position, asker),
                Err(_) => {
                    for resolver in plan.whom() {
                        let purpose = Purpose::HostOfPage(position);
                        self.ask_name(&page.host, resolver, purpose, asker);
                    }
                }
            }
        }
    }

    /// Takes an answer, if it is one of ours; returns whether it was.
    pub fn reply(
        &mut self,
        id: ProbeId,
        outcome: &Outcome,
        plan: Plan<'_>,
        asker: &mut Asker<'_>,
    ) -> bool {
        let Some(purpose) = self.asked.remove(&id) else {
            return false;
        };
        match (purpose, outcome) {
            (Purpose::Name(resolver), outcome) => {
                let resolved = matches!(outcome, Outcome::Resolved(..));
                self.heard.insert(resolver, resolved);
                if resolved {
                    self.names_resolve();
                }
            }
            (Purpose::NameByPublic, Outcome::Resolved(..)) => self.names_resolve(),
            (
                Purpose::HostOfPage(n) | Purpose::HostByPublic(n),
                Outcome::Resolved(_, addresses),
            ) => {
                let own = asker.path.source;
                let server = addresses.iter().find(|ip| is_server(**ip, own));
                if let (Some(page), Some(server)) = (plan.pages.get(n), server) {
                    // Several resolvers were asked; the first server is enough.
                    self.asked.retain(|_, other| other.host_of() != Some(n));
                    self.ask_page(page, *server, n, asker);
                } else {
                    self.no_server(purpose, n, plan, asker);
                }
            }
            (Purpose::HostOfPage(n) | Purpose::HostByPublic(n), Outcome::NoSuchName(_)) => {
                self.no_server(purpose, n, plan, asker);
            }
            (Purpose::HostOfPage(n), _) => self.ask_public_for_host(n, plan, asker),
            (Purpose::Page(_) | Purpose::PrivatePage(_), Outcome::HttpExpected(_)) => {
                self.right = true;
                self.http = Finding::Passed;
                self.page_failures = 0;
            }
            (Purpose::Page(_) | Purpose::PrivatePage(_), Outcome::HttpOther { location, .. }) => {
                self.wrong.get_or_insert_with(|| location.clone());
            }
            (Purpose::PrivatePage(n), _) => {
                self.blocked.insert(n);
            }
            _ => {}
        }
        self.conclude(plan, asker);
        true
    }

    fn names_resolve(&mut self) {
        self.resolved = true;
        self.dns = Finding::Passed;
        self.dns_failures = 0;
        (self.named, self.unnamed) = (self.names_asked, None);
    }

    /// A resolver knows of no server for a page.
    fn no_server(&mut self, purpose: Purpose, n: usize, plan: Plan<'_>, asker: &mut Asker<'_>) {
        self.blocked.insert(n);
        if matches!(purpose, Purpose::HostOfPage(_)) {
            self.ask_public_for_host(n, plan, asker);
        }
    }

    /// None of the line's own resolvers knows a page's host: perhaps public ones do.
    fn ask_public_for_host(&mut self, n: usize, plan: Plan<'_>, asker: &mut Asker<'_>) {
        let open = self.asked.values().any(|purpose| *purpose == Purpose::HostOfPage(n));
        if let Some(page) = plan.pages.get(n).filter(|_| !open) {
            for resolver in plan.others() {
                self.ask_name(&page.host, resolver, Purpose::HostByPublic(n), asker);
            }
        }
    }

    /// The line has died: what is still open shows nothing, and when it answers again everything is asked
    /// at once.
    pub fn abandon(&mut self) {
        self.asked.clear();
        (self.names_asked, self.pages_asked) = (None, None);
    }

    /// Whether nobody answered for any page, more than once.
    #[must_use]
    pub const fn pages_are_silent(&self) -> bool {
        self.page_failures >= 2
    }

    /// Forgets everything; the line is another one now.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    #[must_use]
    pub const fn dns(&self) -> &Finding {
        &self.dns
    }

    /// Whether the page looks as it should.
    #[must_use]
    pub const fn http(&self) -> &Finding {
        &self.http
    }

    /// When names were last asked for.
    #[must_use]
    pub const fn names_asked(&self) -> Option<Instant> {
        self.names_asked
    }

    /// When pages were last asked for.
    #[must_use]
    pub const fn pages_asked(&self) -> Option<Instant> {
        self.pages_asked
    }

    /// When the last round began that asked everything and found nothing wrong.
    #[must_use]
    pub const fn passed(&self) -> Option<Instant> {
        self.passed
    }

    /// When the last round began in which names resolved, and the first after it in which they did not.
    #[must_use]
    pub const fn last_named(&self) -> (Option<Instant>, Option<Instant>) {
        (self.named, self.unnamed)
    }

    /// When the last round began that found something wrong.
    #[must_use]
    pub const fn last_unwell(&self) -> Option<Instant> {
        self.unwell
    }

    /// Whether a round is under way.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        !self.asked.is_empty()
    }

    /// Rounds in a row that ended without an answer from a resolver.
    #[must_use]
    pub const fn dns_failures(&self) -> u32 {
        self.dns_failures
    }

    /// How the line's own resolvers have behaved.
    #[must_use]
    pub const fn conduct(&self) -> &Conduct {
        &self.conduct
    }

    /// Whether none of the line's own resolvers resolves names, while public ones do.
    #[must_use]
    pub fn own_are_silent(&self, plan: Plan<'_>) -> bool {
        let whom = plan.whom();
        plan.resolvers_known
            && plan.name.is_some()
            && !whom.is_empty()
            && whom.iter().all(|ip| self.conduct.is_silent(ip))
    }

    fn ask_own(&mut self, whom: &[IpAddr], plan: Plan<'_>, asker: &mut Asker<'_>) {
        for resolver in whom {
            let name = plan.name.unwrap_or_default();
            self.ask_name(name, *resolver, Purpose::Name(*resolver), asker);
        }
    }

    fn ask_name(&mut self, name: &str, resolver: IpAddr, purpose: Purpose, asker: &mut Asker<'_>) {
        let question = Question::Dns { resolver, name: name.to_owned() };
        self.asked.insert(asker.ask(question, self.patience), purpose);
    }

    fn ask_page(&mut self, page: &HttpCheck, server: IpAddr, n: usize, asker: &mut Asker<'_>) {
        let question = Question::Http {
            server,
            port: page.port,
            host: page.host.clone(),
            path: page.path.clone(),
            expect: page.expect.clone(),
        };
        let purpose = if is_private(server) { Purpose::PrivatePage(n) } else { Purpose::Page(n) };
        self.asked.insert(asker.ask(question, self.patience), purpose);
    }

    /// Draws the conclusion of each check that has no question open.
    fn conclude(&mut self, plan: Plan<'_>, asker: &mut Asker<'_>) {
        let names_open = self.asked.values().any(|purpose| purpose.is_name());
        if plan.name.is_none() {
            self.dns_failures = 0;
        } else if !names_open && !self.names_done {
            self.conclude_names(plan, asker);
        }
        let pages_open = self.asked.values().any(|purpose| !purpose.is_name());
        if self.round == Round::All && !self.right {
            if let Some(location) = &self.wrong {
                self.http = Finding::Wrong(location.clone());
                self.page_failures = 0;
            } else if !pages_open && !plan.pages.is_empty() && !self.pages_done {
                self.pages_done = true;
                let blocked = (0..plan.pages.len()).all(|n| self.blocked.contains(&n));
                self.page_failures = if blocked { 0 } else { self.page_failures + 1 };
                self.http = if blocked { Finding::Blocked } else { Finding::NoAnswer };
            }
        }
        let named = plan.name.is_none() || self.resolved;
        let paged = plan.pages.is_empty() || self.right || self.http == Finding::Blocked;
        if self.round == Round::All && self.asked.is_empty() && named && paged {
            self.passed = self.pages_asked;
        }
    }

    /// Everybody who was asked for the name has answered, or never will.
    fn conclude_names(&mut self, plan: Plan<'_>, asker: &mut Asker<'_>) {
        if !self.resolved && plan.resolvers_known && !self.widened {
            // Before the line is blamed, everybody else is asked by it.
            self.widened = true;
            let mut rest = plan.whom();
            rest.retain(|ip| !self.heard.contains_key(ip));
            self.ask_own(&rest, plan, asker);
            for resolver in plan.others() {
                let name = plan.name.unwrap_or_default();
                self.ask_name(name, resolver, Purpose::NameByPublic, asker);
            }
            if self.asked.values().any(|purpose| purpose.is_name()) {
                return;
            }
        }
        self.names_done = true;
        match (self.resolved, plan.resolvers_known) {
            (true, true) => {
                for (resolver, resolved) in &self.heard {
                    let heard = if *resolved { Heard::Answer } else { Heard::Silence };
                    self.conduct.note(*resolver, heard);
                }
            }
            (true, false) => {}
            (false, true) => {
                self.dns = Finding::NoAnswer;
                self.dns_failures += 1;
                self.unnamed = self.unnamed.or(self.names_asked);
            }
            // The silence of somebody who never promised to resolve names proves nothing.
            (false, false) => (self.dns, self.dns_failures) = (Finding::Unknown, 0),
        }
    }
}

#[cfg(test)]
mod tests;
