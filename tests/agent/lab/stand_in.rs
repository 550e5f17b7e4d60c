//! A stand-in for the agent, so that the lab can be tested without it: asks an echo server through
//! each uplink, moves the default route in `main`, and answers `GET /api/v1/status`. It is the
//! twenty-line script that people write, in Rust.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result};
use rtnetlink::RouteMessageBuilder;
use socket2::{Domain, Socket, Type};
use sparelink::engine::dataplane::nft::{Chain, ChainKind, Hook, HookPoint, Stmt, Table};
use sparelink::io::netlink::nft::Nft;
use sparelink::lab::topology::ECHO4;
use sparelink::units::IfName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UdpSocket, UnixListener};
use tokio::time::{Instant, sleep, timeout};

const UPLINKS: [(&str, &str, Ipv4Addr); 3] = [
    ("cable", "wan0", Ipv4Addr::new(192, 168, 10, 1)),
    ("mifi", "usb0", Ipv4Addr::new(192, 168, 11, 1)),
    ("phone", "wlan0", Ipv4Addr::new(192, 168, 12, 1)),
];
const EVERY: Duration = Duration::from_millis(100);
const LATE: Duration = Duration::from_millis(200);
const HOLD: Duration = Duration::from_secs(3);

/// `run --config FILE --run-dir DIR`.
pub(crate) fn main(args: &[String]) -> Result<()> {
    let at = args.iter().position(|arg| arg == "--run-dir").context("no --run-dir")?;
    let dir = args.get(at + 1).context("--run-dir what?")?.clone();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(run(&dir))
}

/// Lets the router forward and masquerade: what a test needs that moves routes by hand.
pub(crate) fn open_router() -> Result<()> {
    std::fs::write("/proc/sys/net/ipv4/ip_forward", "1")?;
    std::fs::write("/proc/sys/net/ipv6/conf/all/forwarding", "1")?;
    let rules = UPLINKS.iter().map(|(_, device, _)| {
        vec![Stmt::Oifname(IfName::new(device).expect("a name")), Stmt::Masquerade]
    });
    let hook = Hook { kind: ChainKind::Nat, point: HookPoint::Postrouting, priority: 100 };
    let chain = Chain { name: "post".to_owned(), hook: Some(hook), rules: rules.collect() };
    let table = Table { name: "stand_in".to_owned(), chains: vec![chain], ..Table::default() };
    Ok(Nft::open()?.build(&table)?)
}

/// Makes an uplink the default of the calling thread's namespace, before all others.
pub(crate) async fn choose(uplink: usize) -> Result<()> {
    let (_, device, gateway) = UPLINKS[uplink];
    let index = nix::net::if_::if_nametoindex(device)?;
    let (connection, handle, _) = rtnetlink::new_connection()?;
    let connection = tokio::spawn(connection);
    let route = RouteMessageBuilder::<Ipv4Addr>::new()
        .gateway(gateway)
        .output_interface(index)
        .priority(1)
        .build();
    let done = handle.route().add(route).replace().execute().await;
    connection.abort();
    Ok(done?)
}

async fn run(dir: &str) -> Result<()> {
    open_router()?;
    std::fs::create_dir_all(dir)?;
    let path = format!("{dir}/sparelink.sock");
    let _ = std::fs::remove_file(&path);
    let listener = UnixListener::bind(&path)?;
    let said = Arc::new(Mutex::new(String::new()));
    tokio::spawn(answer(listener, said.clone()));
    let mut alive_since = [None; 3];
    let mut active = None;
    loop {
        for (uplink, (_, device, _)) in UPLINKS.iter().enumerate() {
            let alive = echo(device).await.is_ok();
            alive_since[uplink] = alive.then(|| alive_since[uplink].unwrap_or_else(Instant::now));
        }
        let better = |uplink: &usize| match active {
            Some(now) if *uplink < now => {
                alive_since[*uplink].is_some_and(|since: Instant| since.elapsed() > HOLD)
            }
            _ => alive_since[*uplink].is_some(),
        };
        let next = (0..UPLINKS.len()).find(better).or(active);
        if next != active {
            choose(next.context("nothing to choose")?).await?;
            active = next;
        }
        *said.lock().expect("not poisoned") = status(active, &alive_since);
        sleep(EVERY).await;
    }
}

fn status(active: Option<usize>, alive: &[Option<Instant>; 3]) -> String {
    let uplinks = UPLINKS.iter().enumerate().map(|(i, (name, interface, _))| {
        let role = match alive[i] {
            _ if active == Some(i) => "active",
            Some(_) => "ready",
            None => "not_ready",
        };
        let health = if alive[i].is_some() { "up" } else { "down" };
        serde_json::json!({ "name": name, "interface": interface, "role": role, "health": health })
    });
    let active = active.map(|i| UPLINKS[i].0);
    let sentence = format!("Internet works, on {}", active.unwrap_or("nothing"));
    serde_json::json!({ "active": active, "sentence": sentence, "uplinks": uplinks.collect::<Vec<_>>() }).to_string()
}

async fn echo(device: &str) -> Result<()> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None)?;
    socket.bind_device(Some(device.as_bytes()))?;
    socket.set_nonblocking(true)?;
    let socket = UdpSocket::from_std(socket.into())?;
    socket.connect(SocketAddr::new(ECHO4, 7)).await?;
    socket.send(b"?").await?;
    timeout(LATE, socket.recv(&mut [0; 8])).await??;
    Ok(())
}

async fn answer(listener: UnixListener, said: Arc<Mutex<String>>) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let mut asked = [0; 1024];
        let length = stream.read(&mut asked).await.unwrap_or_default();
        let about_the_past = asked[..length].starts_with(b"GET /api/v1/history");
        let now = said.lock().expect("not poisoned").clone();
        let body = if about_the_past { "[]".to_owned() } else { now };
        let length = body.len();
        let head =
            format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
        let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
    }
}
