//! LEDs that a box gives us without a word in the configuration: OpenWrt's status LED, and those whose section in
//! `/etc/config/system` says `option trigger 'sparelink'`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// A file for each LED that was given, named as its section is, with its name in `/sys/class/leds`.
/// `/usr/libexec/led-trigger/sparelink` writes them, as root: so it is no folder of the agent's.
const GIVEN: &str = "var/run/sparelink-leds";
/// What a device tree calls colours, by number (`LED_COLOR_ID_*` in dt-bindings/leds/common.h).
const COLOURS: [&str; 10] =
    ["white", "red", "green", "blue", "amber", "violet", "yellow", "ir", "multicolor", "rgb"];

/// The LED that shows that the system is up, by its name in `/sys/class/leds`. The device trees of OpenWrt's boards say
/// which (the alias `led-running`); others do not.
#[must_use]
pub fn running(root: &Path) -> Option<String> {
    let tree = root.join("sys/firmware/devicetree/base");
    let alias = text(&tree.join("aliases/led-running"))?;
    let node = tree.join(alias.trim_start_matches('/'));
    let folder = root.join("sys/class/leds");
    let leds = fs::read_dir(&folder).into_iter().flatten().flatten();
    let mut names: Vec<String> =
        leds.filter_map(|led| led.file_name().into_string().ok()).collect();
    names.sort();
    let of_node = |name: &&String| {
        let uevent = text(&folder.join(name).join("uevent")).unwrap_or_default();
        uevent.lines().any(|line| line.strip_prefix("OF_FULLNAME=") == Some(&*alias))
    };
    // Drivers that do not say whose node an LED is name it after the node's words.
    let named = || {
        let name = text(&node.join("label")).or_else(|| composed(&node))?;
        names.iter().find(|led| **led == name)
    };
    names.iter().find(of_node).or_else(named).cloned()
}

/// An LED's name as the kernel puts it together, `green:status`.
fn composed(node: &Path) -> Option<String> {
    let number = fs::read(node.join("color")).ok()?;
    let number = u32::from_be_bytes(*number.first_chunk()?);
    let colour = COLOURS.get(usize::try_from(number).ok()?)?;
    Some(format!("{colour}:{}", text(&node.join("function"))?))
}

/// A text of the device tree or of sysfs, without its end.
fn text(path: &Path) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    Some(text.trim_end_matches(['\0', '\n']).to_owned())
}

/// The LEDs that were given, by the names of their sections.
#[must_use]
pub fn handed(root: &Path) -> BTreeMap<String, String> {
    let files = fs::read_dir(root.join(GIVEN)).into_iter().flatten().flatten();
    let led = |file: fs::DirEntry| {
        let name = text(&file.path()).filter(|name| !name.is_empty() && !name.contains('/'))?;
        Some((file.file_name().into_string().ok()?, name))
    };
    files.filter_map(led).collect()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    struct Root(PathBuf);

    impl Root {
        fn new(test: &str) -> Self {
            let name = format!("sparelink-given-{test}-{}", std::process::id());
            let root = std::env::temp_dir().join(name);
            drop(fs::remove_dir_all(&root));
            Self(root)
        }

        fn write(&self, file: &str, bytes: impl AsRef<[u8]>) {
            let file = self.0.join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, bytes).unwrap();
        }
    }

    impl Drop for Root {
        fn drop(&mut self) {
            drop(fs::remove_dir_all(&self.0));
        }
    }

    /// A box whose device tree has this node for its LED, and which has these LEDs.
    fn box_with(test: &str, node: Node<'_>, leds: Leds<'_>) -> Root {
        let root = Root::new(test);
        let base = "sys/firmware/devicetree/base";
        root.write(&format!("{base}/aliases/led-running"), "/leds/led-1\0");
        for (file, bytes) in node {
            root.write(&format!("{base}/leds/led-1/{file}"), bytes);
        }
        for (name, uevent) in leds {
            root.write(&format!("sys/class/leds/{name}/uevent"), uevent);
        }
        root
    }

    type Node<'a> = &'a [(&'a str, &'a [u8])];
    type Leds<'a> = &'a [(&'a str, &'a str)];

    #[test]
    fn the_device_tree_says_which_led_is_the_systems() {
        let green: [(&str, &[u8]); 2] = [("color", &[0, 0, 0, 2]), ("function", b"status\0")];
        let by_node = "OF_NAME=led-1\nOF_FULLNAME=/leds/led-1\n";
        let cases: [(&str, Node<'_>, Leds<'_>, Option<&str>); 6] = [
            ("node", &[], &[("a:b", "OF_FULLNAME=/leds/led-10\n"), ("c:d", by_node)], Some("c:d")),
            (
                "label",
                &[("label", b"white:system\0")],
                &[("white:system", "")],
                Some("white:system"),
            ),
            ("composed", &green, &[("green:status", "")], Some("green:status")),
            ("absent", &green, &[("red:status", "")], None),
            ("nameless", &[], &[("red:status", "")], None),
            ("odd", &[("color", &[0, 0, 1, 2]), ("function", b"x\0")], &[("green:x", "")], None),
        ];
        for (test, node, leds, expected) in cases {
            let root = box_with(test, node, leds);
            assert_eq!(running(&root.0).as_deref(), expected, "{test}");
        }
        let other = Root::new("other");
        other.write("sys/class/leds/ACT/uevent", by_node);
        assert_eq!(running(&other.0), None, "a box without the alias");
    }

    #[test]
    fn a_script_gives_leds_by_the_names_of_their_sections() {
        let run = Root::new("handed");
        assert_eq!(handed(&run.0), BTreeMap::new());
        run.write("var/run/sparelink-leds/led_status", "green:status\n");
        run.write("var/run/sparelink-leds/wan", "blue:wan");
        run.write("var/run/sparelink-leds/empty", "\n");
        run.write("var/run/sparelink-leds/astray", "../../etc\n");
        let all = [("led_status", "green:status"), ("wan", "blue:wan")];
        assert_eq!(handed(&run.0), all.map(|(k, v)| (k.to_owned(), v.to_owned())).into());
    }
}
