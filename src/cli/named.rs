//! Names of uplinks, as people type them.

use super::failure::Failure;
use crate::config::nearest;

/// Says that there is no uplink of that name, `place` being where it was looked for (`""`, or such as ` in the
/// history`), and which one may have been meant.
pub(super) fn unknown(name: &str, names: &[&str], place: &str) -> Failure {
    let near = nearest(name, names.iter().copied());
    let meant = near.map(|near| format!("did you mean {near}? ")).unwrap_or_default();
    let hint = format!("{meant}the uplinks are {}", names.join(", "));
    Failure::new(format!("there is no uplink of that name{place}"), hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_that_was_meant_is_named() {
        let told = unknown("mfi", &["cable", "mifi"], "").to_string();
        let text = "error: there is no uplink of that name\n  \
                    hint: did you mean mifi? the uplinks are cable, mifi";
        assert_eq!(told, text);
        let told = unknown("frobnicate", &["cable"], " in the history").to_string();
        assert!(told.contains("name in the history\n  hint: the uplinks are cable"), "{told}");
    }
}
