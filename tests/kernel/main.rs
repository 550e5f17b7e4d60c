//! Netlink against the real kernel, part by part, each test in namespaces of its own.

mod common;
mod conntrack;
mod nft;
mod route;
