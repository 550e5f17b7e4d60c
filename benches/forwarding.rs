//! What forwarding costs beside plain masquerade: both in one run, in turns, on the real kernel in
//! namespaces, from the LAN through the router to the cable's modem.
//!
//! `make bench` runs it. It reports and asserts nothing: the machine may be busy. The agent has set
//! everything up as in any home, and stands still while it is measured what packets cost.

#![expect(clippy::disallowed_methods, reason = "a bench looks at the clock")]

use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sparelink::lab::agent::{self, Agent};
use sparelink::lab::netns::Netns;
use sparelink::lab::script::Settings;
use sparelink::lab::stage;
use sparelink::lab::topology::{Home, Plan};
use tokio::time::sleep;

/// A server beyond the router, for which the modem itself answers.
const SERVER: &str = "198.51.100.9";
const TCP_PORT: u16 = 5001;
/// Where packets are counted and dropped as soon as they are there.
const UDP_PORT: u16 = 9;
/// How long TCP sends in a round.
const TCP_FOR: Duration = Duration::from_secs(2);
/// In the best of these nobody else was in the way.
const SLICE: Duration = Duration::from_millis(100);
/// Batches of packets in a round. The best of them was not disturbed by anybody.
const BATCHES: u64 = 400;
/// Packets in a batch: some milliseconds.
const PACKETS: u64 = 500;
/// 64 bytes with their IP and UDP headers.
const PAYLOAD: usize = 64 - 28;
/// How long the agent may take to set everything up.
const LIMIT: Duration = Duration::from_secs(20);

/// What a router has before any agent comes.
const PLAIN: &str = "nft -f - <<END
table ip plain {
chain nat { type nat hook postrouting priority 100; oifname { wan0, usb0, wlan0 } masquerade; }
}
END
echo 1 > /proc/sys/net/ipv4/ip_forward";

/// Parts of the ruleset, and how to take them out.
const PARTS: [(&str, &str); 5] = [
    ("without the source guard", "flush chain inet sparelink guard_up"),
    ("without pinning, counting and the guard", "flush chain inet sparelink out"),
    ("without the forward chain", "flush chain inet sparelink forward"),
    ("without following the pin", "flush chain inet sparelink prerouting"),
    ("without the table", "delete table inet sparelink"),
];

fn main() -> ExitCode {
    let options = Options::read();
    if options.list {
        return ExitCode::SUCCESS;
    }
    stage::enter(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let done =
            runtime.map_err(Into::into).and_then(|runtime| runtime.block_on(bench(&options)));
        match done {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                say(&format!("error: {error:#}"));
                ExitCode::FAILURE
            }
        }
    })
}

/// `--rounds N`, `--agent FILE`, and names of the parts to run: `tcp`, `packets`, and `rules`, which
/// is run only when it is named.
struct Options {
    rounds: usize,
    agent: PathBuf,
    parts: Vec<String>,
    list: bool,
}

impl Options {
    fn read() -> Self {
        let agent = env!("CARGO_BIN_EXE_sparelink").into();
        let mut this = Self { rounds: 12, agent, parts: Vec::new(), list: false };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            match word.as_str() {
                "--rounds" => this.rounds = words.next().and_then(|n| n.parse().ok()).unwrap_or(12),
                "--agent" => this.agent = words.next().unwrap_or_default().into(),
                "--bench" => {}
                "--list" => this.list = true,
                part => this.parts.push(part.to_owned()),
            }
        }
        this
    }

    fn wants(&self, part: &str) -> bool {
        self.parts.is_empty() || self.parts.iter().any(|wanted| wanted == part)
    }
}

async fn bench(options: &Options) -> Result<()> {
    let road = Road::build(options).await?;
    if options.wants("tcp") {
        road.tcp(options.rounds).await?;
    }
    if options.wants("packets") {
        road.packets(options.rounds).await?;
    }
    if options.parts.iter().any(|part| part == "rules") {
        road.rules(options.rounds).await?;
    }
    Ok(())
}

/// From the LAN client through the router to the modem.
struct Road {
    home: Home,
    program: PathBuf,
}

impl Road {
    async fn build(options: &Options) -> Result<Self> {
        let home = Home::build(&Plan::default()).await?;
        let this = Self { home, program: options.agent.clone() };
        let server = format!(
            "ip addr add {SERVER}/32 dev lo
            nft -f - <<END
            table ip sink {{
            counter arrived {{ }}
            chain in {{ type filter hook prerouting priority -400
            udp dport {UDP_PORT} ip length 64 counter name arrived drop
            }}
            }}
END"
        );
        sh(this.modem()?, &server).await?;
        let greet = || -> Result<()> {
            let socket = UdpSocket::bind((SERVER, UDP_PORT))?;
            std::thread::spawn(move || -> std::io::Result<()> {
                loop {
                    let (_, from) = socket.recv_from(&mut [0; 16])?;
                    socket.send_to(b"hello", from)?;
                }
            });
            Ok(())
        };
        this.modem()?.run(async move { greet() }).await??;
        Ok(this)
    }

    fn modem(&self) -> Result<&Netns> {
        Ok(&self.home.uplink("cable")?.modem)
    }

    /// The router with the agent's rules and routes, and the agent, which stands still.
    async fn ours(&self) -> Result<Agent> {
        let text = agent::config(&Plan::default(), &Settings::default());
        let mut agent = Agent::start(&self.home, &self.program, &text).await?;
        agent.wait_proven(LIMIT).await?;
        kill(pid(&agent), Signal::SIGSTOP)?;
        Ok(agent)
    }

    /// Back to nothing of the agent's.
    async fn leave(&self, mut agent: Agent) -> Result<()> {
        kill(pid(&agent), Signal::SIGCONT)?;
        agent.end(Signal::SIGTERM).await?;
        let purge =
            format!("{} purge --run-dir {}", self.program.display(), agent.run_dir().display());
        sh(&self.home.router, &purge).await.map(drop)
    }

    /// Measures with plain masquerade and with ours, in turns.
    async fn in_turns(
        &self,
        rounds: usize,
        measure: impl AsyncFn() -> Result<(f64, f64)>,
    ) -> Result<(Pairs, Pairs)> {
        let (mut plain, mut ours) = (Pairs::default(), Pairs::default());
        for _ in 0..rounds {
            sh(&self.home.router, PLAIN).await?;
            plain.push(measure().await?);
            sh(&self.home.router, "nft delete table ip plain").await?;
            let agent = self.ours().await?;
            ours.push(measure().await?);
            self.leave(agent).await?;
        }
        Ok((plain, ours))
    }

    async fn tcp(&self, rounds: usize) -> Result<()> {
        let (plain, ours) = self.in_turns(rounds, async || self.stream().await).await?;
        let ((plain, best), (ours, our_best)) =
            ((plain.0.median(), plain.1.median()), (ours.0.median(), ours.1.median()));
        say(&format!(
            "TCP, Gbit/s: plain {plain:.2} median, {best:.2} at best; ours {ours:.2}, {our_best:.2}; \
             ratio {:.2}, {:.2}  ({rounds} rounds)",
            ours / plain,
            our_best / best
        ));
        Ok(())
    }

    async fn packets(&self, rounds: usize) -> Result<()> {
        let (plain, ours) = self.in_turns(rounds, async || self.burst().await).await?;
        let ((plain, best), (ours, our_best)) =
            ((plain.0.median(), plain.1.least()), (ours.0.median(), ours.1.least()));
        say(&format!(
            "64-byte packets, ns each: plain {plain:.0} median, {best:.0} best; ours {ours:.0}, \
             {our_best:.0}; more {:+.0}, {:+.0}  ({rounds} rounds)",
            ours - plain,
            our_best - best
        ));
        Ok(())
    }

    /// What each part of the ruleset costs: everything beside everything but that.
    async fn rules(&self, rounds: usize) -> Result<()> {
        for (name, command) in PARTS {
            let (mut whole, mut less) = (Pairs::default(), Pairs::default());
            for _ in 0..rounds {
                let agent = self.ours().await?;
                whole.push(self.burst().await?);
                // The agent stands still and puts nothing back.
                sh(&self.home.router, &format!("nft '{command}'")).await?;
                less.push(self.burst().await?);
                self.leave(agent).await?;
            }
            say(&format!(
                "{name:<45} {:+.0} ns a packet by the medians, {:+.0} by the best",
                less.0.median() - whole.0.median(),
                less.1.least() - whole.1.least()
            ));
        }
        Ok(())
    }

    /// Gbit/s of one connection: all the time, and in the best tenth of a second.
    async fn stream(&self) -> Result<(f64, f64)> {
        let to: SocketAddr = SocketAddr::new(SERVER.parse()?, TCP_PORT);
        let listener = self.modem()?.run(async move { TcpListener::bind(to) }).await??;
        let receive = move || -> Result<(f64, f64)> {
            use std::io::Read as _;
            let (mut stream, _) = listener.accept()?;
            let (mut buffer, mut all, mut some) = (vec![0; 1 << 20], 0, 0);
            let rate = |bytes: usize, since: Instant| {
                bytes as f64 * 8.0 / since.elapsed().as_nanos() as f64
            };
            let (begun, mut slice, mut best) = (Instant::now(), Instant::now(), 0.0_f64);
            loop {
                match stream.read(&mut buffer)? {
                    0 => return Ok((rate(all, begun), best)),
                    more => (all, some) = (all + more, some + more),
                }
                if slice.elapsed() > SLICE {
                    best = best.max(rate(some, slice));
                    (some, slice) = (0, Instant::now());
                }
            }
        };
        let receiver =
            self.modem()?.spawn(async move { tokio::task::spawn_blocking(receive).await });
        let send = move || -> Result<()> {
            use std::io::Write as _;
            let mut stream = TcpStream::connect_timeout(&to, Duration::from_secs(3))?;
            let chunk = vec![0x55; 64 << 10];
            let begun = Instant::now();
            while begun.elapsed() < TCP_FOR {
                stream.write_all(&chunk)?;
            }
            Ok(())
        };
        let sender = self.home.client.run(async move { tokio::task::spawn_blocking(send).await });
        sender.await???;
        receiver.await??
    }

    /// Nanoseconds a packet, the median and the best of the batches: in namespaces of one machine the sender's own time carries each packet
    /// all the way.
    async fn burst(&self) -> Result<(f64, f64)> {
        let before = self.arrived().await?;
        let send = || -> Result<(f64, f64)> {
            let socket = UdpSocket::bind("0.0.0.0:0")?;
            socket.connect((SERVER, UDP_PORT))?;
            let payload = [0x55; PAYLOAD];
            // The first packet pays for the entry, and its answer makes a flow of it.
            socket.set_read_timeout(Some(Duration::from_secs(3)))?;
            socket.send(b"hello")?;
            socket.recv(&mut [0; 16])?;
            let mut batches = Figures::default();
            for _ in 0..BATCHES {
                let begun = Instant::now();
                for _ in 0..PACKETS {
                    socket.send(&payload)?;
                }
                batches.0.push(begun.elapsed().as_nanos() as f64 / PACKETS as f64);
            }
            Ok((batches.median(), batches.least()))
        };
        let sent = self.home.client.run(async move { tokio::task::spawn_blocking(send).await });
        let each = sent.await???;
        sleep(Duration::from_millis(50)).await;
        let arrived = self.arrived().await? - before;
        let all = BATCHES * PACKETS;
        ensure!(arrived > all * 9 / 10, "of {all} packets {arrived} arrived");
        Ok(each)
    }

    async fn arrived(&self) -> Result<u64> {
        let said = sh(self.modem()?, "nft list counter ip sink arrived").await?;
        let after = said.split_whitespace().skip_while(|word| *word != "packets").nth(1);
        Ok(after.context("no counter")?.parse()?)
    }
}

fn pid(agent: &Agent) -> Pid {
    Pid::from_raw(agent.pid().cast_signed())
}

/// Runs a script in a namespace; what it said.
async fn sh(netns: &Netns, script: &str) -> Result<String> {
    let mut command = stage::child(Path::new("/bin/sh"), &["-ec".into(), script.into()]);
    command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    let run = async move { tokio::task::spawn_blocking(move || command.output()).await };
    let output = netns.run(run).await???;
    let err = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{script}: {} {err}", output.status);
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// What is usual in each round, and the best of each.
#[derive(Default)]
struct Pairs(Figures, Figures);

impl Pairs {
    fn push(&mut self, (usual, best): (f64, f64)) {
        self.0.0.push(usual);
        self.1.0.push(best);
    }
}

#[derive(Default)]
struct Figures(Vec<f64>);

impl Figures {
    fn median(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len() / 2).copied().unwrap_or_default()
    }

    fn least(&self) -> f64 {
        self.0.iter().copied().fold(f64::INFINITY, f64::min)
    }
}

fn say(text: &str) {
    use std::io::Write as _;
    // Where nobody reads, nothing is lost.
    drop(writeln!(std::io::stdout(), "{text}"));
}
