//! Proof above ICMP: names resolve, and a well-known page looks as it should.
//!
//! Echo replies alone prove little: a portal answers them too, and so does an operator whose DNS is
//! dead. These checks can only lower trust.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::config::HttpCheck;
use crate::engine::probe::{Asker, Outcome, ProbeId, Question};
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
    /// Nobody answered.
    NoAnswer,
    /// It answered something else: a portal, and where it sends people.
    Wrong(Option<String>),
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
    /// The pages to look at; empty: this proof is off.
    pub pages: &'a [HttpCheck],
}

impl Plan<'_> {
    fn whom(&self) -> Vec<IpAddr> {
        let fits = |ip: &&IpAddr| Family::of(ip) == self.family;
        self.resolvers.iter().filter(fits).copied().collect()
    }
}

/// Why a question was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Purpose {
    Name,
    HostOfPage(usize),
    Page(usize),
}

/// How much one round of checks asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Round {
    /// One resolver, the next in turn.
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
    turn: usize,
    /// Rounds in a row that ended without DNS.
    dns_failures: u32,
}

/// An answer to a check counts for so long.
const TIMEOUT: Duration = Duration::from_millis(2500);

impl Proof {
    /// Begins a round now, unless one is under way.
    pub fn begin(&mut self, round: Round, plan: Plan<'_>, now: Instant, asker: &mut Asker<'_>) {
        if self.is_busy() {
            return;
        }
        self.round = round;
        self.names_asked = Some(now);
        (self.resolved, self.right, self.wrong) = (false, false, None);
        if let Some(name) = plan.name {
            self.turn = self.turn.wrapping_add(1);
            let mut whom = plan.whom();
            if round == Round::Names && !whom.is_empty() {
                whom = vec![whom[self.turn % whom.len()]];
            }
            self.ask_name(name, &whom, Purpose::Name, asker);
        }
        if round == Round::All {
            self.pages_asked = Some(now);
            self.ask_pages(plan, asker);
        }
        self.conclude(plan);
    }

    fn ask_pages(&mut self, plan: Plan<'_>, asker: &mut Asker<'_>) {
        for (position, page) in plan.pages.iter().enumerate() {
            match page.host.parse() {
                Ok(server) => self.ask_page(page, server, position, asker),
                Err(_) => {
                    let purpose = Purpose::HostOfPage(position);
                    self.ask_name(&page.host, &plan.whom(), purpose, asker);
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
            (Purpose::Name, Outcome::Resolved(..)) => {
                self.resolved = true;
                self.dns = Finding::Passed;
            }
            (Purpose::HostOfPage(n), Outcome::Resolved(_, addresses)) => {
                // Several resolvers were asked; the first answer is enough.
                self.asked.retain(|_, other| *other != purpose);
                if let (Some(page), Some(server)) = (plan.pages.get(n), addresses.first()) {
                    self.ask_page(page, *server, n, asker);
                }
            }
            (Purpose::Page(_), Outcome::HttpExpected(_)) => {
                self.right = true;
                self.http = Finding::Passed;
            }
            (Purpose::Page(_), Outcome::HttpOther { location, .. }) => {
                self.wrong.get_or_insert_with(|| location.clone());
            }
            _ => {}
        }
        self.conclude(plan);
        true
    }

    /// Forgets everything; the line is another one now.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Whether names resolve.
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

    fn ask_name(&mut self, name: &str, whom: &[IpAddr], purpose: Purpose, asker: &mut Asker<'_>) {
        for resolver in whom {
            let question = Question::Dns { resolver: *resolver, name: name.to_owned() };
            self.asked.insert(asker.ask(question, TIMEOUT), purpose);
        }
    }

    fn ask_page(&mut self, page: &HttpCheck, server: IpAddr, n: usize, asker: &mut Asker<'_>) {
        let question = Question::Http {
            server,
            port: page.port,
            host: page.host.clone(),
            path: page.path.clone(),
            expect: page.expect.clone(),
        };
        self.asked.insert(asker.ask(question, TIMEOUT), Purpose::Page(n));
    }

    /// Draws the conclusion of each check that has no question open.
    fn conclude(&mut self, plan: Plan<'_>) {
        let names_open = self.asked.values().any(|purpose| *purpose == Purpose::Name);
        let pages_open = self.asked.values().any(|purpose| *purpose != Purpose::Name);
        if plan.name.is_none() || self.resolved {
            self.dns_failures = 0;
        } else if !names_open {
            // The silence of somebody who never promised to resolve names proves nothing.
            let (finding, failures) = match plan.resolvers_known {
                true => (Finding::NoAnswer, self.dns_failures + 1),
                false => (Finding::Unknown, 0),
            };
            self.dns = finding;
            if self.asked.is_empty() {
                self.dns_failures = failures;
            }
        }
        if self.round == Round::All && !self.right {
            if let Some(location) = &self.wrong {
                self.http = Finding::Wrong(location.clone());
            } else if !pages_open && !plan.pages.is_empty() {
                self.http = Finding::NoAnswer;
            }
        }
    }
}
