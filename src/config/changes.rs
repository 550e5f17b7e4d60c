//! What differs between two configurations, in words.

use super::Config;
use crate::time::human;

impl Config {
    /// What is different from an older one, for people: some words for each change, none where nothing is.
    #[must_use]
    pub fn changes_from(&self, old: &Self) -> Vec<String> {
        let names = |config: &Self| -> Vec<String> {
            config.uplinks.iter().map(|uplink| uplink.name.clone()).collect()
        };
        let (before, after) = (names(old), names(self));
        let mut all = Vec::new();
        all.extend(after.iter().filter(|n| !before.contains(n)).map(|n| format!("added {n}")));
        all.extend(before.iter().filter(|n| !after.contains(n)).map(|n| format!("removed {n}")));
        let stay = |list: &[String], other: &[String]| -> Vec<String> {
            list.iter().filter(|name| other.contains(name)).cloned().collect()
        };
        if stay(&before, &after) != stay(&after, &before) {
            all.push(format!("order {}", after.join(", ")));
        }
        for uplink in &self.uplinks {
            let was = old.uplinks.iter().find(|was| was.name == uplink.name);
            if was.is_some_and(|was| was != uplink) {
                all.push(format!("{} changed", uplink.name));
            }
        }
        for (what, old, new) in [
            ("hold", old.failback.hold, self.failback.hold),
            ("longest hold", old.failback.hold_max, self.failback.hold_max),
        ] {
            if old != new {
                all.push(format!("{what} {} → {}", human(old), human(new)));
            }
        }
        let sections = [
            ("LAN", self.lan != old.lan),
            ("probing", self.probe != old.probe),
            ("page", self.web != old.web),
            ("LEDs", self.leds != old.leds),
            ("messages", self.notify != old.notify),
            ("heartbeat", self.heartbeat != old.heartbeat),
            ("names", self.ddns != old.ddns),
            ("time zone", self.zone != old.zone),
        ];
        all.extend(
            sections.iter().filter(|(_, new)| *new).map(|(what, _)| format!("{what} changed")),
        );
        all
    }
}

#[cfg(test)]
mod tests {
    use super::super::parse;

    #[test]
    fn each_change_is_told_in_some_words() {
        let file = |names: &[&str], rest: &str| {
            let uplink =
                |name: &&str| format!("[[uplink]]\nname = \"{name}\"\ninterface = \"{name}\"\n");
            let text = names.iter().map(uplink).collect::<String>() + rest;
            parse(&text, "x").unwrap()
        };
        let old = file(&["cable", "mifi", "phone"], "");
        let told = |names: &[&str], rest: &str| file(names, rest).changes_from(&old).join("; ");
        assert_eq!(told(&["cable", "mifi", "phone"], ""), "");
        assert_eq!(told(&["cable", "phone", "mifi"], ""), "order cable, phone, mifi");
        assert_eq!(told(&["cable", "dsl", "phone"], ""), "added dsl; removed mifi");
        assert_eq!(told(&["cable", "mifi", "phone"], "metered = true\n"), "phone changed");
        let rest = "[failback]\nhold = \"5m\"\n[[notify]]\nto = \"ntfy://ntfy.sh/x\"\n";
        let words = "hold 60 s → 5 min; messages changed";
        assert_eq!(told(&["cable", "mifi", "phone"], rest), words);
    }
}
