use hickory_proto::op::MessageType;

use super::*;
use crate::engine::names::ddns::request::Task;
use crate::units::PerFamily;

const NOW: u64 = 1_900_000_000;

fn server() -> Server {
    Server { tls: false, host: "192.0.2.53".to_owned(), port: 53 }
}

fn request(name: &str) -> NameRequest {
    let v4 = Record::Is("192.0.2.10".parse().unwrap());
    let v6 = Record::None;
    let (name, paths) = (name.to_owned(), Vec::new());
    NameRequest { number: 1, name, task: Task::Write, records: PerFamily { v4, v6 }, paths }
}

fn update(name: &str, secret: &str, now: Option<u64>) -> Result<Update, String> {
    let server = server();
    let at = Zone { server: &server, zone: "example.net", key_name: "home" };
    let now = now.map(|seconds| Utc(seconds * 1000));
    Update::new(&request(name), 60, &at, &secret.to_owned().into(), now).map_err(|f| f.why)
}

const SECRET: &str = "mBUhXdcs5XI6BVr4NNxrXDSPMUzYoWe+AIgyb5uHXqk=";

#[test]
fn what_would_end_the_agent_is_refused_in_words() {
    let why = |name, secret, now| update(name, secret, now).err();
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(why("home.example.net", SECRET, None), some("the clock of this box is not set"));
    let outside = some("the name is not in the zone");
    assert_eq!(why("home.example.org", SECRET, Some(NOW)), outside);
    assert_eq!(why("homeexample.net", SECRET, Some(NOW)), outside);
    let no_key = some("the secret file has no key in base64");
    assert_eq!(why("home.example.net", "?", Some(NOW)), no_key);
    assert_eq!(why("home.example.net", "", Some(NOW)), no_key);
    assert_eq!(why("example.net", SECRET, Some(NOW)), None, "the zone's own name");
}

#[test]
fn one_message_replaces_and_takes_away() {
    let update = update("home.example.net", SECRET, Some(NOW)).unwrap();
    let message = Message::from_vec(&update.bytes).unwrap();
    let classes: Vec<_> =
        message.authorities.iter().map(|r| (r.record_type(), r.dns_class)).collect();
    let expected = [
        (RecordType::A, DNSClass::ANY),
        (RecordType::A, DNSClass::IN),
        (RecordType::AAAA, DNSClass::ANY),
    ];
    assert_eq!(classes, expected);
    assert!(message.signature().is_some() && message.metadata.op_code == OpCode::Update);
}

/// An answer, signed by the server's key if there is one, at the server's time.
fn answer(update: &Update, code: ResponseCode, key: Option<&str>, time: u64) -> Vec<u8> {
    let mut message = Message::from_vec(&update.bytes).unwrap();
    message.take_signature();
    message.authorities.clear();
    message.metadata.message_type = MessageType::Response;
    message.metadata.response_code = code;
    if let Some(key) = key {
        let key = Base64::decode_vec(key).unwrap();
        let name = Name::from_ascii("home.").unwrap();
        let signer = TSigner::new(key, TsigAlgorithm::HmacSha256, name, FUDGE).unwrap();
        message.finalize(&signer, time).unwrap();
    }
    message.to_vec().unwrap()
}

#[test]
fn only_signed_answers_are_believed() {
    let server = server();
    let at = Zone { server: &server, zone: "example.net", key_name: "home" };
    let judge = |bytes: &dyn Fn(&Update) -> Vec<u8>| {
        let mut update = update("home.example.net", SECRET, Some(NOW)).unwrap();
        let bytes = bytes(&update);
        update.judge(&bytes, &at, "home.example.net").unwrap_err()
    };
    let not_signed = judge(&|u| answer(u, ResponseCode::NoError, None, NOW));
    assert_eq!((not_signed.why.as_str(), not_signed.sent), ("its answer is not signed", true));
    let refused = judge(&|u| answer(u, ResponseCode::Refused, None, NOW));
    assert_eq!(refused.then, Then::Retry, "anybody could have said so");
    // Signed, but not as an answer to what was asked: its signature does not cover that.
    let by_others = judge(&|u| answer(u, ResponseCode::NoError, Some(SECRET), NOW));
    assert_eq!(by_others.why, "its answer is not signed by the key");
    // The server's clock stands at the beginning of 1970.
    let old = judge(&|u| answer(u, ResponseCode::NoError, Some(SECRET), 5));
    assert_eq!(old.why, "its answer is not signed by the key");
}

#[test]
fn garbage_is_survived() {
    let server = server();
    let at = Zone { server: &server, zone: "example.net", key_name: "home" };
    let mut update = update("home.example.net", SECRET, Some(NOW)).unwrap();
    let good = answer(&update, ResponseCode::NoError, Some(SECRET), NOW);
    for end in 0..good.len() {
        assert!(update.judge(&good[..end], &at, "home.example.net").is_err(), "{end}");
    }
    for place in 0..good.len() {
        let mut bad = good.clone();
        bad[place] ^= 0xff;
        assert!(update.judge(&bad, &at, "home.example.net").is_err(), "{place}");
    }
}
