//! Probes on the real kernel: a box with two uplinks in network namespaces. Behind the first is
//! the Internet, a server with DNS and HTTP; the second one's modem answers and leads nowhere.
#![expect(clippy::unwrap_used, reason = "a test may panic, what it calls too")]

mod echoes;
mod namespace;

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use namespace::Namespace;
use sparelink::config::HttpExpect;
use sparelink::engine::probe::{Outcome, Path, ProbeId, ProbeReply, ProbeRequest, Question};
use sparelink::io::clock;
use sparelink::io::probe::Prober;
use sparelink::units::{Fwmark, IfIndex, IfName, UplinkId};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::runtime::Runtime;
use tokio::sync::mpsc::{Receiver, channel};

use crate::runner::{Room, Test, within};

const SERVER: &str = "192.0.2.53";
const SERVER6: &str = "2001:db8::53";
/// Long enough for an answer in namespaces, however busy the machine is.
const PATIENT: Duration = Duration::from_secs(5);
/// Where one is answered and another stays silent.
const FIRM: Duration = Duration::from_secs(2);
/// How long silence is waited for.
const SHORT: Duration = Duration::from_millis(400);

/// Those for which ordinary ICMP sockets are not allowed, as in every new namespace.
const RAW: &str = "_over_raw_sockets";

/// One test.
type Case = (&'static str, fn(&World));

const CASES: [Case; 15] = [
    ("echo_over_raw_sockets", echo_over_raw_sockets),
    ("echo_over_datagram_sockets", echo_over_datagram_sockets),
    ("a_mark_is_set_unless_it_is_zero", a_mark_is_set_unless_it_is_zero),
    ("a_handshake_is_answered_or_refused", a_handshake_is_answered_or_refused),
    ("names_are_resolved", names_are_resolved),
    ("forged_answers_are_ignored", forged_answers_are_ignored),
    ("forged_echoes_over_raw_sockets", echoes::an_echo_with_another_payload_is_no_answer),
    ("forged_echoes_over_datagram_sockets", echoes::an_echo_with_another_payload_is_no_answer),
    ("late_is_not_lost", late_is_not_lost),
    ("pages_are_judged", pages_are_judged),
    ("what_cannot_be_sent_fails_in_words", what_cannot_be_sent_fails_in_words),
    ("too_many_probes_are_refused", too_many_probes_are_refused),
    ("forgetting_an_uplink_ends_its_echoes", forgetting_an_uplink_ends_its_echoes),
    ("a_new_address_works", a_new_address_works),
    ("a_device_that_comes_back_works", a_device_that_comes_back_works),
];

/// The tests of this module.
pub(crate) fn tests() -> Vec<Test> {
    let test = |(name, case): Case| {
        Test::new(name, move || {
            let world = World::new();
            if !name.ends_with(RAW) {
                world.allow_datagrams();
            }
            case(&world);
            Ok(())
        })
    };
    within("probe", Room::Little, CASES.map(test))
}

fn echo_over_raw_sockets(world: &World) {
    world.run(echo(world, "raw"));
}

fn echo_over_datagram_sockets(world: &World) {
    world.run(echo(world, "icmp"));
}

async fn echo(world: &World, kind: &str) {
    let mut asker = Asker::new();
    for (one, two, server) in
        [(world.one(), world.two(), SERVER), (world.one6(), world.two6(), SERVER6)]
    {
        // At the same time, to the same target: the dead uplink must not hear the other's reply.
        let echo = || Question::Echo(ip(server));
        let outcomes = asker.ask_all([(&one, echo()), (&two, echo())], FIRM).await;
        assert!(matches!(outcomes[0], Outcome::Answered(_)), "{outcomes:?}");
        assert_eq!(outcomes[1], Outcome::Silent, "the modem leads nowhere");
    }
    for (path, gateway) in [(world.two(), "10.9.2.1"), (world.two6(), "fd09:2::1")] {
        let outcome = asker.ask(&path, Question::Echo(ip(gateway))).await;
        assert!(matches!(outcome, Outcome::Answered(_)), "the modem itself: {outcome:?}");
    }
    // Which sockets these were, as the kernel lists them below a line of headings.
    let open = std::fs::read_to_string(format!("/proc/thread-self/net/{kind}")).unwrap();
    assert_eq!(open.lines().count(), 3, "two IPv4 sockets of this kind: {open}");
    let gateway = world.isp.inside(|| link_local("isp"));
    let outcome = asker.ask(&world.one6(), Question::Echo(gateway)).await;
    assert!(matches!(outcome, Outcome::Answered(_)), "a link-local gateway: {outcome:?}");
}

fn a_mark_is_set_unless_it_is_zero(world: &World) {
    world.run(async {
        let mut asker = Asker::new();
        let questions = || [Question::Echo(ip(SERVER)), Question::TcpConnect(ip(SERVER), 80)];
        for question in questions() {
            let mark = Fwmark { value: 0, mask: Fwmark::UPLINK_MASK };
            let outcome = asker.ask(&Path { mark, ..world.one() }, question).await;
            assert!(matches!(outcome, Outcome::Answered(_)), "no mark: {outcome:?}");
        }
        for question in questions() {
            // A rule sends uplink 3's mark to a gateway that is not there, by the same device.
            let uplink = UplinkId::new(3).unwrap();
            let path = Path { uplink, mark: uplink.mark(), ..world.one() };
            let outcomes = asker.ask_all([(&path, question)], SHORT).await;
            assert_eq!(outcomes, [Outcome::Silent], "the mark of uplink 3");
        }
    });
}

fn a_handshake_is_answered_or_refused(world: &World) {
    world.run(async {
        let mut asker = Asker::new();
        let connect = |port| Question::TcpConnect(ip(SERVER), port);
        let outcome = asker.ask(&world.one(), connect(80)).await;
        assert!(matches!(outcome, Outcome::Answered(_)), "{outcome:?}");
        let outcome = asker.ask(&world.one(), connect(81)).await;
        assert_eq!(outcome, failed("connection refused"));
        let outcomes = asker.ask_all([(&world.two(), connect(80))], SHORT).await;
        assert_eq!(outcomes, [Outcome::Silent]);
    });
}

fn names_are_resolved(world: &World) {
    world.run(async {
        let mut asker = Asker::new();
        let outcome = asker.ask(&world.one(), dns(SERVER, "good.test")).await;
        assert_eq!(addresses(&outcome), ["192.0.2.7"]);
        let outcome = asker.ask(&world.one6(), dns(SERVER6, "good.test")).await;
        assert_eq!(addresses(&outcome), ["2001:db8::7"]);
        let outcome = asker.ask(&world.one(), dns(SERVER, "missing.test")).await;
        assert!(matches!(outcome, Outcome::NoSuchName(_)), "{outcome:?}");
        let outcome = asker.ask(&world.one(), dns("10.9.1.1", "good.test")).await;
        assert_eq!(outcome, failed("connection refused"), "nobody listens there");
        let outcomes = asker.ask_all([(&world.two(), dns(SERVER, "good.test"))], SHORT).await;
        assert_eq!(outcomes, [Outcome::Silent]);
        let outcome = asker.ask(&world.one(), dns(SERVER, "no such name")).await;
        assert_eq!(outcome, failed("\"no such name\" is not a name that can be asked for"));
    });
}

fn forged_answers_are_ignored(world: &World) {
    world.run(async {
        let mut asker = Asker::new();
        let outcome = asker.ask(&world.one(), dns(SERVER, "forged.test")).await;
        assert_eq!(addresses(&outcome), ["192.0.2.7"]);
        let outcomes = asker.ask_all([(&world.one(), dns(SERVER, "onlyforged.test"))], SHORT).await;
        assert_eq!(outcomes, [Outcome::Silent]);
    });
}

fn late_is_not_lost(world: &World) {
    world.run(async {
        let mut asker = Asker::new();
        let late = |name| [(world.one(), dns(SERVER, name))];
        for (name, at_least) in [("late700.test", 700), ("late1500.test", 1500)] {
            let [(path, question)] = late(name);
            let outcome = asker.ask(&path, question).await;
            let Outcome::Resolved(rtt, _) = outcome else { panic!("{name}: {outcome:?}") };
            assert!(rtt.0 >= Duration::from_millis(at_least), "{name}: {rtt:?}");
            assert!(rtt.0 < PATIENT, "{name}: {rtt:?}");
        }
        // The first query is lost, the second one is answered at once.
        let [(path, question)] = late("second.test");
        let start = clock::now().mono;
        let outcome = asker.ask(&path, question).await;
        let Outcome::Resolved(rtt, _) = outcome else { panic!("{outcome:?}") };
        assert!(clock::now().mono.since(start) >= Duration::from_secs(1));
        assert!(rtt.0 < Duration::from_millis(900), "counts from the second query: {rtt:?}");
    });
}

fn pages_are_judged(world: &World) {
    let other = |status, location: Option<&str>| Outcome::HttpOther {
        status,
        location: location.map(str::to_owned),
    };
    world.run(async {
        let mut asker = Asker::new();
        let path = world.one();
        for (page, expect) in [
            ("/generate_204", HttpExpect::Status(204)),
            ("/success.txt", HttpExpect::Body("success".to_owned())),
            ("/drip", HttpExpect::Body("success".to_owned())),
        ] {
            let outcome = asker.ask(&path, http(page, expect)).await;
            assert!(matches!(outcome, Outcome::HttpExpected(_)), "{page}: {outcome:?}");
        }
        let success = || HttpExpect::Body("success".to_owned());
        for (page, expect, outcome) in [
            ("/portal", HttpExpect::Status(204), other(302, Some("http://login.test/?from=here"))),
            ("/portal", success(), other(302, Some("http://login.test/?from=here"))),
            ("/page", HttpExpect::Status(204), other(200, None)),
            ("/page", success(), other(200, None)),
            ("/endless", success(), other(200, None)),
        ] {
            assert_eq!(asker.ask(&path, http(page, expect)).await, outcome, "{page}");
        }
        for page in ["/garbage", "/closed", "/headers"] {
            let outcome = asker.ask(&path, http(page, success())).await;
            assert!(matches!(outcome, Outcome::Failed(_)), "{page}: {outcome:?}");
        }
        let mute = [(&path, http("/mute", success())), (&world.two(), http("/page", success()))];
        assert_eq!(asker.ask_all(mute, SHORT).await, [Outcome::Silent, Outcome::Silent]);
    });
}

fn what_cannot_be_sent_fails_in_words(world: &World) {
    world.run(async {
        let mut asker = Asker::new();
        let questions = || {
            [
                Question::Echo(ip(SERVER)),
                Question::TcpConnect(ip(SERVER), 80),
                dns(SERVER, "good.test"),
                http("/page", HttpExpect::Status(200)),
            ]
        };
        for question in questions() {
            let dev = IfName::new("gone0").unwrap();
            let outcome = asker.ask(&Path { dev, ..world.one() }, question).await;
            assert_eq!(outcome, failed("cannot bind to gone0: no such device"));
        }
        for question in questions() {
            let path = Path { source: ip("10.9.1.77"), ..world.one() };
            let outcome = asker.ask(&path, question).await;
            let words = "cannot send from 10.9.1.77: cannot assign requested address";
            assert_eq!(outcome, failed(words));
        }
        for question in questions() {
            let outcome = asker.ask(&world.one6(), question).await;
            let words = "192.0.2.53 cannot be reached from fd09:1::2: not the same IP version";
            assert_eq!(outcome, failed(words));
        }
    });
}

fn too_many_probes_are_refused(world: &World) {
    world.run(async {
        let mut asker = Asker::new();
        let two = world.two();
        let many = vec![(&two, Question::Echo(ip(SERVER))); 2049];
        let outcomes = asker.ask_all(many, SHORT).await;
        let refused = outcomes.iter().filter(|o| **o == failed("too many outstanding")).count();
        let silent = outcomes.iter().filter(|o| **o == Outcome::Silent).count();
        assert_eq!((silent, refused), (2048, 1));
        let outcome = asker.ask(&world.one(), Question::Echo(ip(SERVER))).await;
        assert!(matches!(outcome, Outcome::Answered(_)), "room again: {outcome:?}");
    });
}

fn forgetting_an_uplink_ends_its_echoes(world: &World) {
    world.run(async {
        let mut asker = Asker::new();
        asker.send(&world.two(), Question::Echo(ip(SERVER)), PATIENT);
        tokio::time::sleep(Duration::from_millis(50)).await;
        let start = clock::now().mono;
        asker.prober.forget(UplinkId::new(2).unwrap());
        let outcome = asker.replies.recv().await.unwrap().outcome;
        assert_eq!(outcome, failed("the interface or its address changed"));
        assert!(clock::now().mono.since(start) < PATIENT / 2);
    });
}

fn a_new_address_works(world: &World) {
    world.run(async {
        let mut asker = Asker::new();
        let echo = || Question::Echo(ip(SERVER));
        let outcome = asker.ask(&world.one(), echo()).await;
        assert!(matches!(outcome, Outcome::Answered(_)), "{outcome:?}");
        world.home.renumber("wan0", "10.9.1.2/24", "10.9.1.3/24").await;
        world.home.default("wan0", "10.9.1.1", 1).await;
        let outcome = asker.ask(&world.one(), echo()).await;
        assert!(matches!(outcome, Outcome::Failed(_)), "the old address: {outcome:?}");
        let path = Path { source: ip("10.9.1.3"), ..world.one() };
        let outcome = asker.ask(&path, echo()).await;
        assert!(matches!(outcome, Outcome::Answered(_)), "the new address: {outcome:?}");
        world.home.renumber("wan0", "10.9.1.3/24", "10.9.1.2/24").await;
        world.home.default("wan0", "10.9.1.1", 1).await;
        let outcome = asker.ask(&world.one(), echo()).await;
        assert!(matches!(outcome, Outcome::Answered(_)), "the old one again: {outcome:?}");
    });
}

fn a_device_that_comes_back_works(world: &World) {
    world.run(async {
        let (mut told, mut untold) = (Asker::new(), Asker::new());
        let echo = || Question::Echo(ip(SERVER));
        let before = world.one();
        for asker in [&mut told, &mut untold] {
            let outcome = asker.ask(&before, echo()).await;
            assert!(matches!(outcome, Outcome::Answered(_)), "{outcome:?}");
        }
        world.home.delete("wan0").await;
        let outcome = told.ask(&before, echo()).await;
        assert!(matches!(outcome, Outcome::Failed(_)), "without the device: {outcome:?}");
        world.first_uplink().await;
        let after = world.one();
        assert_ne!(before.index, after.index);
        let outcome = told.ask(&after, echo()).await;
        assert!(matches!(outcome, Outcome::Answered(_)), "the new index: {outcome:?}");
        // Who has not been told of the new index finds out by the first failure.
        let outcome = untold.ask(&before, echo()).await;
        assert!(matches!(outcome, Outcome::Failed(_)), "the old socket: {outcome:?}");
        let outcome = untold.ask(&before, echo()).await;
        assert!(matches!(outcome, Outcome::Answered(_)), "a new socket: {outcome:?}");
    });
}

/// Sends questions and waits for the answers.
struct Asker {
    prober: Prober,
    replies: Receiver<ProbeReply>,
    sent: u64,
}

impl Asker {
    fn new() -> Self {
        let (tx, replies) = channel(4096);
        Self { prober: Prober::new(tx), replies, sent: 0 }
    }

    fn send(&mut self, path: &Path, question: Question, timeout: Duration) -> ProbeId {
        let id = ProbeId(self.sent);
        self.sent += 1;
        self.prober.send(ProbeRequest { id, path: path.clone(), question, timeout });
        id
    }

    async fn ask(&mut self, path: &Path, question: Question) -> Outcome {
        self.ask_all([(path, question)], PATIENT).await.remove(0)
    }

    /// Asks everything at once and gives the outcomes in the order of the questions.
    async fn ask_all<'a>(
        &mut self,
        questions: impl IntoIterator<Item = (&'a Path, Question)>,
        timeout: Duration,
    ) -> Vec<Outcome> {
        let asked: Vec<(ProbeId, UplinkId)> = questions
            .into_iter()
            .map(|(path, question)| (self.send(path, question, timeout), path.uplink))
            .collect();
        let mut outcomes = vec![None; asked.len()];
        for _ in &asked {
            let reply = self.replies.recv().await.unwrap();
            let at = asked.iter().position(|(id, _)| *id == reply.id).expect("an answer to this");
            assert_eq!(reply.uplink, asked[at].1);
            assert!(outcomes[at].replace(reply.outcome).is_none(), "answered twice");
        }
        outcomes.into_iter().flatten().collect()
    }
}

/// The box with its two uplinks, and what is behind them.
struct World {
    runtime: Runtime,
    home: Namespace,
    isp: Namespace,
    _dead: Namespace,
}

impl World {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (home, isp, dead) = runtime.block_on(async {
            (Namespace::here().await, Namespace::new().await, Namespace::new().await)
        });
        let world = Self { runtime, home, isp, _dead: dead };
        world.run(async {
            world.first_uplink().await;
            let (home, dead) = (&world.home, &world._dead);
            home.cable("wan1", dead, "isp").await;
            home.address("wan1", "10.9.2.2/24").await;
            home.address("wan1", "fd09:2::2/64").await;
            dead.address("isp", "10.9.2.1/24").await;
            dead.address("isp", "fd09:2::1/64").await;
            home.default("wan1", "10.9.2.1", 2).await;
            home.default("wan1", "fd09:2::1", 2).await;
            let mark = UplinkId::new(3).unwrap().mark().value;
            home.detour(mark, 8303, "wan0", Ipv4Addr::new(10, 9, 1, 99)).await;
            world.isp.address("lo", &format!("{SERVER}/32")).await;
            world.isp.address("lo", &format!("{SERVER6}/128")).await;
            world.serve();
        });
        world
    }

    /// Allows sockets for echoes to everyone.
    fn allow_datagrams(&self) {
        let range = "/proc/sys/net/ipv4/ping_group_range";
        self.home.inside(|| std::fs::write(range, "0 0")).unwrap();
    }

    async fn first_uplink(&self) {
        let (home, isp) = (&self.home, &self.isp);
        home.cable("wan0", isp, "isp").await;
        home.address("wan0", "10.9.1.2/24").await;
        home.address("wan0", "fd09:1::2/64").await;
        isp.address("isp", "10.9.1.1/24").await;
        isp.address("isp", "fd09:1::1/64").await;
        home.default("wan0", "10.9.1.1", 1).await;
        home.default("wan0", "fd09:1::1", 1).await;
        // The Internet would also answer what came from the second uplink's address by the first
        // uplink: only the binding to the device keeps the dead one silent.
        isp.route("10.9.2.0/24", "isp", ip("10.9.1.2"), 1).await;
        isp.route("fd09:2::/64", "isp", ip("fd09:1::2"), 1).await;
    }

    /// Starts the servers behind the first uplink.
    fn serve(&self) {
        let udp = |address: &str| {
            let socket = self.isp.inside(|| std::net::UdpSocket::bind((ip(address), 53))).unwrap();
            socket.set_nonblocking(true).unwrap();
            UdpSocket::from_std(socket).unwrap()
        };
        let stranger = self.isp.inside(|| std::net::UdpSocket::bind(("0.0.0.0", 0))).unwrap();
        tokio::spawn(resolver(udp(SERVER), stranger.try_clone().unwrap()));
        tokio::spawn(resolver(udp(SERVER6), stranger));
        let listener = self.isp.inside(|| std::net::TcpListener::bind((ip(SERVER), 80))).unwrap();
        listener.set_nonblocking(true).unwrap();
        let listener = TcpListener::from_std(listener).unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(web(stream));
            }
        });
    }

    fn run<T>(&self, act: impl Future<Output = T>) -> T {
        self.runtime.block_on(act)
    }

    fn one(&self) -> Path {
        self.path(1, "wan0", "10.9.1.2")
    }

    fn two(&self) -> Path {
        self.path(2, "wan1", "10.9.2.2")
    }

    fn one6(&self) -> Path {
        self.path(1, "wan0", "fd09:1::2")
    }

    fn two6(&self) -> Path {
        self.path(2, "wan1", "fd09:2::2")
    }

    /// A path with the index that its device has now (that of a device that is gone is 1).
    fn path(&self, uplink: u8, dev: &str, source: &str) -> Path {
        let uplink = UplinkId::new(uplink).unwrap();
        Path {
            uplink,
            dev: IfName::new(dev).unwrap(),
            index: IfIndex(self.home.index(dev)),
            mark: uplink.mark(),
            source: ip(source),
        }
    }
}

/// Answers by the name asked for: `good`, `missing`, `forged`, `lateMILLISECONDS`, …
async fn resolver(socket: UdpSocket, stranger: std::net::UdpSocket) {
    let mut buffer = [0; 512];
    let mut asked_second = 0;
    while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
        let query = buffer[..length].to_vec();
        let label = String::from_utf8(query[13..13 + usize::from(query[12])].to_vec()).unwrap();
        let good = response(&query, 0, false);
        match label.as_str() {
            "missing" => drop(socket.send_to(&response(&query, 3, false), from).await),
            "forged" | "onlyforged" => {
                forge(&socket, &stranger, &query, from).await;
                if label == "forged" {
                    drop(socket.send_to(&good, from).await);
                }
            }
            "second" => {
                asked_second += 1;
                if asked_second == 2 {
                    drop(socket.send_to(&good, from).await);
                }
            }
            _ => {
                let delay = label.strip_prefix("late").map_or(0, |ms| ms.parse().unwrap());
                tokio::time::sleep(Duration::from_millis(delay)).await;
                drop(socket.send_to(&good, from).await);
            }
        }
    }
}

/// Answers that lie: with another number, to another question, from another address.
async fn forge(socket: &UdpSocket, stranger: &std::net::UdpSocket, query: &[u8], from: SocketAddr) {
    let lie = response(query, 0, true);
    let mut other_number = lie.clone();
    other_number[1] ^= 1;
    let mut other_name = lie.clone();
    other_name[13] ^= 1;
    drop(socket.send_to(&other_number, from).await);
    drop(socket.send_to(&other_name, from).await);
    drop(socket.send_to(b"\x00", from).await);
    assert_eq!(stranger.send_to(&lie, from).unwrap(), lie.len());
    tokio::time::sleep(Duration::from_millis(50)).await;
}

/// A response to a query for one name: one address, unless `rcode` is an error.
fn response(query: &[u8], rcode: u8, lie: bool) -> Vec<u8> {
    let mut message = query.to_vec();
    message[2..4].copy_from_slice(&[0x81, 0x80 | rcode]);
    if rcode == 0 {
        let six = query[query.len() - 3] == 28;
        message[7] = 1;
        message.extend_from_slice(&[0xc0, 12, 0, query[query.len() - 3], 0, 1, 0, 0, 0, 60, 0]);
        let address = match (six, lie) {
            (false, false) => "192.0.2.7",
            (false, true) => "203.0.113.66",
            (true, false) => "2001:db8::7",
            (true, true) => "2001:db8::66",
        };
        match ip(address) {
            IpAddr::V4(v4) => message.extend([4].into_iter().chain(v4.octets())),
            IpAddr::V6(v6) => message.extend([16].into_iter().chain(v6.octets())),
        }
    }
    message
}

/// Answers by the path asked for.
async fn web(mut stream: TcpStream) {
    let mut buffer = vec![0; 4096];
    let length = stream.read(&mut buffer).await.unwrap_or(0);
    let request = String::from_utf8_lossy(&buffer[..length]).into_owned();
    let Some(page) = request.split(' ').nth(1) else {
        return;
    };
    assert!(request.contains("host: server.test\r\n"), "{request}");
    let answer = match page {
        "/generate_204" => "HTTP/1.1 204 No Content\r\n\r\n",
        "/success.txt" => "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nsuccess\n",
        "/portal" => "HTTP/1.1 302 Found\r\nLocation: http://login.test/?from=here\r\n\r\n",
        "/page" => "HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n<html>log in",
        "/garbage" => "SSH-2.0-OpenSSH_9.2\r\n",
        "/closed" => "",
        _ => return strange(stream, page).await,
    };
    drop(stream.write_all(answer.as_bytes()).await);
}

/// Answers that take their time.
async fn strange(mut stream: TcpStream, page: &str) {
    drop(match page {
        "/drip" => {
            let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
            drop(stream.write_all(head).await);
            for byte in "success".chars() {
                tokio::time::sleep(Duration::from_millis(5)).await;
                drop(stream.write_all(format!("1\r\n{byte}\r\n").as_bytes()).await);
            }
            stream.write_all(b"0\r\n\r\n").await
        }
        "/endless" => {
            drop(stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await);
            while stream.write_all(b"success").await.is_ok() {}
            Ok(())
        }
        "/headers" => {
            drop(stream.write_all(b"HTTP/1.1 200 OK\r\n").await);
            while stream.write_all(b"X-Again: and again\r\n").await.is_ok() {}
            Ok(())
        }
        _ => {
            tokio::time::sleep(PATIENT).await;
            Ok(())
        }
    });
}

fn dns(resolver: &str, name: &str) -> Question {
    Question::Dns { resolver: ip(resolver), name: name.to_owned() }
}

fn http(page: &str, expect: HttpExpect) -> Question {
    let (server, port) = (ip(SERVER), 80);
    Question::Http { server, port, host: "server.test".to_owned(), path: page.to_owned(), expect }
}

fn addresses(outcome: &Outcome) -> Vec<String> {
    let Outcome::Resolved(_, addresses) = outcome else { panic!("{outcome:?}") };
    addresses.iter().map(ToString::to_string).collect()
}

fn failed(words: &str) -> Outcome {
    Outcome::Failed(words.to_owned())
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// The link-local address of a device in this namespace.
fn link_local(dev: &str) -> IpAddr {
    let mut all = nix::ifaddrs::getifaddrs().unwrap();
    let found = all.find_map(|entry| {
        let address = entry.address?.as_sockaddr_in6()?.ip();
        (entry.interface_name == dev && address.is_unicast_link_local()).then_some(address)
    });
    found.expect("every device has one").into()
}
