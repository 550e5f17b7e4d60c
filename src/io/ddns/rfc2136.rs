//! DNS UPDATE with TSIG (RFC 2136, RFC 8945), by TCP: addresses are replaced in one signed message, after and before
//! a look at what the server says.

use std::net::IpAddr;
use std::time::Duration;

use base64ct::{Base64, Encoding as _};
use hickory_proto::op::{Message, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::tsig::{TSIG, TsigAlgorithm, TsigError};
use hickory_proto::rr::rdata::{A, AAAA};
use hickory_proto::rr::{DNSClass, Name, RData, Record as Resource, RecordType};
use hickory_proto::rr::{TSigVerifier, TSigner};

use super::job::{Job, passing, unclear};
use super::query::{exchange, says};
use crate::config::{Secret, Server};
use crate::engine::names::ddns::request::{NameFailure, NameRequest, Record, Seen, Then};
use crate::io::client::connect;
use crate::io::clock;
use crate::time::Utc;
use crate::units::Family;

/// How far two clocks may be apart, in seconds (RFC 8945 §10).
const FUDGE: u16 = 300;
/// What a server refused by a signed answer is asked again so seldom.
const REFUSED: Duration = Duration::from_secs(3600);

/// Where names are changed, and by which key.
#[derive(Clone, Copy)]
pub(super) struct Zone<'a> {
    pub(super) server: &'a Server,
    pub(super) zone: &'a str,
    pub(super) key_name: &'a str,
}

/// Has the name say what it should.
pub(super) async fn run(
    job: &Job<'_>,
    at: &Zone<'_>,
    secret: &Secret,
) -> Result<Seen, NameFailure> {
    let of_it = |why: String| format!("{}: {why}", at.server.host);
    let name = &job.request.name;
    let mut stream = connect(at.server, job.addresses, &job.way).await.map_err(passing)?;
    match says(&mut stream, name).await {
        Ok(says) if job.only_looks() || job.is_met(&says) => {
            return Ok(Seen { says: Some(says), ..Seen::default() });
        }
        Ok(_) => {}
        Err(why) => return Err(passing(of_it(why))),
    }
    let now = clock::now().utc;
    let mut update = Update::new(job.request, job.config.ttl, at, secret, now)?;
    let answer = exchange(&mut stream, &update.bytes).await.map_err(|why| unclear(of_it(why)))?;
    update.judge(&answer, at, name).map_err(|mut failure| {
        failure.why = of_it(failure.why);
        failure
    })?;
    // Whether it is seen is found out later, too.
    let says = says(&mut stream, name).await.ok();
    Ok(Seen { wrote: true, says, others_say: None })
}

/// A change, signed.
struct Update {
    bytes: Vec<u8>,
    number: u16,
    verifier: TSigVerifier,
    /// By this box's clock, in seconds since 1970.
    signed_at: u64,
}

impl Update {
    fn new(
        request: &NameRequest,
        ttl: u32,
        at: &Zone<'_>,
        secret: &Secret,
        now: Option<Utc>,
    ) -> Result<Self, NameFailure> {
        // A signature of 1970 is refused, and its answer cannot be checked.
        let now = now.ok_or_else(|| passing("the clock of this box is not set".to_owned()))?;
        let unfit = |what: &str| passing(what.to_owned());
        let key = Base64::decode_vec(secret.reveal())
            .ok()
            .filter(|key| !key.is_empty())
            .ok_or_else(|| unfit("the secret file has no key in base64"))?;
        let parse = |text: &str| {
            let mut name = Name::from_ascii(text).map_err(|_| unfit("it is no name"))?;
            name.set_fqdn(true);
            Ok(name)
        };
        let (zone, name, key_name) = (parse(at.zone)?, parse(&request.name)?, parse(at.key_name)?);
        // A name outside its zone is a mistake of the configuration, which is found there.
        if !zone.zone_of(&name) {
            return Err(unfit("the name is not in the zone"));
        }
        let mut message = change(request, ttl, zone, &name);
        let signer = TSigner::new(key, TsigAlgorithm::HmacSha256, key_name, FUDGE);
        let signer = signer.map_err(|error| passing(error.to_string()))?;
        let signed_at = now.0 / 1000;
        let verifier = message.finalize(&signer, signed_at).ok().flatten();
        let bytes = message.to_vec().ok();
        match (verifier, bytes) {
            (Some(verifier), Some(bytes)) => {
                Ok(Self { bytes, number: message.metadata.id, verifier, signed_at })
            }
            _ => Err(unfit("the change cannot be signed")),
        }
    }

    /// What the server's answer means. One that is not signed is told, but nothing is concluded from it: anybody
    /// on the way could have sent it.
    fn judge(&mut self, answer: &[u8], at: &Zone<'_>, name: &str) -> Result<(), NameFailure> {
        let garbage = || unclear("its answer is no answer to a change".to_owned());
        let message = Message::from_vec(answer).map_err(|_| garbage())?;
        if message.metadata.id != self.number || message.metadata.op_code != OpCode::Update {
            return Err(garbage());
        }
        let code = message.metadata.response_code;
        let signature = message.signature().map(|record| &record.data);
        let Some(signature) = signature.filter(|signature| !signature.mac.is_empty()) else {
            let error = signature.and_then(|signature| signature.error.as_ref());
            let failure = passing(unsigned(code, error, at, name));
            return Err(NameFailure { sent: code == ResponseCode::NoError, ..failure });
        };
        // The crate subtracts one from the other.
        let sound = signature.time >= u64::from(signature.fudge);
        if !sound || self.verifier.verify(answer).is_err() {
            return Err(unclear("its answer is not signed by the key".to_owned()));
        }
        if matches!(signature.error, Some(TsigError::BadTime)) {
            return Err(passing(self.clock_is_off(signature)));
        }
        signed(code, at, name)
    }

    /// How far the clocks are apart, as the server says (RFC 8945 §5.2.3).
    fn clock_is_off(&self, signature: &TSIG) -> String {
        let theirs =
            signature.other.iter().fold(0_u64, |time, byte| (time << 8) | u64::from(*byte));
        let off = theirs.abs_diff(self.signed_at);
        let way = if theirs > self.signed_at { "behind" } else { "ahead of" };
        format!("the clock of this box is {off} s {way} the server's")
    }
}

/// The addresses replaced, all in one (RFC 2136 §2.5).
fn change(request: &NameRequest, ttl: u32, zone: Name, name: &Name) -> Message {
    let mut message = Message::query();
    message.metadata.op_code = OpCode::Update;
    message.metadata.recursion_desired = false;
    let mut question = Query::new();
    question.set_name(zone).set_query_class(DNSClass::IN).set_query_type(RecordType::SOA);
    message.add_query(question);
    for family in Family::BOTH {
        let kind = match family {
            Family::V4 => RecordType::A,
            Family::V6 => RecordType::AAAA,
        };
        let record = *request.records.get(family);
        if record == Record::Keep {
            continue;
        }
        let mut old: Resource = Resource::update0(name.clone(), 0, kind);
        old.dns_class = DNSClass::ANY;
        message.add_authority(old);
        if let Record::Is(ip) = record {
            let data = match ip {
                IpAddr::V4(ip) => RData::A(A(ip)),
                IpAddr::V6(ip) => RData::AAAA(AAAA(ip)),
            };
            message.add_authority(Resource::from_rdata(name.clone(), ttl, data));
        }
    }
    message
}

/// What an answer without a signature says. Which of these a server says for what differs from make to make.
fn unsigned(code: ResponseCode, error: Option<&TsigError>, at: &Zone<'_>, name: &str) -> String {
    let (zone, key) = (at.zone, at.key_name);
    match (code, error) {
        (_, Some(TsigError::BadSig)) => format!("the secret of key {key} is another one there"),
        (_, Some(TsigError::BadKey)) => {
            format!("it does not know key {key}, or does not let it change {name}")
        }
        (_, Some(TsigError::BadTime)) => "the clocks of this box and the server differ".to_owned(),
        (ResponseCode::NotAuth, _) => format!("it does not have the zone {zone}"),
        (ResponseCode::Refused, _) => format!("it takes no changes of {name} from this box"),
        (ResponseCode::NoError, _) => "its answer is not signed".to_owned(),
        (ResponseCode::NotImp, _) => "it takes no changes at all".to_owned(),
        (code, _) => format!("{code}"),
    }
}

/// What a signed answer says.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "what else a server may say is told by its name"
)]
fn signed(code: ResponseCode, at: &Zone<'_>, name: &str) -> Result<(), NameFailure> {
    let (zone, key) = (at.zone, at.key_name);
    let refused =
        |why: String| Err(NameFailure { why, then: Then::RetryAfter(REFUSED), sent: false });
    match code {
        ResponseCode::NoError => Ok(()),
        ResponseCode::Refused => refused(format!("key {key} may not change {name}")),
        ResponseCode::NotAuth => refused(format!("it does not have the zone {zone}")),
        ResponseCode::NotZone => refused(format!("{name} is not in its zone {zone}")),
        ResponseCode::ServFail => {
            Err(unclear(format!("it cannot write the zone {zone} (SERVFAIL)")))
        }
        code => Err(unclear(format!("{code}"))),
    }
}

#[cfg(test)]
mod tests;
