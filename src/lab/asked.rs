//! What people ask of long tests, by variables of the environment.

/// The number in a variable; `None` where it is not set, or empty.
///
/// # Errors
/// A sentence that names the variable, if there is something else in it.
pub fn number(variable: &str) -> Result<Option<u64>, String> {
    match std::env::var_os(variable) {
        Some(text) if !text.is_empty() => {
            let text = text.to_string_lossy();
            let number = text.trim().parse();
            number.map(Some).map_err(|_| format!("{variable} is `{text}`, which is no number"))
        }
        _ => Ok(None),
    }
}
