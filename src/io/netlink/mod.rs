//! rtnetlink, nftables and conntrack: the one door to the kernel.
pub mod attrs;
pub mod conntrack;
pub mod nfnl;
pub mod nft;
