//! An address as a picture that a phone reads (ISO/IEC 18004), in the characters of a terminal.

use qrcode::{Color, EcLevel, QrCode};

/// Light around the picture, in modules; readers want it.
const QUIET: usize = 2;
const INDENT: &str = "  ";

/// The picture, two modules in each character: light ones are drawn, for a terminal is dark. Empty for a text that is too
/// long for one.
pub(super) fn picture(text: &str) -> String {
    let Ok(code) = QrCode::with_error_correction_level(text, EcLevel::L) else {
        return String::new();
    };
    let (width, colours) = (code.width(), code.to_colors());
    let is_light = |x: usize, y: usize| {
        let inside = |at: usize| at.checked_sub(QUIET).filter(|at| *at < width);
        match (inside(x), inside(y)) {
            (Some(x), Some(y)) => colours.get(y * width + x) != Some(&Color::Dark),
            _ => true,
        }
    };
    let whole = width + 2 * QUIET;
    let rows = (0..whole).step_by(2).map(|y| {
        let character = |x| match (is_light(x, y), y + 1 < whole && is_light(x, y + 1)) {
            (true, true) => '█',
            (true, false) => '▀',
            (false, true) => '▄',
            (false, false) => ' ',
        };
        format!("{INDENT}{}\n", (0..whole).map(character).collect::<String>())
    });
    rows.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_fits_a_terminal_and_has_light_around_it() {
        let picture = picture("http://192.168.77.1:8300/");
        let rows: Vec<&str> = picture.lines().collect();
        // Version 2 has 25 modules a side (ISO/IEC 18004, table 1), and four are around it.
        assert_eq!(rows.len(), 15, "{picture}");
        assert!(rows.iter().all(|row| row.chars().count() == INDENT.len() + 29), "{picture}");
        assert_eq!(rows[0].trim(), "█".repeat(29));
        // The finder in the corner: seven dark modules, and a light ring in them.
        assert!(rows[1].starts_with("  ██ ▄▄▄▄▄ █"), "{picture}");
        assert_eq!(super::picture(&"x".repeat(5000)), "");
    }
}
