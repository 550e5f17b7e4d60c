//! The smallest edit of the file's text that says what is wanted.

use toml_edit::{ArrayOfTables, DocumentMut, InlineTable, Item, Table, TableLike, Value};

use super::model::{
    Channel, Leds, Provider, Settings, Unfit, Uplink, Wanted, WantedChannel, WantedLeds,
    WantedUplink,
};
use super::{order, span};
use crate::config::{Config, parse, parse_duration};

/// Windows' editors begin a file with it.
const BYTE_ORDER_MARK: char = '\u{feff}';
/// Programs that the agent runs are named by whoever may edit the file.
const PROGRAMS: &str = "a program that is run can only be named in the file itself";

/// The file as wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edited {
    pub text: String,
    /// What changes, in words, for the history. Empty: nothing does.
    pub changes: Vec<String>,
}

/// Edits the text of a configuration. What it says afterwards has passed the checker; `file` names it in mistakes.
///
/// # Errors
///
/// When the text is wrong, before or after, or it is written in a way that cannot be edited.
pub fn edit(text: &str, wanted: &Wanted, file: &str) -> Result<Edited, Unfit> {
    let config = parse(text, file)?;
    let (mark, body) = match text.strip_prefix(BYTE_ORDER_MARK) {
        Some(body) => ("\u{feff}", body),
        None => ("", text),
    };
    // The checker takes what it can understand, with a word on it; an editor has to be stricter.
    let document = body.parse::<DocumentMut>();
    let document = document.map_err(|_| Unfit::Form("this file is written"))?;
    let mut edit = Edit { document, config, changes: Vec::new() };
    if let Some(channels) = &wanted.notify {
        edit.channels(channels)?;
    }
    if let Some(hold) = &wanted.hold {
        edit.hold(hold)?;
    }
    if let Some(leds) = &wanted.leds {
        edit.leds(leds)?;
    }
    if let Some(uplinks) = &wanted.uplinks {
        edit.uplinks(uplinks)?;
    }
    if edit.changes.is_empty() {
        return Ok(Edited { text: text.to_owned(), changes: Vec::new() });
    }
    let mut edited = format!("{mark}{}", edit.document);
    if body.contains("\r\n") {
        edited = edited.replace('\n', "\r\n");
    }
    parse(&edited, file)?;
    Ok(Edited { text: edited, changes: edit.changes })
}

struct Edit {
    document: DocumentMut,
    /// What the file says before.
    config: Config,
    changes: Vec<String>,
}

impl Edit {
    fn hold(&mut self, wanted: &str) -> Result<(), Unfit> {
        let hold = self.config.failback.hold;
        if parse_duration(wanted).ok() == Some(hold) {
            return Ok(());
        }
        let section = section(self.document.as_table_mut(), "failback")?;
        put(section, "hold", wanted.into());
        self.changes.push(format!("hold {} → {wanted}", span::written(hold)));
        Ok(())
    }

    fn uplinks(&mut self, wanted: &[WantedUplink]) -> Result<(), Unfit> {
        let names: Vec<String> = self.config.uplinks.iter().map(|u| u.name.clone()).collect();
        let places: Option<Vec<usize>> =
            wanted.iter().map(|uplink| names.iter().position(|name| *name == uplink.was)).collect();
        let mut each = places.clone().unwrap_or_default();
        each.sort_unstable();
        let Some(places) = places.filter(|_| each == (0..names.len()).collect::<Vec<_>>()) else {
            return Err(Unfit::Elsewhere("the uplinks are not the ones that the file has"));
        };
        let before = Settings::of(&self.config).uplinks;
        for (uplink, &place) in wanted.iter().zip(&places) {
            let table = uplink_table(&mut self.document, place)?;
            of_uplink(table, &before[place], uplink, &mut self.changes)?;
            if let Some(name) = uplink.name.as_ref().filter(|name| **name != uplink.was) {
                self.rename(&uplink.was, name);
            }
        }
        if !places.is_sorted() {
            order::reorder(&mut self.document, &places)?;
            let names: Vec<&str> =
                wanted.iter().map(|u| u.name.as_deref().unwrap_or(&u.was)).collect();
            self.changes.push(format!("order: {}", names.join(", ")));
        }
        Ok(())
    }

    /// Other sections name an uplink, too.
    fn rename(&mut self, old: &str, new: &str) {
        let leds = self.document.get_mut("leds").and_then(Item::as_table_like_mut);
        let by_uplink = leds.and_then(|leds| leds.get_mut("uplinks")?.as_table_like_mut());
        if let Some(by_uplink) = by_uplink
            && let Some(led) = by_uplink.remove(old)
        {
            by_uplink.insert(new, led);
        }
        let names = self.document.get_mut("ddns").and_then(Item::as_array_of_tables_mut);
        for name in names.into_iter().flat_map(ArrayOfTables::iter_mut) {
            if name.get("uplink").and_then(Item::as_str) == Some(old) {
                put(name, "uplink", new.into());
            }
        }
    }

    fn channels(&mut self, wanted: &[WantedChannel]) -> Result<(), Unfit> {
        let before = Settings::of(&self.config).notify;
        let mut kept: Vec<usize> = wanted.iter().filter_map(|channel| channel.was).collect();
        let all = kept.len();
        kept.dedup();
        if kept.len() != all || !kept.is_sorted() || kept.last().is_some_and(|&n| n >= before.len())
        {
            return Err(Unfit::Elsewhere("the channels are not the ones that the file has"));
        }
        let mut fresh = wanted.iter().filter(|channel| channel.was.is_none()).peekable();
        if before.is_empty() && fresh.peek().is_none() {
            return Ok(());
        }
        let none = || Item::ArrayOfTables(ArrayOfTables::new());
        let tables = self.document.entry("notify").or_insert_with(none);
        let tables = tables.as_array_of_tables_mut().ok_or(Unfit::Form("messages are written"))?;
        for channel in wanted {
            let Some(place) = channel.was else { continue };
            let table = tables.get_mut(place).ok_or(Unfit::Form("messages are written"))?;
            of_channel(table, &before[place], channel, &mut self.changes);
        }
        for place in (0..before.len()).rev().filter(|place| !kept.contains(place)) {
            tables.remove(place);
            self.changes.push(format!("messages by {} removed", before[place].name));
        }
        for channel in fresh {
            let to = channel.to.as_deref().unwrap_or_default().trim();
            if to.to_ascii_lowercase().starts_with("exec:") {
                return Err(Unfit::Elsewhere(PROGRAMS));
            }
            let mut table = Table::new();
            put(&mut table, "to", to.into());
            if let Some(min) = &channel.min {
                put(&mut table, "min", min.into());
            }
            if let Some(quiet) = channel.quiet.as_ref().filter(|quiet| !quiet.is_empty()) {
                put(&mut table, "quiet", quiet.into());
            }
            tables.push(table);
            let scheme = to.split("://").next().unwrap_or_default();
            self.changes.push(format!("messages by {scheme} added"));
        }
        if tables.is_empty() {
            self.document.remove("notify");
        }
        Ok(())
    }

    fn leds(&mut self, wanted: &WantedLeds) -> Result<(), Unfit> {
        let before = Leds::of(&self.config);
        if let Some(status) = wanted.status.as_ref().filter(|status| **status != before.status) {
            let section = section(self.document.as_table_mut(), "leds")?;
            put_or_remove(section, "status", status);
            self.changes.push("LED of the whole".to_owned());
        }
        for (uplink, led) in wanted.uplinks.iter().flatten() {
            let now = before.uplinks.get(uplink).map_or("", String::as_str);
            if led == now {
                continue;
            }
            let leds = section(self.document.as_table_mut(), "leds")?;
            let none = || Item::Value(Value::InlineTable(InlineTable::new()));
            let by_uplink = leds.entry("uplinks").or_insert_with(none).as_table_like_mut();
            let by_uplink = by_uplink.ok_or(Unfit::Form("LEDs are written"))?;
            put_or_remove(by_uplink, uplink, led);
            if by_uplink.is_empty() {
                leds.remove("uplinks");
            }
            self.changes.push(format!("LED of {uplink}"));
        }
        Ok(())
    }
}

/// The table of an uplink by its place in the file.
fn uplink_table(document: &mut DocumentMut, place: usize) -> Result<&mut Table, Unfit> {
    let found = match document.get_mut("uplink") {
        Some(Item::ArrayOfTables(tables)) => tables.get_mut(place),
        Some(Item::Table(table)) if place == 0 => Some(table),
        _ => None,
    };
    found.ok_or(Unfit::Form("uplinks are written"))
}

fn of_uplink(
    table: &mut Table,
    before: &Uplink,
    wanted: &WantedUplink,
    changes: &mut Vec<String>,
) -> Result<(), Unfit> {
    let name = wanted.name.as_deref().unwrap_or(&wanted.was);
    if name != before.name {
        put(table, "name", name.into());
        changes.push(format!("{} is called {name}", before.name));
    }
    if let Some(kind) = wanted.kind.as_deref().filter(|kind| *kind != before.kind) {
        put(table, "kind", kind.into());
        changes.push(format!("{name} is {kind}"));
    }
    if let Some(metered) = wanted.metered.filter(|metered| *metered != before.metered) {
        put(table, "metered", metered.into());
        changes.push(format!("{name} is {}", if metered { "metered" } else { "not metered" }));
    }
    if let Some(provider) = wanted.provider.as_ref().filter(|one| **one != before.provider) {
        of_provider(table, &before.provider, provider)?;
        changes.push(format!("provider of {name}"));
    }
    Ok(())
}

fn of_provider(table: &mut Table, before: &Provider, wanted: &Provider) -> Result<(), Unfit> {
    let none = || Item::Value(Value::InlineTable(InlineTable::new()));
    let provider = table.entry("provider").or_insert_with(none).as_table_like_mut();
    let provider = provider.ok_or(Unfit::Form("providers are written"))?;
    for ((key, text), (_, now)) in wanted.parts().into_iter().zip(before.parts()) {
        if text != now {
            put_or_remove(provider, key, text);
        }
    }
    if provider.is_empty() {
        table.remove("provider");
    }
    Ok(())
}

fn of_channel(
    table: &mut Table,
    before: &Channel,
    wanted: &WantedChannel,
    changes: &mut Vec<String>,
) {
    if let Some(min) = wanted.min.as_deref().filter(|min| *min != before.min) {
        put(table, "min", min.into());
        changes.push(format!("messages by {} from {min} on", before.name));
    }
    if let Some(quiet) = wanted.quiet.as_deref().filter(|quiet| *quiet != before.quiet) {
        put_or_remove(table, "quiet", quiet);
        let hours = if quiet.is_empty() { "no hour" } else { quiet };
        changes.push(format!("messages by {} are quiet at {hours}", before.name));
    }
}

/// A section of the document, made if there is none.
fn section<'d>(document: &'d mut Table, key: &str) -> Result<&'d mut dyn TableLike, Unfit> {
    let section = document.entry(key).or_insert_with(|| Item::Table(Table::new()));
    section.as_table_like_mut().ok_or(Unfit::Form("a section is written"))
}

/// Sets a key. What stands around the value stays, a comment behind it for example.
fn put(table: &mut dyn TableLike, key: &str, value: Value) {
    match table.get_mut(key).and_then(Item::as_value_mut) {
        Some(old) => {
            let around = old.decor().clone();
            *old = value;
            *old.decor_mut() = around;
        }
        None => drop(table.insert(key, Item::Value(value))),
    }
}

/// The same; an empty text takes the key away.
fn put_or_remove(table: &mut dyn TableLike, key: &str, text: &str) {
    if text.is_empty() {
        table.remove(key);
    } else {
        put(table, key, text.into());
    }
}
