use std::path::PathBuf;
use std::sync::Arc;

use proptest::prelude::*;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixListener;
use tokio::sync::broadcast;
use tokio::time::timeout;

use super::blob::{self, Garbled};
use super::frame::take;
use super::*;
use crate::engine::kernel::network::Stage;

/// Frames as they were seen: those that a client said begin with `->`.
const SEEN: &str = include_str!("frames.txt");

fn bytes(hex: &str) -> Vec<u8> {
    let byte = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(byte).collect()
}

fn seen(by: &str) -> Vec<Vec<u8>> {
    SEEN.lines().filter_map(|line| line.strip_prefix(by)?.strip_prefix(' ')).map(bytes).collect()
}

fn frame(bytes: &[u8]) -> Frame {
    let mut buffer = bytes.to_vec();
    let frame = take(&mut buffer).unwrap().unwrap();
    assert!(buffer.is_empty(), "{frame:?} leaves {} bytes", buffer.len());
    frame
}

#[test]
fn what_a_client_says_is_said_in_the_same_bytes() {
    let said = seen("->");
    assert!(said.len() >= 10);
    for bytes in said {
        assert_eq!(frame(&bytes).encode(), bytes);
    }
}

#[test]
fn what_a_bus_says_is_read_to_its_end() {
    let heard = seen("<-");
    assert!(heard.len() >= 25);
    for bytes in heard {
        assert!(frame(&bytes).kind.is_some());
    }
}

#[test]
fn words_are_the_same_there_and_back() {
    let said = json!({
        "text": "it's \"so\"", "nothing": "", "yes": true, "no": false, "small": -7, "large": 5_000_000_000_i64,
        "half": 0.5, "list": [1, "two", {"three": [3]}], "table": {"a-b": {"c": []}},
    });
    let mut out = Vec::new();
    blob::put_table(&mut out, said.as_object().unwrap());
    assert_eq!(serde_json::Value::Object(blob::table(&out).unwrap()), said);
}

#[test]
fn a_dump_is_the_networks() {
    let dumps = seen("<-").into_iter().map(|bytes| frame(&bytes).words.data);
    let dump =
        dumps.flatten().find(|data| data.contains_key("interface") && data["interface"].is_array());
    let networks = netifd::networks(dump.unwrap()).unwrap();
    let names: Vec<&str> = networks.keys().map(String::as_str).collect();
    assert_eq!(names, ["lan", "loopback", "wan", "wanb", "wwan"]);
    let wan = &networks["wan"];
    assert_eq!(
        (&wan.stage, wan.device.as_ref().map(|name| name.as_str())),
        (&Stage::Up, Some("wan"))
    );
    assert_eq!(wan.gateways.v4, Some("192.168.10.1".parse().unwrap()));
    assert_eq!(networks["lan"].gateways.v4, None);
}

#[test]
fn what_is_not_used_is_known_and_reasons_are_told() {
    let said = json!({"interface": [
        {"interface": "wan", "up": true, "l3_device": "pppoe-wan", "route": [],
         "inactive": {"route": [{"target": "0.0.0.0", "mask": 0, "nexthop": "10.0.0.1", "source": "10.0.0.2/32"}],
                      "dns-server": ["192.0.2.53"]}},
        {"interface": "wan6", "up": true, "l3_device": "wan",
         "ipv6-prefix": [{"address": "2001:db8:a0::", "mask": 48, "class": "wan6"}],
         "route": [{"target": "::", "mask": 0, "nexthop": "fe80::1"}, {"target": "2001:db8::", "mask": 32}]},
        {"interface": "off", "up": false, "pending": false, "available": true, "autostart": false},
        {"interface": "stick", "up": false, "available": false, "errors": [{"subsystem": "interface", "code": "NO_DEVICE"}]},
        {"interface": "dsl", "up": false, "pending": true, "autostart": true, "errors": [{"subsystem": "ppp", "code": "AUTH_FAILED"}]},
        {"interface": "cable", "up": false, "pending": true, "autostart": true},
    ]});
    let networks = netifd::networks(said.as_object().unwrap().clone()).unwrap();
    assert_eq!(networks["wan"].gateways.v4, Some("10.0.0.1".parse().unwrap()));
    assert_eq!(networks["wan"].resolvers, ["192.0.2.53".parse::<std::net::IpAddr>().unwrap()]);
    assert_eq!(networks["wan6"].gateways.v6, Some("fe80::1".parse().unwrap()));
    assert_eq!(networks["wan6"].prefixes6, ["2001:db8:a0::/48".parse().unwrap()]);
    let stages = ["off", "stick", "dsl", "cable"].map(|name| networks[name].stage.clone());
    assert_eq!(
        stages,
        [
            Stage::SwitchedOff,
            Stage::NoDevice,
            Stage::Failed("AUTH_FAILED".to_owned()),
            Stage::Pending
        ]
    );
}

proptest! {
    #[test]
    fn whatever_comes_is_read_or_refused(
        at in any::<prop::sample::Index>(),
        cut in any::<prop::sample::Index>(),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
    ) {
        let frames = [seen("<-"), seen("->")].concat();
        let mut bytes = at.get(&frames).clone();
        for (place, byte) in flips {
            *place.get_mut(&mut bytes) = byte;
        }
        bytes.truncate(cut.index(bytes.len()) + 1);
        while let Ok(Some(frame)) = take(&mut bytes) {
            frame.encode();
        }
    }

    #[test]
    fn any_bytes_are_a_table_or_garbled(bytes in prop::collection::vec(any::<u8>(), 0..256)) {
        let _: Result<_, Garbled> = blob::table(&bytes);
    }
}

#[test]
fn tables_in_tables_end_somewhere() {
    let mut said = json!({});
    for _ in 0..64 {
        said = json!({ "deeper": said });
    }
    let mut out = Vec::new();
    blob::put_table(&mut out, said.as_object().unwrap());
    assert_eq!(blob::table(&out), Err(Garbled));
}

/// Plays ubusd and netifd at a socket of its own.
struct Fake {
    path: PathBuf,
    listener: UnixListener,
}

/// How ubusd sends what it sends.
#[derive(Clone, Copy, PartialEq)]
enum Manner {
    Whole,
    ByteByByte,
    /// An event comes in the middle of every answer.
    Interrupted,
}

const NETIFD: u32 = 0x7865_0dc0;
const OURS: u32 = 0x142d_5323;

impl Fake {
    fn new(name: &str) -> Self {
        let path =
            std::env::temp_dir().join(format!("sparelink-ubus-{name}-{}", std::process::id()));
        drop(std::fs::remove_file(&path));
        Self { listener: UnixListener::bind(&path).unwrap(), path }
    }

    async fn accept(&self, manner: Manner) -> Peer {
        let (stream, _) = self.listener.accept().await.unwrap();
        let mut peer = Peer { stream, manner, came: Vec::new() };
        peer.say(&Frame { kind: Some(Kind::Hello), sequence: 0, peer: 5, words: Words::default() })
            .await;
        peer
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.path));
    }
}

struct Peer {
    stream: UnixStream,
    manner: Manner,
    came: Vec<u8>,
}

impl Peer {
    async fn say(&mut self, frame: &Frame) {
        let bytes = frame.encode();
        if self.manner != Manner::ByteByByte {
            return self.stream.write_all(&bytes).await.unwrap();
        }
        for byte in bytes {
            self.stream.write_all(&[byte]).await.unwrap();
            tokio::task::yield_now().await;
        }
    }

    async fn hear(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = take(&mut self.came).unwrap() {
                return Some(frame);
            }
            if self.stream.read_buf(&mut self.came).await.unwrap_or(0) == 0 {
                return None;
            }
        }
    }

    async fn tell(&mut self) {
        let words = Words {
            object: Some(OURS),
            method: Some("interface.update".to_owned()),
            wants_no_reply: true,
            ..Words::default()
        };
        self.say(&Frame { kind: Some(Kind::Invoke), sequence: 99, peer: 7, words }).await;
    }

    /// Answers as netifd with these networks would, until somebody hangs up or so many dumps were given.
    async fn serve(&mut self, dumps: &[serde_json::Value]) {
        let mut dumps = dumps.iter();
        while let Some(asked) = self.hear().await {
            let words = match asked.kind {
                Some(Kind::Lookup) => Words { object: Some(NETIFD), ..Words::default() },
                Some(Kind::AddObject) => Words { object: Some(OURS), ..Words::default() },
                Some(Kind::Invoke) => {
                    let Some(dump) = dumps.next() else { return };
                    Words { data: dump.as_object().cloned(), ..Words::default() }
                }
                _ => Words::default(),
            };
            let (sequence, peer) = (asked.sequence, asked.peer);
            if asked.kind != Some(Kind::Subscribe) {
                self.say(&Frame { kind: Some(Kind::Data), sequence, peer, words }).await;
            }
            if self.manner == Manner::Interrupted {
                self.tell().await;
            }
            let words = Words { status: Some(0), ..Words::default() };
            self.say(&Frame { kind: Some(Kind::Status), sequence, peer, words }).await;
            if asked.kind == Some(Kind::Invoke) && dumps.len() == 0 {
                return;
            }
        }
    }
}

fn wan(gateway: &str) -> serde_json::Value {
    json!({"interface": [{"interface": "wan", "up": true, "l3_device": "eth1",
           "route": [{"target": "0.0.0.0", "mask": 0, "nexthop": gateway}]}]})
}

async fn next(told: &mut mpsc::Receiver<Input>) -> Networks {
    loop {
        match timeout(Duration::from_secs(20), told.recv()).await {
            Ok(Some(Input::Networks(networks))) => return networks,
            // Only until it has said something once.
            Ok(Some(Input::NetifdIsSilent)) => {}
            other => panic!("no networks but {other:?}"),
        }
    }
}

fn gateway(networks: &Networks) -> Option<String> {
    networks.get("wan")?.gateways.v4.map(|gateway| gateway.to_string())
}

#[tokio::test]
async fn networks_are_told_however_they_come() {
    for (name, manner) in
        [("whole", Manner::Whole), ("bytes", Manner::ByteByByte), ("between", Manner::Interrupted)]
    {
        let fake = Fake::new(name);
        let (tell, mut told) = mpsc::channel(4);
        watch(&fake.path, tell);
        let mut peer = fake.accept(manner).await;
        peer.serve(&[wan("192.0.2.1")]).await;
        assert_eq!(gateway(&next(&mut told).await).as_deref(), Some("192.0.2.1"), "{name}");
        peer.tell().await;
        peer.serve(&[wan("192.0.2.9")]).await;
        assert_eq!(gateway(&next(&mut told).await).as_deref(), Some("192.0.2.9"), "{name}");
        // It ends, which takes nothing away, and comes back with something new.
        drop(peer);
        fake.accept(manner).await.serve(&[wan("192.0.2.1")]).await;
        assert_eq!(gateway(&next(&mut told).await).as_deref(), Some("192.0.2.1"), "{name}");
    }
}

#[tokio::test]
async fn a_bus_that_refuses_or_talks_nonsense_is_asked_again() {
    let fake = Fake::new("nonsense");
    let (tell, mut told) = mpsc::channel(4);
    watch(&fake.path, tell);
    // Who may not know of netifd is told that nothing is there.
    let mut peer = fake.accept(Manner::Whole).await;
    let asked = peer.hear().await.unwrap();
    let words = Words { status: Some(0), ..Words::default() };
    peer.say(&Frame { kind: Some(Kind::Status), sequence: asked.sequence, peer: 0, words }).await;
    assert!(peer.hear().await.is_none(), "it goes on with a bus that has nothing for it");
    assert!(matches!(told.recv().await, Some(Input::NetifdIsSilent)));
    let mut peer = fake.accept(Manner::Whole).await;
    peer.stream.write_all(&[0xff; 64]).await.unwrap();
    while peer.hear().await.is_some() {}
    // A dump of a megabyte and more is none.
    let mut peer = fake.accept(Manner::Whole).await;
    peer.stream.write_all(&[0, 2, 0, 1, 0, 0, 0, 0, 0, 0x20, 0, 0]).await.unwrap();
    while peer.hear().await.is_some() {}
    fake.accept(Manner::Whole).await.serve(&[wan("192.0.2.1")]).await;
    assert_eq!(gateway(&next(&mut told).await).as_deref(), Some("192.0.2.1"));
}

#[tokio::test]
async fn a_dump_of_nearly_a_megabyte_is_read() {
    let mut dump = wan("192.0.2.1");
    let row =
        |n: usize| json!({"interface": format!("guest{n}"), "up": false, "proto": "x".repeat(200)});
    let networks = dump["interface"].as_array_mut().unwrap();
    networks.splice(0..0, (0..3800).map(row));
    let words = Words { data: dump.as_object().cloned(), ..Words::default() };
    let frame = Frame { kind: Some(Kind::Data), sequence: 0, peer: 0, words };
    assert!((1_000_000..1 << 20).contains(&frame.encode().len()), "{}", frame.encode().len());
    let fake = Fake::new("megabyte");
    let (tell, mut told) = mpsc::channel(4);
    watch(&fake.path, tell);
    fake.accept(Manner::Whole).await.serve(&[dump]).await;
    let networks = next(&mut told).await;
    assert_eq!((networks.len(), gateway(&networks).as_deref()), (3801, Some("192.0.2.1")));
}

/// Who asks our object, in ubusd's words.
async fn ask(peer: &mut Peer, method: &str, wants_no_reply: bool) {
    let words = Words {
        object: Some(OURS),
        method: Some(method.to_owned()),
        data: Some(serde_json::Map::new()),
        wants_no_reply,
        ..Words::default()
    };
    peer.say(&Frame { kind: Some(Kind::Invoke), sequence: 0x1234, peer: 77, words }).await;
}

struct Known(broadcast::Sender<Arc<str>>);

impl Facts for Known {
    async fn status(&self) -> Option<serde_json::Value> {
        Some(json!({"sentence": "All is well", "none": null, "uplinks": []}))
    }

    fn news(&self) -> broadcast::Receiver<Arc<str>> {
        self.0.subscribe()
    }
}

#[tokio::test]
async fn who_asks_our_object_is_answered_and_who_listens_is_told() {
    let fake = Fake::new("object");
    let (news, _) = broadcast::channel(4);
    let served = {
        let (path, known) = (fake.path.clone(), Known(news.clone()));
        tokio::spawn(async move { serve(&path, known).await })
    };
    for manner in [Manner::Whole, Manner::ByteByByte] {
        let mut peer = fake.accept(manner).await;
        let made = peer.hear().await.unwrap();
        assert_eq!(
            (made.kind, made.words.path.as_deref()),
            (Some(Kind::AddObject), Some("sparelink"))
        );
        let (sequence, words) = (made.sequence, Words { object: Some(OURS), ..Words::default() });
        peer.say(&Frame { kind: Some(Kind::Data), sequence, peer: 0, words }).await;
        let words = Words { status: Some(0), ..Words::default() };
        peer.say(&Frame { kind: Some(Kind::Status), sequence, peer: 0, words }).await;

        ask(&mut peer, "status", false).await;
        let answer = peer.hear().await.unwrap();
        let head = (answer.kind, answer.sequence, answer.peer, answer.words.object);
        assert_eq!(head, (Some(Kind::Data), 0x1234, 77, Some(OURS)));
        let said = json!({"sentence": "All is well", "uplinks": []});
        assert_eq!(answer.words.data.as_ref(), said.as_object());
        let end = peer.hear().await.unwrap();
        assert_eq!((end.kind, end.words.status), (Some(Kind::Status), Some(0)));

        // Who wants no reply gets the answer only; a method that we do not have is told at once.
        ask(&mut peer, "status", true).await;
        assert_eq!(peer.hear().await.unwrap().kind, Some(Kind::Data));
        ask(&mut peer, "destroy", false).await;
        let end = peer.hear().await.unwrap();
        assert_eq!((end.kind, end.words.status), (Some(Kind::Status), Some(3)));

        news.send(Arc::from(r#"{"code":"switched","to":null}"#)).unwrap();
        let event = peer.hear().await.unwrap();
        let head = (event.kind, event.peer, event.words.method.as_deref());
        assert_eq!(head, (Some(Kind::Invoke), 1, Some("send")));
        let said = json!({"id": "sparelink", "data": {"code": "switched"}});
        assert_eq!(event.words.data.as_ref(), said.as_object());
        // ubusd says whether it was allowed, which changes nothing; then it ends, and we are there again.
        let words = Words { status: Some(6), ..Words::default() };
        peer.say(&Frame { kind: Some(Kind::Status), sequence: event.sequence, peer: 1, words })
            .await;
        ask(&mut peer, "status", false).await;
        assert_eq!(peer.hear().await.unwrap().kind, Some(Kind::Data));
    }
    served.abort();
}
