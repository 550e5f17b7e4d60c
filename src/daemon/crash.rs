//! A panic soon after a start makes the next start begin without what was kept: whatever in it brought the
//! agent down would bring it down again, and a box without its agent has nobody who moves the traffic.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::io::clock;

/// The file in the run directory that says so.
const MARK: &str = "panicked-at-start";
/// What was kept has been taken up, and acted on, after this long.
const START: Duration = Duration::from_secs(10);

/// From now on a panic is remembered, if it comes soon.
pub(super) fn watch(run_dir: &Path) {
    let mark = run_dir.join(MARK);
    let begun = clock::now().mono;
    let told = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if clock::now().mono.since(begun) < START {
            // There is nobody left to tell that even this failed.
            let _ = fs::write(&mark, "");
        }
        told(panic);
    }));
}

/// Whether the last start ended in a panic. Asked once: then it is forgotten.
pub(super) fn happened(run_dir: &Path) -> bool {
    fs::remove_file(run_dir.join(MARK)).is_ok()
}
