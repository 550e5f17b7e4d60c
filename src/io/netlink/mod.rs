//! rtnetlink, nftables and conntrack: the one door to the kernel.
