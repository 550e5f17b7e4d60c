//! What comes from outside, asked with any bytes: each [`Target`] is a function that must end soon, without a panic and
//! with no more memory than before, whatever the bytes are.
//!
//! libFuzzer looks for such bytes (`fuzz/`, `make fuzz`); `tests/corpus.rs` plays those that are known, and the like.
//!
//! | | |
//! | --- | --- |
//! | [`corpus`] | the bytes that are known, by target |
//! | [`garbled`] | the like: with pieces changed, moved and left out |
//! | `wire` | what others send |
//! | `files` | what stands in files |
//! | `engine` | what the engine is told, and begins with |
pub mod corpus;
mod engine;
mod files;
pub mod garbled;
mod wire;

/// Something that reads what others write.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// As its folder in `fuzz/corpus` is called, and its program in `fuzz/fuzz_targets`.
    pub name: &'static str,
    pub size: Size,
    /// Reads the bytes; how much of them was understood.
    pub read: fn(&[u8]) -> usize,
}

/// How long one run takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// Microseconds.
    Small,
    /// An engine is born, and goes on for a while.
    Engine,
}

/// All of them.
pub const TARGETS: [Target; 16] = [
    small("conntrack", wire::conntrack),
    small("dns", wire::dns),
    small("http_answer", wire::http_answer),
    small("http_request", wire::http_request),
    small("nfnl", wire::nfnl),
    small("nft_keys", wire::nft_keys),
    small("nft_rules", wire::nft_rules),
    small("rtnetlink", wire::rtnetlink),
    small("strangers", wire::strangers),
    small("ubus", wire::ubus),
    small("history", files::history),
    small("profiles", files::profiles),
    small("resolvers", files::resolvers),
    engine("config", files::config),
    engine("input", engine::input),
    engine("state", engine::state),
];

const fn small(name: &'static str, read: fn(&[u8]) -> usize) -> Target {
    Target { name, size: Size::Small, read }
}

const fn engine(name: &'static str, read: fn(&[u8]) -> usize) -> Target {
    Target { name, size: Size::Engine, read }
}

/// Plays one run of a target.
///
/// # Panics
/// If there is none of that name, or if the bytes do harm.
pub fn run(name: &str, bytes: &[u8]) {
    let target = TARGETS.iter().find(|target| target.name == name);
    let Some(target) = target else { panic!("there is no target {name}") };
    (target.read)(bytes);
}
