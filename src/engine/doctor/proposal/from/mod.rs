//! A proposal by what another program's configuration says. Texts in, proposal out; nothing is read here.
//!
//! ```text
//! said            what such a configuration comes to, and what was dropped of it
//! network         OpenWrt: which device an interface of netifd is
//! mwan3           OpenWrt: members, policies, the order of interfaces
//! keyfile         NetworkManager: the language of its profiles
//! profile         NetworkManager: what one of them says
//! networkmanager  all of them: which device each is for, what is an uplink
//! merge           all that, with what is there now
//! ```

mod keyfile;
mod merge;
mod mwan3;
mod network;
mod networkmanager;
mod profile;
mod said;
#[cfg(test)]
mod tests;

pub use merge::named;
pub use mwan3::translate as mwan3;
pub use networkmanager::translate as networkmanager;
pub use said::{Behind, File, Said, Way};
