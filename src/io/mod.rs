//! Does. Thin shells with mirrored names; nothing here decides.

pub mod ack_probe;
pub mod advertise;
pub(crate) mod client;
pub mod clock;
pub mod ddns;
pub(crate) mod disk;
pub(crate) mod faults;
pub mod flows;
pub mod history;
pub mod inspect;
pub(crate) mod journal;
pub mod leds;
pub mod lock;
pub mod netlink;
pub mod notify;
pub mod probe;
pub mod record;
pub(crate) mod resolv_conf;
pub mod resolvers;
pub mod socket;
pub mod store;
pub(crate) mod sys;
pub mod sysctl;
pub mod systemd;
pub mod web;
