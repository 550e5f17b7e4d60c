//! rtnetlink, nftables and conntrack: the one way to change the kernel.
//!
//! [`Monitor`] tells what changes, [`Reconciler`] changes it; both speak the engine's values.

mod addresses;
mod apply;
mod ask;
pub mod attrs;
pub mod conntrack;
mod decode;
mod dump;
mod encode;
mod family;
mod features;
mod frame;
mod hardware;
pub mod inspect;
mod kept;
mod lacking;
mod message;
mod monitor;
mod neighbours;
pub mod nfnl;
pub mod nft;
mod notices;
#[cfg(feature = "lab")]
pub mod overhear;
mod rules;
pub mod sock_diag;
mod subscribe;
mod talk;
pub mod way;
mod wifi;

pub use apply::{ReconcileError, Reconciler, in_words};
pub use monitor::{Event, Monitor};
pub use neighbours::Neighbours;
pub use talk::Error;
