//! The page: who reaches it, where it is, and what those who watch it see.

use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use futures_util::TryStreamExt;
use sparelink::io::netlink::nft::Nft;
use sparelink::lab::netns::{Netns, Route};
use sparelink::lab::script::LineEvent;
use tokio::time::{Instant, sleep, timeout};

use crate::figure;
use crate::http::{PORT, get, is_open, watch};
use crate::stage::{AGENT, SOON, Stage};

crate::tests![
    the_page_is_for_the_lan_only,
    the_page_follows_the_lan,
    who_watches_sees_the_switch,
    the_lab_shows_the_page_to_the_machine,
];

const LAN4: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 168, 77, 1));
/// Long enough for an answer from a neighbour, short enough to ask many times.
const PATIENCE: Duration = Duration::from_millis(300);

fn lan6() -> Result<IpAddr> {
    Ok("fd77::1".parse()?)
}

async fn the_page_is_for_the_lan_only() -> Result<()> {
    let stage = Stage::new().await?;
    let home = &stage.home;
    for ip in [LAN4, lan6()?] {
        let answer = get(&home.client, ip, "/api/v1/status").await?;
        ensure!(answer.status == 200, "positive control: the LAN at {ip}: {answer:?}");
    }
    let cable = &home.uplinks[0];
    let at = cable.at;
    let (router4, router6) = (IpAddr::V4(at.router4), IpAddr::V6(at.router6));
    // Whoever sits at the other end of the cable knows where the LAN is.
    let (lan4, lan6) = ("192.168.77.0/24".parse()?, "fd77::/64".parse()?);
    cable.modem.route(Route::fixed(lan4, router4, "lan")).await?;
    cable.modem.route(Route::fixed(lan6, router6, "lan")).await?;
    // Another listener in the router, to show that the way is open.
    let control = PORT + 1;
    let listen = async move {
        let all = tokio::net::TcpListener::bind(("::", control)).await?;
        tokio::spawn(async move { while all.accept().await.is_ok() {} });
        anyhow::Ok(())
    };
    home.router.run(listen).await??;
    for ip in [router4, router6] {
        let open = is_open(&cable.modem, SocketAddr::new(ip, control), PATIENCE * 10).await?;
        ensure!(open, "positive control: no way from the modem to {ip}");
    }
    for ip in [LAN4, self::lan6()?, router4, router6] {
        let page = SocketAddr::new(ip, PORT);
        ensure!(
            !is_open(&cable.modem, page, PATIENCE).await?,
            "the modem reaches the page at {ip}"
        );
    }
    from_the_provider(&stage, control).await?;
    for ip in [router4, router6] {
        let open = open_ports(&cable.modem, ip).await?;
        ensure!(open == [control], "ports that answer an uplink at {ip}: {open:?}");
    }

    for ip in [LAN4, self::lan6()?] {
        without_the_filter(&stage, ip, control).await.with_context(|| ip.to_string())?;
    }
    Ok(())
}

/// Somebody takes the packet filter away. Until it is back, the listener itself knows its interface.
async fn without_the_filter(stage: &Stage, ip: IpAddr, control: u16) -> Result<()> {
    let modem = &stage.home.uplinks[0].modem;
    for _ in 0..20 {
        stage.home.router.run(async { Nft::open()?.delete("sparelink") }).await??;
        let before = is_open(modem, SocketAddr::new(ip, control), PATIENCE).await?;
        let page = is_open(modem, SocketAddr::new(ip, PORT), PATIENCE / 6).await?;
        let after = is_open(modem, SocketAddr::new(ip, control), PATIENCE).await?;
        ensure!(!page, "the page is reached without the filter");
        if before && after {
            return Ok(());
        }
        sleep(PATIENCE).await;
    }
    bail!("positive control: the filter was never away for long enough")
}

/// From beyond the modem: IPv6 is routed all the way.
async fn from_the_provider(stage: &Stage, control: u16) -> Result<()> {
    let cable = &stage.home.uplinks[0];
    let line: IpAddr = "100.64.0.2".parse()?;
    let near = "192.168.10.0/24".parse()?;
    cable.provider.route(Route::fixed(near, line, "customer")).await?;
    let modem = SocketAddr::new(IpAddr::V4(cable.at.modem4), 80);
    ensure!(
        is_open(&cable.provider, modem, PATIENCE * 10).await?,
        "positive control: no way from the provider to the modem"
    );
    let (router4, router6) = (IpAddr::V4(cable.at.router4), IpAddr::V6(cable.at.router6));
    let core = &stage.home.core;
    let control = SocketAddr::new(router6, control);
    ensure!(is_open(core, control, PATIENCE * 10).await?, "positive control: no way from the core");
    for (who, ip) in [(&cable.provider, router4), (core, router6)] {
        let page = SocketAddr::new(ip, PORT);
        ensure!(!is_open(who, page, PATIENCE).await?, "{} reaches the page at {ip}", who.name());
    }
    Ok(())
}

/// Every port that accepts a connection.
async fn open_ports(from: &Netns, ip: IpAddr) -> Result<Vec<u16>> {
    let scan = async move {
        let mut open = Vec::new();
        let mut all = 1..=u16::MAX;
        loop {
            let some: Vec<u16> = all.by_ref().take(500).collect();
            if some.is_empty() {
                return open;
            }
            let tries = some.into_iter().map(|port| async move {
                let to = SocketAddr::new(ip, port);
                let answered = timeout(PATIENCE * 3, tokio::net::TcpStream::connect(to)).await;
                matches!(answered, Ok(Ok(_))).then_some(port)
            });
            open.extend(futures_util::future::join_all(tries).await.into_iter().flatten());
        }
    };
    from.run(scan).await
}

async fn the_page_follows_the_lan() -> Result<()> {
    let stage = Stage::new().await?;
    let (client, router) = (&stage.home.client, &stage.home.router);
    let new: IpAddr = "192.168.77.9".parse()?;
    ensure!(get(client, new, "/").await.is_err(), "control: nobody is there");
    let begun = Instant::now();
    router.address("lan0", "192.168.77.9/24").await?;
    wait_for(SOON, || async { get(client, new, "/").await.is_ok_and(|a| a.status == 200) })
        .await
        .context("the page is not at the new address")?;
    figure(&format!("at a new address after {} ms", begun.elapsed().as_millis()));
    let _watcher = watch(client, new).await?;
    router.run(forget_address(new)).await??;
    ensure!(get(client, LAN4, "/").await?.status == 200, "the other address");
    router.address("lan0", "192.168.77.9/24").await?;
    wait_for(SOON, || async { get(client, new, "/").await.is_ok_and(|a| a.status == 200) })
        .await
        .context("the page is not at the address that came back")?;
    ensure!(get(client, LAN4, "/").await?.status == 200, "the other address");
    Ok(())
}

async fn forget_address(ip: IpAddr) -> Result<()> {
    let (connection, handle, _) = rtnetlink::new_connection()?;
    tokio::spawn(connection);
    let mut all = handle.address().get().set_address_filter(ip).execute();
    let address = all.try_next().await?.context("no such address")?;
    Ok(handle.address().del(address).execute().await?)
}

async fn wait_for<F: Future<Output = bool>>(limit: Duration, is: impl Fn() -> F) -> Result<()> {
    let begun = Instant::now();
    while !is().await {
        ensure!(begun.elapsed() < limit, "not within {limit:?}");
        sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

async fn who_watches_sees_the_switch() -> Result<()> {
    let mut stage = Stage::new().await?;
    let mut watcher = watch(&stage.home.client, LAN4).await?;
    let first = timeout(SOON, watcher.recv()).await?.context("no first state")?;
    ensure!(first.name == "status" && first.data["active"] == "cable", "{first:?}");
    // At rest: something now and then, and never much.
    let (begun, mut states) = (Instant::now(), Vec::new());
    while let Ok(Some(seen)) =
        timeout(Duration::from_secs(6) - begun.elapsed(), watcher.recv()).await
    {
        states.push(seen);
        if begun.elapsed() >= Duration::from_millis(5900) {
            break;
        }
    }
    ensure!((1..=31).contains(&states.len()), "{} events in 6 s at rest", states.len());
    let severed = stage.happens("cable", LineEvent::Sever).await?;
    let mut entry = None;
    let on_screen = loop {
        let seen = timeout(SOON, watcher.recv()).await.context("no switch was shown")?;
        let seen = seen.context("the stream ended")?;
        if seen.name == "entry" && seen.data["code"] == "switched" {
            entry.get_or_insert(seen.at);
        }
        if seen.name == "status" && seen.data["active"] == "mifi" {
            break seen.at;
        }
    };
    let entry = entry.context("the switch is no entry")?;
    let late = on_screen.saturating_duration_since(entry);
    ensure!(late < Duration::from_secs(1), "the state came {late:?} after the switch");
    figure(&format!(
        "{} states in 6 s at rest; switch shown {} ms after the cut, state {} ms after its entry",
        states.len(),
        (entry - severed).as_millis(),
        late.as_millis()
    ));
    stage.on("mifi").await?;
    let timeline = get(&stage.home.client, LAN4, "/api/v1/timeline").await?.json()?;
    let segments = timeline["segments"].as_array().context("no segments")?;
    let states: Vec<_> = segments.iter().filter_map(|s| s["state"].as_str()).collect();
    ensure!(states.starts_with(&["unknown"]) && states.ends_with(&["backup"]), "{timeline}");
    ensure!(states.contains(&"first"), "{timeline}");
    let cable = &timeline["uplinks"][0]["strip"][59];
    ensure!(cable["rtt_ms"].is_number(), "the running minute: {cable}");
    Ok(())
}

/// Starts the lab as a person would, in a machine of which only the loopback is there.
async fn the_lab_shows_the_page_to_the_machine() -> Result<()> {
    let (connection, handle, _) = rtnetlink::new_connection()?;
    tokio::spawn(connection);
    let up = rtnetlink::LinkUnspec::new_with_index(1).up().build();
    handle.link().set(up).execute().await?;
    let machine = SocketAddr::from((Ipv4Addr::LOCALHOST, PORT));
    let taken = TcpListener::bind(machine)?;
    let text = lab("quit\n", async |_| Ok(())).await?;
    ensure!(text.contains(&format!("There is no page at http://{machine}/")), "{text}");
    drop(taken);
    let text = lab("quit\n", async |said: &str| {
        ensure!(said.contains(&format!("The page is at http://{machine}/")), "{said}");
        let ask =
            format!("GET /api/v1/status HTTP/1.1\r\nHost: {machine}\r\nConnection: close\r\n\r\n");
        let mut stream = tokio::net::TcpStream::connect(machine).await?;
        tokio::io::AsyncWriteExt::write_all(&mut stream, ask.as_bytes()).await?;
        let mut answer = String::new();
        tokio::io::AsyncReadExt::read_to_string(&mut stream, &mut answer).await?;
        ensure!(
            answer.starts_with("HTTP/1.1 200") && answer.contains("\"active\":\"cable\""),
            "{answer}"
        );
        Ok(())
    });
    text.await.map(drop)
}

/// Runs `sparelink lab` until everything is proven, does something, and types.
async fn lab(typed: &str, then: impl AsyncFn(&str) -> Result<()>) -> Result<String> {
    let mut child = Command::new(AGENT)
        .arg("lab")
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let out = child.stdout.take().context("no stdout")?;
    let read = tokio::task::spawn_blocking(move || {
        let (mut out, mut text) = (BufReader::new(out), String::new());
        while !text.contains("All uplinks are proven") {
            if out.read_line(&mut text)? == 0 {
                bail!("the lab ended: {text}");
            }
        }
        Ok((text, out))
    });
    let (text, out) =
        timeout(Duration::from_secs(40), read).await.context("the lab is slow")???;
    let done = then(&text).await;
    child.stdin.take().context("no stdin")?.write_all(typed.as_bytes())?;
    drop(out);
    let ended = tokio::task::spawn_blocking(move || child.wait());
    timeout(Duration::from_secs(20), ended).await.context("the lab does not end")???;
    done.map(|()| text)
}
