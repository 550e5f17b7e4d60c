//! Durations as the file has them.

use std::time::Duration;

/// In the largest unit that leaves nothing over: `5m`, `90s`.
pub(super) fn written(span: Duration) -> String {
    let milliseconds = span.as_millis();
    for (unit, length) in [("h", 3_600_000), ("m", 60_000), ("s", 1000)] {
        if milliseconds > 0 && milliseconds.is_multiple_of(length) {
            return format!("{}{unit}", milliseconds / length);
        }
    }
    format!("{milliseconds}ms")
}

#[cfg(test)]
mod tests {
    use super::super::super::parse_duration;
    use super::*;

    #[test]
    fn what_is_written_is_read_as_the_same() {
        for (milliseconds, text) in
            [(60_000, "1m"), (90_000, "90s"), (1500, "1500ms"), (7_200_000, "2h"), (3000, "3s")]
        {
            let span = Duration::from_millis(milliseconds);
            assert_eq!(written(span), text);
            assert_eq!(parse_duration(text).ok(), Some(span), "{text}");
        }
    }
}
