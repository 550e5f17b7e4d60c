//! What others send: the kernel, servers, machines of the LAN, the bus.

use std::cell::OnceCell;
use std::future::Future;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::runtime::{Builder, Runtime};

use crate::config::HttpExpect;
use crate::engine::probe::Outcome;
use crate::engine::probe::dns::Query;
use crate::io::netlink::overhear;
use crate::io::socket::Stream;
use crate::io::{ddns, inspect, probe, ubus, web};
use crate::units::Family;

pub(super) fn rtnetlink(bytes: &[u8]) -> usize {
    overhear::rtnetlink(bytes)
}

pub(super) fn nfnl(bytes: &[u8]) -> usize {
    overhear::refusals(bytes)
}

pub(super) fn nft_keys(bytes: &[u8]) -> usize {
    overhear::keys(bytes)
}

pub(super) fn nft_rules(bytes: &[u8]) -> usize {
    overhear::rulesets(bytes)
}

pub(super) fn conntrack(bytes: &[u8]) -> usize {
    overhear::conntrack(bytes)
}

pub(super) fn ubus(bytes: &[u8]) -> usize {
    ubus::overhear(bytes.to_vec())
}

/// An answer to question 7, for either kind of address.
pub(super) fn dns(bytes: &[u8]) -> usize {
    let queries = Family::BOTH.into_iter().filter_map(|of| Query::new(7, "home.example.net", of));
    queries.filter_map(|query| query.decode(bytes)).count()
}

/// An offer of DHCP, or a router's advertisement.
pub(super) fn strangers(bytes: &[u8]) -> usize {
    const MAC: [u8; 6] = [2, 0, 0, 0, 0, 7];
    usize::from(inspect::strangers::overhear(bytes, MAC, 7).is_some())
}

/// What a server says to a plain check, and to one who tells it the box's address.
pub(super) fn http_answer(bytes: &[u8]) -> usize {
    let expect = HttpExpect::Body("success".to_owned());
    let outcome = block_on(told(bytes, |near| async { probe::overhear(near, &expect).await }));
    let checked = match outcome {
        Outcome::HttpExpected(_) | Outcome::HttpOther { .. } => 1,
        Outcome::Answered(_)
        | Outcome::Resolved(..)
        | Outcome::NoSuchName(_)
        | Outcome::Silent
        | Outcome::Failed(_) => return 0,
    };
    let named = block_on(told(bytes, ddns::overhear));
    checked + usize::from(named.is_ok())
}

/// What somebody makes of a server that says this once it was asked, and no more.
async fn told<T, F: Future<Output = T>>(
    bytes: &[u8],
    asks: impl FnOnce(Box<dyn Stream>) -> F,
) -> T {
    // There is room for all of it, and for what is asked.
    let (mut far, near) = tokio::io::duplex(bytes.len().max(1 << 16));
    let server = async {
        let mut asked = [0; 1024];
        drop(far.read(&mut asked).await);
        drop(far.write_all(bytes).await);
        drop(far.shutdown().await);
    };
    tokio::join!(server, asks(Box::new(near))).1
}

/// Requests to the page, and to the socket: how many were answered.
pub(super) fn http_request(bytes: &[u8]) -> usize {
    thread_local! {
        static PAGE: web::Overheard = block_on(async { web::Overheard::default() });
    }
    PAGE.with(|page| {
        let [lan, socket] =
            block_on(async { [page.in_the_lan(bytes).await, page.at_the_socket(bytes).await] });
        for answer in [&lan, &socket] {
            assert!(answer.is_empty() || answer.starts_with(b"HTTP/1."), "{answer:?}");
        }
        usize::from(!lan.is_empty()) + usize::from(!socket.is_empty())
    })
}

fn block_on<T>(task: impl Future<Output = T>) -> T {
    thread_local! {
        static RUNTIME: OnceCell<Runtime> = const { OnceCell::new() };
    }
    RUNTIME.with(|cell| {
        let built = || Builder::new_current_thread().enable_all().build();
        cell.get_or_init(|| built().unwrap_or_else(|error| panic!("no runtime: {error}")))
            .block_on(task)
    })
}
