//! The words for what happened to a name of the box.

use std::net::IpAddr;

/// It was written; of the uplinks whose addresses those are.
pub(super) fn name_written(name: &str, says: [Option<IpAddr>; 2], uplinks: &[String]) -> String {
    let says: Vec<String> = says.into_iter().flatten().map(|ip| ip.to_string()).collect();
    if says.is_empty() {
        return format!("{name} has no address any more");
    }
    let of =
        if uplinks.is_empty() { String::new() } else { format!(" ({})", uplinks.join(" and ")) };
    format!("{name} is {}{of} now", says.join(" and "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_told_with_its_addresses_and_uplinks() {
        let [a, b] = ["192.0.2.9", "2001:db8::9"].map(|ip| ip.parse().ok());
        let of = |names: &[&str]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        let rows = [
            ([a, None], of(&["cable"]), "home.example is 192.0.2.9 (cable) now"),
            (
                [a, b],
                of(&["cable", "mifi"]),
                "home.example is 192.0.2.9 and 2001:db8::9 (cable and mifi) now",
            ),
            ([None, b], of(&[]), "home.example is 2001:db8::9 now"),
            ([None, None], of(&["mifi"]), "home.example has no address any more"),
        ];
        for (says, uplinks, expected) in rows {
            assert_eq!(name_written("home.example", says, &uplinks), expected);
        }
    }
}
