//! Tests that run inside the lab.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::Signal;
use sparelink::lab::agent::{Agent, config};
use sparelink::lab::chatter::Chatter;
use sparelink::lab::meter::Meter;
use sparelink::lab::netns::Netns;
use sparelink::lab::play::play;
use sparelink::lab::script::{Action, LineEvent, Scenario, Settings};
use sparelink::lab::topology::{ECHO4, ECHO6, Home, Plan};
use sparelink::lab::uplink::Uplink;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::{Instant, sleep, timeout};

use super::stand_in;

crate::tests![
    every_uplink_reaches_the_internet,
    a_gap_is_measured,
    a_severed_line_has_a_living_modem,
    an_unplugged_cable_takes_the_carrier_away,
    loss_is_as_much_as_was_asked_for,
    a_slow_line_is_slow_and_loses_nothing,
    a_bloated_line_is_full,
    a_portal_is_in_the_way,
    a_reboot_gives_carrier_before_internet,
    a_dropped_target_is_silent,
    wrong_sources_are_counted,
    many_packets_pass,
    bytes_pass_unharmed,
    an_agent_lives_in_the_router,
    a_scenario_plays,
];

const MS: Duration = Duration::from_millis(1);
/// Long enough for a round trip on every line, and for a busy machine.
const PATIENCE: Duration = Duration::from_millis(400);

/// Builds everything, says so, and waits to be ended.
pub(crate) async fn hold() -> Result<()> {
    let home = home().await?;
    let mut agent = start_stand_in(&home).await?;
    agent.wait_proven(Duration::from_secs(10)).await?;
    let _meter = Meter::start(&home.client, ECHO4).await?;
    println!("ready");
    // Standard input is closed by the test that wants an ordinary end.
    tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new())).await??;
    Ok(())
}

async fn home() -> Result<Home> {
    Home::build(&Plan::default()).await
}

/// A home whose router forwards and masquerades, without any agent; the first uplink is in use.
async fn plain_home() -> Result<Home> {
    let home = home().await?;
    home.router.run(async { stand_in::open_router() }).await??;
    Ok(home)
}

async fn start_stand_in(home: &Home) -> Result<Agent> {
    let config = config(&Plan::default(), &Settings::default());
    Agent::start(home, &std::env::current_exe()?, &config).await
}

async fn happens(home: &Home, uplink: &str, event: LineEvent) -> Result<Instant> {
    home.apply(&Action::line(uplink, event)).await
}

async fn every_uplink_reaches_the_internet() -> Result<()> {
    let home = plain_home().await?;
    for (i, uplink) in home.uplinks.iter().enumerate() {
        home.router.run(stand_in::choose(i)).await??;
        let before = uplink.counters().await?.from_router;
        let start = Instant::now();
        let meter = Meter::start(&home.client, ECHO4).await?;
        sleep(500 * MS).await;
        let end = Instant::now();
        sleep(PATIENCE).await;
        let flows = meter.flows(start, end);
        ensure!(flows.sent > 50 && flows.lost <= 1, "{}: {flows:?}", uplink.name);
        let packets = uplink.counters().await?.from_router - before;
        ensure!(packets > 50, "{}: its modem saw {packets} packets", uplink.name);
        let round_trip = meter.round_trip().context("no answers")?;
        ensure!(round_trip >= 2 * uplink.base.delay, "{}: {round_trip:?}", uplink.name);
    }
    let meter = Meter::start(&home.client, ECHO6).await?;
    sleep(500 * MS).await;
    ensure!(meter.round_trip().is_some(), "no answer over IPv6");
    Ok(())
}

async fn a_gap_is_measured() -> Result<()> {
    let home = plain_home().await?;
    let meter = Meter::start(&home.client, ECHO4).await?;
    sleep(300 * MS).await;
    let quiet = Instant::now();
    sleep(300 * MS).await;
    let event = happens(&home, "cable", LineEvent::Sever).await?;
    ensure!(meter.flows(quiet, event - 50 * MS).lost == 0, "control: nothing is lost before");
    sleep(300 * MS).await;
    ensure!(meter.gap_after(event).is_none(), "the gap is still open");
    home.router.run(stand_in::choose(1)).await??;
    let switched = event.elapsed();
    sleep(PATIENCE).await;
    let gap = meter.gap_after(event).context("no gap")?;
    ensure!(
        gap.gap >= 300 * MS && gap.gap <= switched + 50 * MS,
        "{gap:?}, switched after {switched:?}"
    );
    let expected = u64::try_from(gap.gap.as_millis() / 5)?;
    ensure!(gap.lost >= expected / 2 && gap.lost <= expected + 1, "{gap:?}");
    Ok(())
}

/// What a client sees of a modem itself: echo, DNS, web page.
async fn modem_answers(home: &Home, uplink: &Uplink) -> Result<()> {
    let modem = IpAddr::V4(uplink.at.modem4);
    ensure!(echo(&home.client, modem).await?, "the modem's echo");
    ensure!(dns(&home.client, modem).await?, "the modem's DNS");
    let page = web(&home.client, modem, "modem", "/").await?;
    ensure!(page.contains("every light is green"), "the modem's page: {page}");
    Ok(())
}

async fn a_severed_line_has_a_living_modem() -> Result<()> {
    let home = plain_home().await?;
    let cable = home.uplink("cable")?;
    let chatter = Chatter::start(&home);
    modem_answers(&home, cable).await.context("before")?;
    ensure!(echo(&home.client, ECHO4).await?, "control: the Internet before");
    happens(&home, "cable", LineEvent::Sever).await?;
    let answers = chatter.answers();
    modem_answers(&home, cable).await.context("severed")?;
    ensure!(!echo(&home.client, ECHO4).await?, "nothing beyond the modem");
    ensure!(!echo(&home.router, ECHO6).await?, "nothing over IPv6 either");
    ensure!(chatter.answers() > answers + 5, "clients that talk to modems notice nothing");
    happens(&home, "cable", LineEvent::Restore).await?;
    ensure!(echo(&home.client, ECHO4).await?, "the Internet after");
    ensure!(echo(&home.router, ECHO6).await?, "and over IPv6");
    Ok(())
}

async fn carrier(home: &Home, interface: &str) -> Result<String> {
    let file = format!("/sys/class/net/{interface}/carrier");
    let read = home.router.run(async move { std::fs::read_to_string(file) }).await?;
    // Where /sys could not be mounted again, the interface is not there.
    Ok(read.context("/sys of the router")?.trim().to_owned())
}

async fn an_unplugged_cable_takes_the_carrier_away() -> Result<()> {
    let home = plain_home().await?;
    ensure!(carrier(&home, "wan0").await? == "1", "control: carrier before");
    happens(&home, "cable", LineEvent::Unplug).await?;
    ensure!(carrier(&home, "wan0").await? == "0", "no carrier");
    ensure!(carrier(&home, "usb0").await? == "1", "the other uplink keeps it");
    happens(&home, "cable", LineEvent::Restore).await?;
    ensure!(carrier(&home, "wan0").await? == "1", "carrier again");
    let back = Instant::now();
    while !(echo(&home.client, ECHO4).await? && echo(&home.router, ECHO6).await?) {
        ensure!(back.elapsed() < Duration::from_secs(5), "no Internet after the cable is back");
    }
    Ok(())
}

async fn loss_is_as_much_as_was_asked_for() -> Result<()> {
    let home = plain_home().await?;
    happens(&home, "cable", LineEvent::Lose(40)).await?;
    let meter = Meter::start(&home.client, ECHO4).await?;
    let start = Instant::now();
    sleep(Duration::from_secs(4)).await;
    let end = Instant::now();
    sleep(PATIENCE).await;
    let flows = meter.flows(start, end);
    let percent = 100 * flows.lost / flows.sent;
    // 700 flows: ± 8 points are more than four standard deviations.
    ensure!(flows.sent > 500 && (32..=48).contains(&percent), "{flows:?}: {percent} %");
    Ok(())
}

async fn a_slow_line_is_slow_and_loses_nothing() -> Result<()> {
    let home = plain_home().await?;
    let meter = Meter::start(&home.client, ECHO4).await?;
    sleep(200 * MS).await;
    let event = happens(&home, "cable", LineEvent::Slow).await?;
    sleep(Duration::from_millis(1000)).await;
    let end = Instant::now();
    sleep(Duration::from_millis(1200)).await;
    let round_trip = meter.round_trip().context("no answers")?;
    ensure!(round_trip > 800 * MS, "{round_trip:?}");
    let flows = meter.flows(event, end);
    ensure!(flows.lost == 0, "{flows:?}");
    happens(&home, "cable", LineEvent::Restore).await?;
    sleep(PATIENCE).await;
    let round_trip = meter.round_trip().context("no answers")?;
    ensure!(round_trip < 200 * MS, "restored: {round_trip:?}");
    Ok(())
}

async fn a_bloated_line_is_full() -> Result<()> {
    let home = plain_home().await?;
    let meter = Meter::start(&home.client, ECHO4).await?;
    happens(&home, "cable", LineEvent::Bloat).await?;
    sleep(Duration::from_secs(5)).await;
    let round_trip = meter.round_trip().context("no answers")?;
    ensure!((1_500 * MS..2_500 * MS).contains(&round_trip), "{round_trip:?}");
    happens(&home, "cable", LineEvent::Restore).await?;
    sleep(PATIENCE).await;
    let round_trip = meter.round_trip().context("no answers")?;
    ensure!(round_trip < 200 * MS, "restored: {round_trip:?}");
    Ok(())
}

async fn a_portal_is_in_the_way() -> Result<()> {
    let home = plain_home().await?;
    let any: IpAddr = "203.0.113.80".parse()?;
    let check = async |home: &Home| {
        web(&home.client, any, "connectivitycheck.gstatic.com", "/generate_204").await
    };
    ensure!(check(&home).await?.starts_with("HTTP/1.1 204 "), "control: the Internet's answer");
    let success = web(&home.client, any, "detectportal.firefox.com", "/success.txt").await?;
    ensure!(success.ends_with("\r\n\r\nsuccess\n"), "{success}");
    ensure!(ping(&home.client, "1.1.1.1".parse()?).await?, "control: ping before");
    happens(&home, "cable", LineEvent::Portal).await?;
    let answer = check(&home).await?;
    ensure!(answer.starts_with("HTTP/1.1 302 "), "{answer}");
    ensure!(dns(&home.client, "8.8.8.8".parse()?).await?, "DNS passes");
    ensure!(ping(&home.client, "1.1.1.1".parse()?).await?, "ping passes");
    ensure!(!echo(&home.client, ECHO4).await?, "nothing else passes");
    happens(&home, "cable", LineEvent::Restore).await?;
    ensure!(check(&home).await?.starts_with("HTTP/1.1 204 "), "restored");
    Ok(())
}

async fn a_reboot_gives_carrier_before_internet() -> Result<()> {
    let home = plain_home().await?;
    happens(&home, "cable", LineEvent::Reboot).await?;
    ensure!(carrier(&home, "wan0").await? == "0", "no carrier at first");
    sleep(2_500 * MS).await;
    ensure!(carrier(&home, "wan0").await? == "1", "carrier soon");
    ensure!(echo(&home.client, IpAddr::V4(home.uplink("cable")?.at.modem4)).await?, "and a modem");
    ensure!(!echo(&home.client, ECHO4).await?, "but no Internet yet");
    happens(&home, "cable", LineEvent::Restore).await?;
    ensure!(echo(&home.client, ECHO4).await?, "until it is restored");
    Ok(())
}

async fn a_dropped_target_is_silent() -> Result<()> {
    let home = plain_home().await?;
    let (one, eight) = ("1.1.1.1".parse()?, "8.8.8.8".parse()?);
    ensure!(dns(&home.client, eight).await? && ping(&home.client, eight).await?, "control: before");
    home.apply(&Action::DropTarget(eight)).await?;
    ensure!(!dns(&home.client, eight).await? && !ping(&home.client, eight).await?, "silent");
    ensure!(dns(&home.client, one).await?, "the others are not");
    home.apply(&Action::RestoreTarget(eight)).await?;
    ensure!(dns(&home.client, eight).await?, "back");
    Ok(())
}

async fn wrong_sources_are_counted() -> Result<()> {
    let home = plain_home().await?;
    let cable = home.uplink("cable")?;
    ensure!(echo(&home.client, ECHO4).await?, "masqueraded");
    let right = cable.counters().await?;
    ensure!(right.from_router > 0 && right.wrong_source == 0, "{right:?}");
    home.router
        .run(async { sparelink::io::netlink::nft::Nft::open()?.delete("stand_in") })
        .await??;
    let _ = echo(&home.client, ECHO4).await?;
    let wrong = cable.counters().await?;
    ensure!(wrong.wrong_source > 0, "positive control, without masquerade: {wrong:?}");
    Ok(())
}

async fn many_packets_pass() -> Result<()> {
    const PER_MS: u32 = 3;
    const MILLISECONDS: u32 = 2_000;
    let home = plain_home().await?;
    let start = Instant::now();
    let send = async move {
        let socket = UdpSocket::bind("0.0.0.0:0").await?;
        socket.connect(SocketAddr::new(ECHO4, 7)).await?;
        let (mut ticks, mut answered) = (tokio::time::interval(MS), 0u32);
        let mut buffer = [0; 64];
        for _ in 0..MILLISECONDS {
            ticks.tick().await;
            for _ in 0..PER_MS {
                socket.send(&[7; 32]).await?;
            }
            while socket.try_recv(&mut buffer).is_ok() {
                answered += 1;
            }
        }
        while timeout(PATIENCE, socket.recv(&mut buffer)).await.is_ok() {
            answered += 1;
        }
        anyhow::Ok(answered)
    };
    let answered = home.client.run(send).await??;
    let sent = PER_MS * MILLISECONDS;
    ensure!(answered * 100 >= sent * 99, "{answered} of {sent} in {:?}", start.elapsed());
    Ok(())
}

async fn bytes_pass_unharmed() -> Result<()> {
    const LENGTH: usize = 3_000_000;
    let home = plain_home().await?;
    for server in [ECHO4, ECHO6] {
        let exchange = async move {
            let data: Vec<u8> = (0..LENGTH).map(|i| (i % 251) as u8).collect();
            let expected = data.clone();
            let (mut from, mut to) =
                TcpStream::connect(SocketAddr::new(server, 7)).await?.into_split();
            let sender = tokio::spawn(async move { to.write_all(&data).await });
            let mut got = vec![0; LENGTH];
            from.read_exact(&mut got).await?;
            sender.await??;
            ensure!(got == expected, "the bytes differ");
            Ok(())
        };
        let exchange = async move { timeout(Duration::from_secs(20), exchange).await };
        home.client
            .run(exchange)
            .await?
            .context("too slow")?
            .with_context(|| format!("{server}"))?;
    }
    Ok(())
}

async fn an_agent_lives_in_the_router() -> Result<()> {
    let home = home().await?;
    let mut agent = start_stand_in(&home).await?;
    let status = agent.wait_proven(Duration::from_secs(10)).await?;
    ensure!(status.active.as_deref() == Some("cable"), "{status:?}");
    let meter = Meter::start(&home.client, ECHO4).await?;
    sleep(500 * MS).await;
    let event = happens(&home, "cable", LineEvent::Unplug).await?;
    agent.wait(Duration::from_secs(5), "on mifi", |s| s.active.as_deref() == Some("mifi")).await?;
    sleep(PATIENCE).await;
    let gap = meter.gap_after(event).context("no gap")?;
    ensure!(gap.gap < Duration::from_secs(4), "{gap:?}");
    let ended = agent.end(Signal::SIGKILL).await?;
    ensure!(ended.code().is_none(), "{ended}");
    ensure!(agent.status().await.is_err(), "a dead agent answers");
    let error =
        agent.wait(10 * MS, "anything", |_| true).await.err().context("a dead agent is fine?")?;
    ensure!(error.to_string().contains("ended by itself"), "{error}");
    Ok(())
}

async fn a_scenario_plays() -> Result<()> {
    let program: PathBuf = std::env::current_exe()?;
    let text = "at 500ms sever cable\nexpect active mifi within 5s\nexpect health cable down within 5s\n\
                expect no switch for 1s\nafter 100ms restore cable\nexpect active cable within 10s\nexpect lost 100";
    let read = |text: &str| Scenario::parse(text).map_err(|errors| anyhow::anyhow!("{errors:?}"));
    play(&read(text)?, &program).await?;
    let error = match play(&read("at 10ms slow phone\nexpect active phone within 500ms")?, &program)
        .await
    {
        Ok(()) => bail!("a wrong expectation was met"),
        Err(error) => format!("{error:#}"),
    };
    ensure!(error.starts_with("line 2: active phone: not within"), "{error}");
    Ok(())
}

/// One UDP datagram to an echo server and back.
async fn echo(from: &Netns, to: IpAddr) -> Result<bool> {
    ask(from, SocketAddr::new(to, 7), b"hello".to_vec()).await
}

/// A DNS query for A.
async fn dns(from: &Netns, server: IpAddr) -> Result<bool> {
    let mut query = vec![0, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    query.extend(b"\x07example\x03com\x00\x00\x01\x00\x01");
    ask(from, SocketAddr::new(server, 53), query).await
}

async fn ask(from: &Netns, to: SocketAddr, question: Vec<u8>) -> Result<bool> {
    let exchange = async move {
        let any = if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let socket = UdpSocket::bind(any).await?;
        socket.connect(to).await?;
        socket.send(&question).await?;
        anyhow::Ok(
            timeout(PATIENCE, socket.recv(&mut [0; 512])).await.is_ok_and(|answer| answer.is_ok()),
        )
    };
    from.run(exchange).await?
}

async fn ping(from: &Netns, to: IpAddr) -> Result<bool> {
    let exchange = async move {
        let config = surge_ping::Config::builder().sock_type_hint(socket2::Type::RAW).build();
        let client = surge_ping::Client::new(&config)?;
        let mut pinger = client.pinger(to, surge_ping::PingIdentifier(7)).await;
        pinger.timeout(PATIENCE);
        anyhow::Ok(pinger.ping(surge_ping::PingSequence(0), &[0; 16]).await.is_ok())
    };
    from.run(exchange).await?
}

async fn web(from: &Netns, server: IpAddr, host: &str, path: &str) -> Result<String> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    let exchange = async move {
        let mut stream = TcpStream::connect(SocketAddr::new(server, 80)).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        anyhow::Ok(answer)
    };
    from.run(async move { timeout(Duration::from_secs(5), exchange).await })
        .await?
        .context("no answer")?
}
