//! What people ask of long tests, by variables of the environment.

/// The number in a variable; `None` where it is not set, or empty.
///
/// # Errors
/// A sentence that names the variable, if there is something else in it.
pub fn number(variable: &str) -> Result<Option<u64>, String> {
    parsed(variable, &std::env::var_os(variable).unwrap_or_default().to_string_lossy())
}

fn parsed(variable: &str, text: &str) -> Result<Option<u64>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    let number = text.trim().parse();
    number.map(Some).map_err(|_| format!("{variable} is `{text}`, which is no number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_number_is_said() {
        assert_eq!(parsed("SEED", ""), Ok(None));
        assert_eq!(parsed("SEED", "7 "), Ok(Some(7)));
        for slip in ["7O", "-1", "1.5", "1,000", " ", "99999999999999999999"] {
            let said = format!("SEED is `{slip}`, which is no number");
            assert_eq!(parsed("SEED", slip), Err(said));
        }
    }
}
