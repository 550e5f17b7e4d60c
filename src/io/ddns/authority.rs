//! What others are told: asked of a name server of the name's zone, which the box's own resolver knows.

use std::net::IpAddr;

use hickory_proto::op::{Message, Query};
use hickory_proto::rr::{Name, RData, RecordType};

use super::job::Job;
use super::query::{self, exchange};
use crate::config::Server;
use crate::io::client::connect;
use crate::io::resolv_conf;
use crate::units::PerFamily;

/// Name servers of a zone that are tried: they all say the same.
const TRIED: usize = 2;
const DNS: u16 = 53;

/// What a name server of its zone says of a name; `None`: none is found, or none answers.
pub(super) async fn says(job: &Job<'_>) -> Option<PerFamily<Vec<IpAddr>>> {
    for host in servers(job).await?.into_iter().take(TRIED) {
        let server = Server { tls: false, host, port: DNS };
        let Ok(mut stream) = connect(&server, job.addresses, &job.way).await else { continue };
        if let Ok(says) = query::says(&mut stream, &job.request.name).await {
            return Some(says);
        }
    }
    None
}

/// The name servers of the zone that a name is in.
async fn servers(job: &Job<'_>) -> Option<Vec<String>> {
    let name = Name::from_ascii(&job.request.name).ok()?;
    for resolver in resolv_conf::of_the_box() {
        let server = Server { tls: false, host: resolver.to_string(), port: DNS };
        // A resolver may end a connection after one answer.
        let Some(zone) = asked(job, &server, &name, RecordType::SOA).await.and_then(zone_of) else {
            continue;
        };
        let Some(answer) = asked(job, &server, &zone, RecordType::NS).await else { continue };
        let hosts: Vec<String> = hosts(&answer).collect();
        if !hosts.is_empty() {
            return Some(hosts);
        }
    }
    None
}

async fn asked(job: &Job<'_>, server: &Server, name: &Name, kind: RecordType) -> Option<Message> {
    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(name.clone(), kind));
    let question = message.to_vec().ok()?;
    let mut stream = connect(server, job.addresses, &job.way).await.ok()?;
    let answer = Message::from_vec(&exchange(&mut stream, &question).await.ok()?).ok()?;
    (answer.metadata.id == message.metadata.id).then_some(answer)
}

/// The zone whose beginning an answer tells (RFC 2308 §3 for a name that is not one itself).
fn zone_of(answer: Message) -> Option<Name> {
    let mut all = answer.answers.into_iter().chain(answer.authorities);
    all.find(|record| record.record_type() == RecordType::SOA).map(|record| record.name)
}

fn hosts(answer: &Message) -> impl Iterator<Item = String> + '_ {
    answer.answers.iter().filter_map(|record| {
        let RData::NS(host) = &record.data else { return None };
        Some(host.0.to_ascii().trim_end_matches('.').to_owned())
    })
}
