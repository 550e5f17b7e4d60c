//! The uplinks in another order, each with its comments and all that belongs to it.

use toml_edit::{ArrayOfTables, DocumentMut, Item, RawString, Table};

use super::model::Unfit;

/// Tables stand in the text by their position. Between two of them there is room for so many that come along.
const ROOM: isize = 10_000;

/// Puts the uplinks into this order: which of them, by its place now, stands at each place then.
pub(super) fn reorder(document: &mut DocumentMut, places: &[usize]) -> Result<(), Unfit> {
    let head = take_head(document);
    for_each(document.as_table_mut(), &mut |table| {
        table.set_position(table.position().map(|position| position * ROOM));
    });
    let uplinks = document.get_mut("uplink").and_then(Item::as_array_of_tables_mut);
    let uplinks = uplinks.ok_or(Unfit::Form("uplinks are written"))?;
    let slots: Vec<Option<isize>> = uplinks.iter().map(Table::position).collect();
    let mut old: Vec<Option<Table>> = std::mem::take(uplinks).into_iter().map(Some).collect();
    let mut new = ArrayOfTables::new();
    for (place, slot) in places.iter().zip(slots) {
        let Some(mut table) = old.get_mut(*place).and_then(Option::take) else {
            return Err(Unfit::Form("uplinks are written"));
        };
        let mut position = slot;
        for_each_in_order(&mut table, &mut |table| {
            table.set_position(position);
            position = position.map(|position| position + 1);
        });
        new.push(table);
    }
    *uplinks = new;
    put_head(document, &head);
    Ok(())
}

/// Calls it for a table and all in it.
fn for_each(table: &mut Table, call: &mut impl FnMut(&mut Table)) {
    call(table);
    for (_, item) in table.iter_mut() {
        match item {
            Item::Table(inner) => for_each(inner, call),
            Item::ArrayOfTables(all) => all.iter_mut().for_each(|inner| for_each(inner, call)),
            Item::None | Item::Value(_) => {}
        }
    }
}

/// The same, as they stand in the text.
fn for_each_in_order(table: &mut Table, call: &mut impl FnMut(&mut Table)) {
    let mut positions = Vec::new();
    for_each(table, &mut |table| positions.extend(table.position()));
    positions.sort_unstable();
    for position in positions {
        let mut called = false;
        for_each(table, &mut |table| {
            if !called && table.position() == Some(position) {
                called = true;
                call(table);
            }
        });
    }
}

/// The table that stands first in the text, if no key stands before all tables.
fn first(document: &mut DocumentMut) -> Option<&mut Table> {
    let has_keys = document.iter().any(|(_, item)| item.is_value());
    let mut least: Option<isize> = None;
    for_each(document.as_table_mut(), &mut |table| {
        let position = table.position().filter(|_| !table.is_implicit());
        least =
            position.map(|position| least.map_or(position, |least| least.min(position))).or(least);
    });
    let uplinks = document.get_mut("uplink").and_then(Item::as_array_of_tables_mut)?;
    uplinks.iter_mut().find(|table| !has_keys && table.position() == least)
}

/// What is said of the whole file at its top: everything above the last empty line before the first uplink. It stays
/// at the top, while what stands below that line goes with the uplink.
fn take_head(document: &mut DocumentMut) -> String {
    let Some(table) = first(document) else { return String::new() };
    let above = table.decor().prefix().and_then(RawString::as_str).unwrap_or_default().to_owned();
    let end = above.rfind("\n\n").map_or(0, |at| at + 2);
    let (head, own) = above.split_at(end);
    // Where it stands below others, an empty line is above it.
    table.decor_mut().set_prefix(format!("\n{own}"));
    head.to_owned()
}

fn put_head(document: &mut DocumentMut, head: &str) {
    let Some(table) = first(document) else { return };
    let own = table.decor().prefix().and_then(RawString::as_str).unwrap_or_default();
    let whole = format!("{head}{}", own.trim_start_matches('\n'));
    table.decor_mut().set_prefix(whole);
}
