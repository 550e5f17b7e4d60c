//! Single values: text from the file to types, with words for what is wrong.

use std::path::PathBuf;
use std::time::Duration;

use toml::de::DeValue;

use super::model::{HistoryOn, Kind, OnReturn};
use super::nearest::nearest;
use super::notes::{Wrong, excerpt};
use crate::units::IfName;

/// The shortest and the longest window that can be set (the adaptive one stays well inside).
const WINDOW: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(60));

/// The longest hold and drain that can be set: bounds sums and products of them.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// Reads a duration like `250ms`, `1.5s`, `10m`, `2h`, `1h30m` or `1d`.
///
/// # Errors
/// If it is anything else: what is wrong with it, in words.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    /// In milliseconds; `ms` before `m`, which it begins with.
    const UNITS: [(&str, f64); 5] =
        [("ms", 1.0), ("s", 1e3), ("m", 60e3), ("h", 3_600e3), ("d", 86_400e3)];
    let not_one = || format!("{:?} is not a duration", excerpt(text));
    let mut rest = text.trim();
    if !rest.is_empty() && rest.chars().all(|c| c.is_ascii_digit() || c == '.') {
        return Err(format!("{:?} has no unit", excerpt(text)));
    }
    let mut total = 0.0;
    loop {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(not_one)?;
        let number: f64 = rest[..digits].parse().map_err(|_| not_one())?;
        rest = rest[digits..].trim_start();
        let fits = |(unit, _): &&(&str, f64)| rest.starts_with(unit);
        let (unit, millis) = UNITS.iter().find(fits).ok_or_else(not_one)?;
        rest = rest[unit.len()..].trim_start();
        total += number * millis;
        if rest.is_empty() {
            break;
        }
        if !rest.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(not_one());
        }
    }
    Duration::try_from_secs_f64((total / 1e3 * 1e6).round() / 1e6).map_err(|_| not_one())
}

const DURATIONS: &str = "durations look like 250ms, 60s, 10m or 2h";

/// A duration as it would be written in the file.
pub(super) fn written(duration: Duration) -> String {
    let millis = duration.as_millis();
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")];
    let fits = units.iter().find(|(unit, _)| millis >= *unit && millis.is_multiple_of(*unit));
    fits.map_or_else(|| format!("{millis}ms"), |(unit, name)| format!("{}{name}", millis / unit))
}

pub(super) fn duration(value: &DeValue<'_>) -> Result<Duration, Wrong> {
    if let DeValue::Integer(n) = value {
        let text = format!("{n} has no unit");
        return Err(Wrong::new(text, format!("for example \"{n}s\", with quotes")));
    }
    let text = string(value, "\"60s\"")?;
    let duration = parse_duration(text).map_err(|text| Wrong::new(text, DURATIONS))?;
    if duration > LONGEST {
        let text = format!("{} is too long", written(duration));
        return Err(Wrong::new(text, "the longest is 24h"));
    }
    Ok(duration)
}

pub(super) fn window(value: &DeValue<'_>) -> Result<Duration, Wrong> {
    let window = duration(value)?;
    if window < WINDOW.0 || window > WINDOW.1 {
        let text = format!("{} is out of range", written(window));
        return Err(Wrong::new(text, "a window is 50ms to 60s; leave it out to let it adapt"));
    }
    Ok(window)
}

pub(super) fn history(value: &DeValue<'_>) -> Result<HistoryOn, Wrong> {
    match string(value, "\"disk\"")? {
        "disk" => Ok(HistoryOn::Disk),
        "ram" => Ok(HistoryOn::Ram),
        other => {
            let text = format!("{:?} is no place for the history", excerpt(other));
            Err(Wrong::new(text, "write \"disk\" (the default) or \"ram\""))
        }
    }
}

pub(super) fn on_return(value: &DeValue<'_>) -> Result<OnReturn, Wrong> {
    const HINT: &str = "write \"drain\", \"drain:10m\" or \"cut\"";
    let text = string(value, "\"drain:10m\"")?;
    match text.split_once(':') {
        None if text == "drain" => Ok(OnReturn::Drain),
        None if text == "cut" => Ok(OnReturn::Cut),
        Some(("drain", limit)) => {
            let limit = parse_duration(limit).map_err(|text| Wrong::new(text, HINT))?;
            if limit.is_zero() {
                return Err(Wrong::new("a drain of no time at all is a cut", "write \"cut\""));
            }
            if limit > LONGEST {
                let hint = "the longest is 24h; \"drain\" alone has no end";
                return Err(Wrong::new(format!("{} is too long", written(limit)), hint));
            }
            Ok(OnReturn::DrainFor(limit))
        }
        _ => Err(Wrong::new(format!("{:?} is not known", excerpt(text)), HINT)),
    }
}

pub(super) fn flag(value: &DeValue<'_>) -> Result<bool, Wrong> {
    value.as_bool().ok_or_else(|| Wrong::kind(value, "true or false", "true, without quotes"))
}

/// An uplink's name: one word, to be typed and to be read out.
pub(super) fn uplink_name(value: &DeValue<'_>) -> Result<String, Wrong> {
    const LONGEST_NAME: usize = 32;
    let name = string(value, "\"cable\"")?;
    let plain = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name == "auto" {
        let hint = "sparelink switch auto means the chain; choose another name";
        return Err(Wrong::new("\"auto\" cannot be an uplink's name", hint));
    }
    if name.is_empty() || name.starts_with(['-', '.']) || !name.chars().all(plain) {
        let hint = "one word of letters, digits, - and _, such as cable or mifi-2";
        return Err(Wrong::new(format!("{:?} cannot be a name", excerpt(name)), hint));
    }
    if name.chars().count() > LONGEST_NAME {
        return Err(Wrong::new("this name is too long", "at most 32 characters"));
    }
    Ok(name.to_owned())
}

pub(super) fn interface(value: &DeValue<'_>) -> Result<IfName, Wrong> {
    let name = string(value, "\"eth1\"")?;
    let unusable =
        |why: &str, hint: &str| Err(Wrong::new(format!("{:?} {why}", excerpt(name)), hint));
    if name.contains(['*', '?', '[']) {
        return unusable("is a pattern", "name one interface, or use match = { driver = \"…\" }");
    }
    match IfName::new(name) {
        // The kernel keeps `all` and `default` for its settings (net/ipv4/conf/…).
        _ if matches!(name, "lo" | "all" | "default") => {
            unusable("is not a network interface that leads anywhere", "ip link shows them")
        }
        Some(name) => Ok(name),
        None => {
            unusable("cannot be an interface", "1 to 15 characters without /, : and white space")
        }
    }
}

/// What OpenWrt calls a network: `wan`, `wan6`.
pub(super) fn network(value: &DeValue<'_>) -> Result<String, Wrong> {
    let name = string(value, "\"wan\"")?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    if name == "loopback" {
        let hint = "ubus call network.interface dump shows them";
        return Err(Wrong::new("\"loopback\" is not a network that leads anywhere", hint));
    }
    if name.is_empty() || name.len() > 64 || !name.bytes().all(plain) {
        let text = format!("{:?} cannot be a network of netifd's", excerpt(name));
        return Err(Wrong::new(text, "letters, digits and _, as in /etc/config/network: wan"));
    }
    Ok(name.to_owned())
}

pub(super) fn kind(value: &DeValue<'_>) -> Result<Kind, Wrong> {
    let text = string(value, "\"cellular\"")?;
    match text {
        "wired" => Ok(Kind::Wired),
        "wifi" => Ok(Kind::Wifi),
        "cellular" => Ok(Kind::Cellular),
        _ => {
            let near = nearest(text, ["wired", "wifi", "cellular"]);
            let hint = near.map_or_else(
                || "write \"wired\", \"wifi\" or \"cellular\"".to_owned(),
                |near| format!("did you mean \"{near}\"?"),
            );
            Err(Wrong::new(format!("{:?} is not a kind of uplink", excerpt(text)), hint))
        }
    }
}

pub(super) fn mac(value: &DeValue<'_>) -> Result<[u8; 6], Wrong> {
    let text = string(value, "\"02:00:5e:10:00:01\"")?;
    let not_one = || {
        let hint = "MAC addresses look like 02:00:5e:10:00:01";
        Wrong::new(format!("{:?} is not a MAC address", excerpt(text)), hint)
    };
    let mut mac = [0; 6];
    let mut parts = text.split([':', '-']);
    for byte in &mut mac {
        let part = parts.next().unwrap_or_default();
        if part.len() != 2 || !part.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(not_one());
        }
        *byte = u8::from_str_radix(part, 16).map_err(|_| not_one())?;
    }
    if parts.next().is_some() {
        return Err(not_one());
    }
    if mac[0] & 1 == 1 || mac == [0; 6] {
        return Err(Wrong::new(format!("{text} is no single device's address"), None));
    }
    Ok(mac)
}

/// A USB port as sysfs names it: bus, dash, port numbers with dots between.
pub(super) fn usb_path(value: &DeValue<'_>) -> Result<String, Wrong> {
    let text = string(value, "\"1-1.3\"")?;
    let number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let good = text
        .split_once('-')
        .is_some_and(|(bus, ports)| number(bus) && ports.split('.').all(number));
    if good && text.len() <= 32 {
        return Ok(text.to_owned());
    }
    let hint = "such as 1-1.3: bus, dash, ports; the names in /sys/bus/usb/devices";
    Err(Wrong::new(format!("{:?} is not a USB port", excerpt(text)), hint))
}

pub(super) fn driver(value: &DeValue<'_>) -> Result<String, Wrong> {
    let text = string(value, "\"cdc_ether\"")?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if !text.is_empty() && text.len() <= 64 && text.chars().all(plain) {
        return Ok(text.to_owned());
    }
    let hint = "such as cdc_ether; ethtool -i shows it";
    Err(Wrong::new(format!("{:?} is not a driver's name", excerpt(text)), hint))
}

pub(super) fn ssid(value: &DeValue<'_>) -> Result<String, Wrong> {
    let text = string(value, "\"my phone\"")?;
    if (1..=32).contains(&text.len()) {
        return Ok(text.to_owned());
    }
    Err(Wrong::new("this cannot be a Wi-Fi name", "an SSID has 1 to 32 bytes"))
}

pub(super) fn directory(value: &DeValue<'_>) -> Result<PathBuf, Wrong> {
    let text = string(value, "\"/var/lib/sparelink\"")?;
    if text.starts_with('/') && !text.contains(char::is_control) {
        return Ok(PathBuf::from(text));
    }
    let hint = "begin with /, as in /var/lib/sparelink";
    Err(Wrong::new(format!("{:?} is not a full path", excerpt(text)), hint))
}

pub(super) fn string<'v>(value: &'v DeValue<'_>, example: &str) -> Result<&'v str, Wrong> {
    value.as_str().ok_or_else(|| Wrong::kind(value, "text in quotes", example))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        let good = [
            ("250ms", 250),
            ("60s", 60_000),
            ("1.5s", 1_500),
            ("10m", 600_000),
            ("1h30m", 5_400_000),
            ("1h 30m", 5_400_000),
            ("2 d", 172_800_000),
            ("0s", 0),
        ];
        for (text, millis) in good {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        let bad = [
            "",
            "60",
            "s",
            "60 parsecs",
            "1.2.3s",
            "-5s",
            "5s-",
            "1e9d",
            "9999999999999999999999d",
        ];
        for text in bad {
            assert!(parse_duration(text).is_err(), "{text}");
        }
        assert_eq!(parse_duration("60"), Err("\"60\" has no unit".to_owned()));
        for (text, millis) in [("90s", 90_000), ("30m", 1_800_000), ("250ms", 250), ("0ms", 0)] {
            assert_eq!(written(Duration::from_millis(millis)), text);
        }
    }
}
