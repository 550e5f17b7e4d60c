//! `[leds]`, and the LEDs of a board file: which LED shows what.

use std::collections::BTreeMap;

use toml::Spanned;
use toml::de::DeValue;

use super::boards;
use super::model::{BoardChoice, Led, LedsConfig};
use super::nearest::nearest;
use super::notes::{Wrong, excerpt};
use super::raw::Section;
use super::value::{flag, string};

/// What an LED looks like in the file.
const LOOK: &str = "\"ACT\", a name in /sys/class/leds, or { gpio = \"gpiochip0\", line = 17 }";

/// Reads `[leds]`. `uplinks` are the names that there are.
pub(super) fn leds(section: Option<Section<'_>>, uplinks: &[&str]) -> LedsConfig {
    let Some(mut section) = section else {
        return LedsConfig::default();
    };
    let board = section.read_or("board", board_name, BoardChoice::Auto);
    let status = led(&mut section, "status");
    let mut taken: Vec<(String, Led)> = Vec::new();
    if let Some(status) = status.as_ref().map(Spanned::get_ref) {
        taken.push(("the status LED".to_owned(), status.clone()));
    }
    let of_uplinks = section.section("uplinks", "uplinks = { cable = \"green:wan\" }");
    for (name, led) in of_uplinks.map_or_else(Vec::new, |inner| by_uplink(inner, uplinks)) {
        let at = led.span().start;
        let led = led.into_inner();
        if let Some((other, _)) = taken.iter().find(|(_, taken)| same(taken, &led)) {
            let text = format!("uplinks: {led} is {other} already");
            section.notes().push(at, text, "one LED shows one thing");
        } else {
            taken.push((name, led));
        }
    }
    section.finish();
    let status = status.map(Spanned::into_inner);
    let uplinks = taken.into_iter().skip(usize::from(status.is_some())).collect();
    LedsConfig { board, status, uplinks }
}

/// Whether both are one LED.
pub(super) fn same(a: &Led, b: &Led) -> bool {
    match (a, b) {
        (Led::Class(a), Led::Class(b)) => a.iter().any(|name| b.contains(name)),
        (
            Led::Line { chip: chip_a, line: line_a, .. },
            Led::Line { chip: chip_b, line: line_b, .. },
        ) => chip_a == chip_b && line_a == line_b,
        (Led::Class(_), Led::Line { .. }) | (Led::Line { .. }, Led::Class(_)) => false,
    }
}

/// The LEDs of a table whose keys are uplinks.
fn by_uplink(mut section: Section<'_>, uplinks: &[&str]) -> Vec<(String, Spanned<Led>)> {
    let mut found = Vec::new();
    for (name, at) in section.keys() {
        if uplinks.contains(&name) {
            found.extend(led(&mut section, name).map(|led| (name.to_owned(), led)));
            continue;
        }
        let known = uplinks.iter().copied().filter(|uplink| !uplink.is_empty());
        let hint = nearest(name, known.clone()).map_or_else(
            || format!("the uplinks are {}", known.collect::<Vec<_>>().join(", ")),
            |near| format!("did you mean {near}?"),
        );
        let text = format!("uplinks: there is no uplink {}", excerpt(name));
        section.notes().push(at, text, hint);
    }
    found
}

/// The LEDs of a board's table, by interface.
pub(super) fn by_port(mut section: Section<'_>) -> BTreeMap<String, Led> {
    let mut found = BTreeMap::new();
    for (port, _) in section.keys() {
        found.extend(led(&mut section, port).map(|led| (port.to_owned(), led.into_inner())));
    }
    found
}

/// One LED by its key; `None` if it is not given or wrong (noted).
pub(super) fn led<'d>(section: &mut Section<'d>, key: &'d str) -> Option<Spanned<Led>> {
    let value = section.value(key)?;
    if !value.get_ref().is_table() {
        return section.read(key, class);
    }
    let span = value.span();
    let mut given = section.section(key, "{ gpio = \"gpiochip0\", line = 17 }")?;
    let chip = given.read("gpio", chip).map(Spanned::into_inner);
    let line = given.read("line", line).map(Spanned::into_inner);
    let active_low = given.read_or("active_low", flag, false);
    for (key, example) in [("gpio", "gpio = \"gpiochip0\""), ("line", "line = 17")] {
        if !given.has_like(key) {
            given.missing(format!("this LED has no {key}"), format!("add {example}"));
        }
    }
    given.finish();
    Some(Spanned::new(span, Led::Line { chip: chip?, line: line?, active_low }))
}

/// The name of an LED, or several of which the first that there is counts.
fn class(value: &DeValue<'_>) -> Result<Led, Wrong> {
    let DeValue::Array(names) = value else {
        return Ok(Led::Class(vec![class_name(value)?]));
    };
    let names: Vec<String> =
        names.iter().map(|name| class_name(name.get_ref())).collect::<Result<_, _>>()?;
    if names.is_empty() {
        return Err(Wrong::new("this list is empty", "name an LED"));
    }
    Ok(Led::Class(names))
}

fn class_name(value: &DeValue<'_>) -> Result<String, Wrong> {
    /// `LED_MAX_NAME_SIZE` in linux/leds.h, with its zero byte.
    const LONGEST: usize = 63;
    let name = value.as_str().ok_or_else(|| Wrong::kind(value, "an LED", LOOK))?;
    let plain = |c: char| !c.is_control() && c != '/';
    if !name.is_empty()
        && name.len() <= LONGEST
        && !name.starts_with('.')
        && name.chars().all(plain)
    {
        return Ok(name.to_owned());
    }
    let hint = "the names are those in /sys/class/leds, such as ACT or green:wan";
    Err(Wrong::new(format!("{:?} cannot be an LED's name", excerpt(name)), hint))
}

fn chip(value: &DeValue<'_>) -> Result<String, Wrong> {
    let text = string(value, "\"gpiochip0\"")?;
    let name = text.strip_prefix("/dev/").unwrap_or(text);
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    if !name.is_empty() && name.len() <= 64 && name.chars().all(plain) {
        return Ok(name.to_owned());
    }
    let hint = "such as gpiochip0; gpiodetect lists them";
    Err(Wrong::new(format!("{:?} is not a GPIO chip", excerpt(text)), hint))
}

fn line(value: &DeValue<'_>) -> Result<u32, Wrong> {
    /// More than any chip has.
    const HIGHEST: u32 = 4095;
    const HINT: &str = "the line's number on its chip, from 0; gpioinfo lists them";
    let DeValue::Integer(n) = value else {
        return Err(Wrong::kind(value, "a line's number", "line = 17"));
    };
    let number = u32::from_str_radix(n.as_str(), n.radix()).ok().filter(|n| *n <= HIGHEST);
    number.ok_or_else(|| Wrong::new(format!("there is no line {n}"), HINT))
}

fn board_name(value: &DeValue<'_>) -> Result<BoardChoice, Wrong> {
    let text = string(value, "\"auto\"")?;
    let names = || boards::NAMES.iter().copied();
    match text {
        "auto" => Ok(BoardChoice::Auto),
        "none" => Ok(BoardChoice::None),
        name if names().any(|known| known == name) => Ok(BoardChoice::Named(name.to_owned())),
        _ => {
            let hint = nearest(text, names().chain(["auto", "none"])).map_or_else(
                || {
                    format!(
                        "\"auto\", \"none\" or one of {}",
                        names().collect::<Vec<_>>().join(", ")
                    )
                },
                |near| format!("did you mean \"{near}\"?"),
            );
            Err(Wrong::new(format!("{:?} is not a board that is known", excerpt(text)), hint))
        }
    }
}
