//! Cloudflare's API: the records of a name are read, and those that differ are changed. The token needs `DNS:Edit` of
//! the zone, and `Zone:Read` if the zone is named and not given by its id.

use std::net::IpAddr;
use std::time::Duration;

use hyper::Method;
use serde_json::{Value, json};

use super::job::{Job, passing};
use super::web::{Asked, ask, judge_status};
use crate::config::{Secret, Server};
use crate::engine::events::entry::plain;
use crate::engine::names::ddns::request::{NameFailure, Record, Seen, Then};
use crate::units::{Family, PerFamily};

/// What was refused is tried again so seldom.
const REFUSED: Duration = Duration::from_secs(3600);
/// Cloudflare takes no shorter time to live.
const SHORTEST_TTL: u32 = 60;
/// Of what the API says of a mistake so many characters are told.
const MOST: usize = 120;

/// One record of a name.
struct Found {
    id: String,
    ip: IpAddr,
}

/// The API with a token.
struct Api<'a> {
    job: &'a Job<'a>,
    server: &'a Server,
    login: String,
}

/// Has the name say what it should.
pub(super) async fn run(
    job: &Job<'_>,
    server: &Server,
    zone: &str,
    token: &Secret,
) -> Result<Seen, NameFailure> {
    let api = Api { job, server, login: format!("Bearer {}", token.reveal()) };
    let zone = api.zone(zone).await?;
    let mut found = PerFamily { v4: Vec::new(), v6: Vec::new() };
    for family in Family::BOTH {
        *found.get_mut(family) = api.records(&zone, family).await?;
    }
    let ips = |found: &[Found]| found.iter().map(|one| one.ip).collect::<Vec<_>>();
    let mut says = PerFamily { v4: ips(&found.v4), v6: ips(&found.v6) };
    if job.only_looks() || job.is_met(&says) {
        return Ok(Seen { says: Some(says), ..Seen::default() });
    }
    let mut wrote = false;
    for family in Family::BOTH {
        let record = *job.request.records.get(family);
        let changed = api.change(&zone, family, record, found.get(family)).await;
        let before = std::mem::take(says.get_mut(family));
        *says.get_mut(family) =
            changed.map_err(|failure| NameFailure { sent: failure.sent || wrote, ..failure })?;
        wrote |= *says.get(family) != before;
    }
    Ok(Seen { wrote: true, says: Some(says), others_say: None })
}

const fn kind(family: Family) -> &'static str {
    match family {
        Family::V4 => "A",
        Family::V6 => "AAAA",
    }
}

impl Api<'_> {
    /// The id of a zone, which may be given itself.
    async fn zone(&self, zone: &str) -> Result<String, NameFailure> {
        if zone.len() == 32 && zone.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Ok(zone.to_owned());
        }
        let found = self.call(Method::GET, &format!("zones?name={zone}"), None).await?;
        match id(&found["result"][0]) {
            Some(id) => Ok(id),
            None => self.refused(format!("the token finds no zone {zone}")),
        }
    }

    async fn records(&self, zone: &str, family: Family) -> Result<Vec<Found>, NameFailure> {
        let (kind, name) = (kind(family), &self.job.request.name);
        let path = format!("zones/{zone}/dns_records?type={kind}&name={name}");
        let found = self.call(Method::GET, &path, None).await?;
        let one = |record: &Value| {
            let ip = record["content"].as_str()?.parse().ok()?;
            Some(Found { id: id(record)?, ip })
        };
        Ok(found["result"].as_array().into_iter().flatten().filter_map(one).collect())
    }

    /// Changes what differs; what the name says then.
    async fn change(
        &self,
        zone: &str,
        family: Family,
        record: Record,
        found: &[Found],
    ) -> Result<Vec<IpAddr>, NameFailure> {
        let base = format!("zones/{zone}/dns_records");
        let (kind, name) = (kind(family), &self.job.request.name);
        let ttl = self.job.config.ttl.max(SHORTEST_TTL);
        match (record, found) {
            (Record::Keep, found) => Ok(found.iter().map(|one| one.ip).collect()),
            (Record::Is(ip), [one]) if one.ip == ip => Ok(vec![ip]),
            (Record::Is(ip), []) => {
                let new = json!({
                    "type": kind, "name": name, "content": ip.to_string(), "ttl": ttl, "proxied": false,
                });
                self.call(Method::POST, &base, Some(&new)).await?;
                Ok(vec![ip])
            }
            (Record::Is(ip), [one]) => {
                let new = json!({ "content": ip.to_string(), "ttl": ttl });
                self.call(Method::PATCH, &format!("{base}/{}", one.id), Some(&new)).await?;
                Ok(vec![ip])
            }
            (Record::Is(_), several) => {
                let many = several.len();
                self.refused(format!("there are {many} {kind} records of {name}; leave one"))
            }
            (Record::None, found) => {
                for one in found {
                    self.call(Method::DELETE, &format!("{base}/{}", one.id), None).await?;
                }
                Ok(Vec::new())
            }
        }
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, NameFailure> {
        let path = format!("/client/v4/{path}");
        let asked = Asked {
            server: self.server,
            method,
            path: &path,
            login: Some(self.login.clone()),
            body: body.map(ToString::to_string),
        };
        let said = ask(self.job, asked).await?;
        let answer: Option<Value> = serde_json::from_str(&said.body).ok();
        let words = answer.as_ref().and_then(|answer| answer["errors"][0]["message"].as_str());
        let words = words.map(|words| plain(words).chars().take(MOST).collect::<String>());
        judge_status(&said, &self.server.host).map_err(|failure| match &words {
            Some(words) => NameFailure { why: format!("{}: {words}", failure.why), ..failure },
            None => failure,
        })?;
        let strange = || passing(format!("{}: this is not its API", self.server.host));
        let answer = answer.ok_or_else(strange)?;
        if answer["success"] != true {
            return self.refused(words.unwrap_or_else(|| "it refuses that".to_owned()));
        }
        Ok(answer)
    }

    fn refused<T>(&self, why: String) -> Result<T, NameFailure> {
        let why = format!("{}: {why}", self.server.host);
        Err(NameFailure { why, then: Then::RetryAfter(REFUSED), sent: false })
    }
}

/// The id of something: what is no plain word has no place in a path.
fn id(of: &Value) -> Option<String> {
    let id = of["id"].as_str()?;
    let fits = (1..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric());
    fits.then(|| id.to_owned())
}
