//! Parts of the kernel that a test wants to be without: there is no such kernel at hand. There is
//! something in here only in debug builds with the cargo feature `faults`; no release build has it.

/// Names the parts, by their modules or options.
#[cfg(all(feature = "faults", debug_assertions))]
const VARIABLE: &str = "SPARELINK_LACKING";

/// Whether the part of that name is to be missing.
#[cfg(all(feature = "faults", debug_assertions))]
pub(super) fn is_lacking(part: &str) -> bool {
    std::env::var_os(VARIABLE).is_some_and(|parts| parts.to_string_lossy().contains(part))
}

#[cfg(not(all(feature = "faults", debug_assertions)))]
pub(super) const fn is_lacking(_part: &str) -> bool {
    false
}
