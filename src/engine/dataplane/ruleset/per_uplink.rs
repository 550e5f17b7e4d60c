//! The chains that each uplink has of its own.

use super::super::nft::{Chain, CtState, Sense, Stmt, Verdict, tcp};
use super::names::{FORGED, inward, lan_nets, near, outward};
use super::words::{TCP, UDP, UNPINNED, chain, claimed, flags, goto, leave};
use crate::units::{Family, UplinkId};

/// What is done with packets that come in by it, that follow a pin to it, and that leave by it.
pub(super) fn per_uplink(id: UplinkId) -> [Chain; 3] {
    let mark = id.mark();
    let proof = |family| {
        vec![
            Stmt::CtState(CtState::Established),
            Stmt::CtReply(true),
            Stmt::SaddrIn { family, set: near(id, family), sense: Sense::IsNot },
            Stmt::Counter(inward(id, family)),
        ]
    };
    let question = |family| {
        vec![
            Stmt::CtReply(false),
            Stmt::DaddrIn { family, set: near(id, family), sense: Sense::IsNot },
            Stmt::Counter(outward(id, family)),
        ]
    };
    let forged = |family| {
        let set = lan_nets(family);
        let drop = Stmt::Verdict(Verdict::Drop);
        vec![
            Stmt::SaddrIn { family, set, sense: Sense::Is },
            Stmt::Counter(FORGED.to_owned()),
            drop,
        ]
    };
    let from = vec![
        // The reverse-path check is loose on uplinks, so it takes these for clients of the LAN.
        forged(Family::V4),
        forged(Family::V6),
        // The reverse-path check looks into this uplink's own table (src_valid_mark), which works
        // even while the active table is empty.
        // Whoever routes by a whole mark of theirs needs it whole.
        vec![claimed(Sense::IsNot), Stmt::SetMetaMark(mark)],
        // A flow from outside is answered by the way it came.
        vec![Stmt::CtState(CtState::New), Stmt::CtMark(UNPINNED), Stmt::SetCtMark(mark)],
        // A modem can forge a reset: no proof of life.
        vec![Stmt::L4proto(TCP), flags(tcp::RST, tcp::RST), leave()],
        // Nor are names and plain web pages: a modem whose line is dead answers them in the name of others.
        vec![Stmt::L4proto(UDP), Stmt::Sport(53), leave()],
        vec![Stmt::L4proto(TCP), Stmt::Sport(53), leave()],
        vec![Stmt::L4proto(TCP), Stmt::Sport(80), leave()],
        // Answers count; ICMP errors (related) and what the modem's own subnet sends do not.
        proof(Family::V4),
        proof(Family::V6),
    ];
    let to = vec![vec![Stmt::SetMetaMark(mark)]];
    let pin = vec![
        vec![Stmt::CtMark(UNPINNED), Stmt::SetCtMark(mark)],
        question(Family::V4),
        question(Family::V6),
        vec![goto("guard_up")],
    ];
    [
        chain(&format!("from_{id}"), from),
        chain(&format!("to_{id}"), to),
        chain(&format!("pin_{id}"), pin),
    ]
}
