//! Connections of the box itself.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use sparelink::io::ack_probe::{AckProbed, AckProber};
use sparelink::io::netlink::sock_diag::{self, SockDiag};
use sparelink::lab::internet::ECHO_PORT;
use sparelink::lab::netns::Netns;
use sparelink::lab::script::LineEvent;
use sparelink::lab::topology::{CLIENT, ECHO4, ECHO6};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::{Instant, timeout};

use super::fleet::BOTH;
use super::spread;
use crate::figure;
use crate::stage::{SOON, Stage};

crate::tests![
    own_connections_on_the_dead_uplink_end_at_once,
    whoever_is_this_side_of_the_modem_stays_connected,
    only_the_named_connection_is_ended,
    only_the_lan_is_notified,
];

/// Enough for a connection to end that will.
const AT_ONCE: Duration = Duration::from_secs(2);

async fn own_connections_on_the_dead_uplink_end_at_once() -> Result<()> {
    let mut stage = Stage::new().await?;
    let router = stage.home.router.clone();
    stage.agent.must(&["switch", "mifi"]).await?;
    stage.on("mifi").await?;
    let mut healthy = Vec::new();
    for server in BOTH {
        healthy.push(connect(&router, SocketAddr::new(server, ECHO_PORT)).await?);
    }
    stage.agent.must(&["switch", "auto"]).await?;
    stage.on("cable").await?;
    let mapped = SocketAddr::new(ECHO4_MAPPED.into(), ECHO_PORT);
    let mut dead = Vec::new();
    for server in BOTH.map(|server| SocketAddr::new(server, ECHO_PORT)).into_iter().chain([mapped])
    {
        dead.push((server, connect(&router, server).await?));
    }
    let cut = stage.happens("cable", LineEvent::Unplug).await?;
    stage.on("mifi").await?;
    let mut times = Vec::new();
    for (who, stream) in dead {
        let (kind, at) = end(&router, stream).await.with_context(|| format!("to {who}"))?;
        ensure!(kind == ErrorKind::ConnectionAborted, "the one to {who} ended by {kind:?}");
        times.push(at.saturating_duration_since(cut));
    }
    figure(&format!("own connections aborted after the cut: {}", spread(&times)));
    for stream in healthy {
        answers(&router, stream).await.context("one on another uplink")?;
    }
    Ok(())
}

/// Somebody who is logged in on the box from the modem's own subnet does not notice that the line beyond is cut.
async fn whoever_is_this_side_of_the_modem_stays_connected() -> Result<()> {
    let mut stage = Stage::new().await?;
    let router = stage.home.router.clone();
    let at = stage.home.uplink("cable")?.at;
    let port = 2222;
    let listen = async move {
        let listener = TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)).await?;
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut read, mut write) = stream.split();
                    tokio::io::copy(&mut read, &mut write).await
                });
            }
        });
        std::io::Result::Ok(())
    };
    router.run(listen).await??;
    let mut logins = Vec::new();
    for to in [IpAddr::V4(at.router4), IpAddr::V6(at.router6)] {
        let modem = &stage.home.uplink("cable")?.modem;
        logins.push((to, connect(modem, SocketAddr::new(to, port)).await?));
    }
    let outward = connect(&router, SocketAddr::new(ECHO4, ECHO_PORT)).await?;
    stage.happens("cable", LineEvent::Sever).await?;
    stage.on("mifi").await?;
    let (kind, _) = end(&router, outward).await.context("control: what goes beyond it")?;
    ensure!(kind == ErrorKind::ConnectionAborted, "control: it ended by {kind:?}");
    let modem = &stage.home.uplink("cable")?.modem;
    for (to, stream) in logins {
        answers(modem, stream).await.with_context(|| format!("the login at {to}"))?;
    }
    Ok(())
}

/// The echo server's IPv4 address in an IPv6 socket.
const ECHO4_MAPPED: Ipv6Addr = Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0xcb00, 0x7107);

/// Connects from a namespace, and is answered.
async fn connect(at: &Netns, server: SocketAddr) -> Result<TcpStream> {
    let connect = async move {
        let mut stream = TcpStream::connect(server).await?;
        stream.write_all(b"?").await?;
        stream.read_exact(&mut [0]).await?;
        std::io::Result::Ok(stream)
    };
    at.run(connect).await?.with_context(|| format!("connecting to {server}"))
}

/// Waits for the end of a connection that says nothing.
async fn end(at: &Netns, mut stream: TcpStream) -> Result<(ErrorKind, Instant)> {
    let read = async move { (stream.read(&mut [0]).await, Instant::now()) };
    let (result, when) = timeout(AT_ONCE, at.run(read)).await.context("it did not end")??;
    Ok((result.err().context("it ended in peace")?.kind(), when))
}

async fn answers(at: &Netns, mut stream: TcpStream) -> Result<()> {
    let exchange = async move {
        stream.write_all(b"!").await?;
        stream.read_exact(&mut [0]).await
    };
    timeout(SOON, at.run(exchange)).await.context("no answer")???;
    Ok(())
}

/// The kernel's own look-up would fall back to a listening socket, and end that.
async fn only_the_named_connection_is_ended() -> Result<()> {
    let stage = Stage::new().await?;
    let router = stage.home.router.clone();
    let check = async {
        sock_diag::available()?;
        let mut diag = SockDiag::open()?;
        let listener = TcpListener::bind((Ipv6Addr::UNSPECIFIED, 4000)).await?;
        for (server, what) in [(ECHO4, "IPv4"), (ECHO6, "IPv6")] {
            let stream = TcpStream::connect((server, ECHO_PORT)).await?;
            let (local, remote) = (stream.local_addr()?, stream.peer_addr()?);
            let other_port = SocketAddr::new(local.ip(), 4000);
            ensure!(!diag.destroy(other_port, remote)?, "{what}: what is not there was ended");
            ensure!(!diag.destroy(remote, local)?, "{what}: the ends are the wrong way round");
            ensure!(diag.destroy(local, remote)?, "{what}: not found");
            ensure!(!diag.destroy(local, remote)?, "{what}: ended twice");
            let mut stream = stream;
            let kind = stream.read(&mut [0]).await.map_err(|e| e.kind());
            ensure!(kind == Err(ErrorKind::ConnectionAborted), "{what}: {kind:?}");
        }
        // Bound to a device: it was to use that uplink and no other.
        let bound = TcpSocket::new_v4()?;
        bound.bind_device(Some(b"usb0"))?;
        let bound = bound.connect((ECHO4, ECHO_PORT).into()).await?;
        ensure!(!diag.destroy(bound.local_addr()?, bound.peer_addr()?)?, "a bound one was ended");
        let dial = TcpStream::connect((Ipv6Addr::LOCALHOST, 4000));
        let (met, dialled) = tokio::join!(timeout(SOON, listener.accept()), dial);
        dialled.context("control: somebody listens still")?;
        met??;
        anyhow::Ok(())
    };
    router.run(check).await?
}

/// A reset in answer to an ACK probe of the box itself would leave by whatever uplink is in use.
async fn only_the_lan_is_notified() -> Result<()> {
    let stage = Stage::new().await?;
    let cable = stage.home.uplink("cable")?;
    let own = IpAddr::V4(cable.at.router4);
    let lan: IpAddr = CLIENT.parse()?;
    let probe = async move {
        let ack_prober = AckProber::open()?;
        let probe = |to| ack_prober.send(SocketAddr::new(to, 4000), SocketAddr::new(ECHO4, 80));
        anyhow::Ok([lan, own, ECHO4].map(probe))
    };
    let notified = stage.home.router.run(probe).await??;
    ensure!(notified == [AckProbed::Sent, AckProbed::NotHere, AckProbed::NotHere], "{notified:?}");
    Ok(())
}
