//! What nftables' messages are about, and how often it is told that others have changed theirs.

use std::time::Duration;

use tokio::time::Instant;

use super::nfnl::{Attributes, SUBSYS_NFTABLES};
use crate::units::NFT_TABLE;

/// Somebody's firewall may change all the time, and that is told this often.
const PAUSE: Duration = Duration::from_secs(1);

/// When it is told that somebody's firewall has changed: at once, and while it is being loaded once a second.
#[derive(Debug, Default)]
pub(super) struct Firewall {
    told: Option<Instant>,
    due: Option<Instant>,
}

impl Firewall {
    pub(super) fn changed(&mut self, now: Instant) {
        let earliest = self.told.map_or(now, |told| told + PAUSE);
        self.due.get_or_insert(earliest.max(now));
    }

    /// When that is to be told.
    pub(super) const fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Whether that is now; it is told then.
    pub(super) fn is_to_be_told(&mut self, now: Instant) -> bool {
        let told = self.due.take_if(|due| *due <= now).is_some();
        if told {
            self.told = Some(now);
        }
        told
    }
}

/// Whether an nftables message says that a flowtable came or went, whose ever it is: packets go around
/// our counters there (`NFT_MSG_NEWFLOWTABLE`, `NFT_MSG_DELFLOWTABLE`).
pub(super) fn is_flowtable(kind: u16) -> bool {
    matches!(kind.to_be_bytes(), [SUBSYS_NFTABLES, 22 | 24])
}

/// Whether an nftables message says that a table, chain, rule, set or element came or went
/// (`NFT_MSG_NEWTABLE` … `NFT_MSG_DELSETELEM`).
pub(super) fn is_rule(kind: u16) -> bool {
    matches!(kind.to_be_bytes(), [SUBSYS_NFTABLES, 0 | 2 | 3 | 5 | 6 | 8 | 9 | 11 | 12 | 14])
}

/// Whether an nftables message is about our table. In every kind of message that has a table, its
/// name is attribute 1 (`NFTA_TABLE_NAME`, `NFTA_CHAIN_TABLE`, `NFTA_SET_ELEM_LIST_TABLE` …); the
/// family stands in the first byte of nfgenmsg.
pub(super) fn concerns_our_table(body: &[u8]) -> bool {
    const NFPROTO_INET: u8 = 1;
    let name = Attributes(body.get(4..).unwrap_or_default()).get(1);
    let ours = name.and_then(|name| name.strip_suffix(&[0])) == Some(NFT_TABLE.as_bytes());
    ours && body.first() == Some(&NFPROTO_INET)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flowtables_are_told_by_their_kind() {
        assert!(is_flowtable(10 << 8 | 22) && is_flowtable(10 << 8 | 24));
        assert!(!is_flowtable(10 << 8 | 23) && !is_flowtable(22));
    }

    #[test]
    fn a_firewall_that_is_loaded_is_told_of_once_a_second() {
        let begun = Instant::now();
        let after = |ms| begun + Duration::from_millis(ms);
        let mut firewall = Firewall::default();
        let mut told = 0;
        for ms in (0..2_500).step_by(10) {
            firewall.changed(after(ms));
            told += u32::from(firewall.is_to_be_told(after(ms)));
        }
        assert_eq!((told, firewall.due()), (3, Some(after(3_000))), "the last change is told, too");
        assert!(is_rule(10 << 8 | 6) && !is_rule(10 << 8 | 7) && !is_rule(6));
    }

    fn nft_message(family: u8, kind: u16, value: &[u8]) -> Vec<u8> {
        let mut message = vec![family, 0, 0, 0];
        message.extend((value.len() as u16 + 4).to_ne_bytes());
        message.extend(kind.to_ne_bytes());
        message.extend(value);
        message
    }

    #[test]
    fn only_our_own_nftables_table_counts() {
        assert!(concerns_our_table(&nft_message(1, 1, b"sparelink\0")));
        assert!(!concerns_our_table(&nft_message(2, 1, b"sparelink\0")), "table ip sparelink");
        assert!(!concerns_our_table(&nft_message(1, 1, b"sparelink2\0")));
        assert!(!concerns_our_table(&nft_message(0, 1, &7u32.to_ne_bytes())), "a new generation");
        assert!(!concerns_our_table(&[0; 4]) && !concerns_our_table(&[]));
    }
}
