//! `sparelink plan`: what the agent would have in the kernel, and how that differs from what is there.

use std::process::ExitCode;

use super::failure::Failure;
use super::table::{Colour, Style};
use super::{terminal, work};
use crate::config::{Config, Listen};
use crate::engine::dataplane::diff::Change;
use crate::engine::dataplane::render::{self, Names};
use crate::engine::dataplane::{Dataplane, Left, Route};
use crate::engine::input::Input;
use crate::engine::state::Restored;
use crate::engine::status::snapshot::Snapshot;
use crate::engine::{Engine, Mode};
use crate::io::netlink::{Monitor, ReconcileError, Reconciler};
use crate::io::{clock, store};
use crate::units::{Family, Gather as _, Metric, TableId, UplinkId};

/// How much of it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// What matters, and the difference.
    Summary,
    /// Everything, as `ip` and `nft` text.
    Full,
}

/// What stands in the kernel, as far as this process may see it: ours, and what would be changed.
type Difference = Result<(Dataplane, Vec<Change>), ReconcileError>;

/// Prints what an agent that starts now would have in the kernel before anything is proven. Nothing is changed.
pub(super) fn plan(config: &Config, form: Form) -> Result<ExitCode, Failure> {
    let planned = work::runtime()?.block_on(planned(config, form))?;
    let text = match &planned.difference {
        None => render::dataplane(&planned.desired, &planned.names),
        Some(difference) => {
            summary(config, &planned) + "\n" + &told(difference, &planned, terminal::colour())
        }
    };
    terminal::print(&text)
}

#[derive(Debug)]
struct Planned {
    names: Names,
    snapshot: Snapshot,
    desired: Dataplane,
    /// `None`: it was not asked for.
    difference: Option<Difference>,
}

async fn planned(config: &Config, form: Form) -> anyhow::Result<Planned> {
    let (_, view) = Monitor::open().await?;
    let names = view.links.values().map(|link| (link.index, link.name.clone())).gather();
    // What an earlier run left is adopted, as by the agent.
    let mut kernel = Reconciler::open(&config.run_dir).await;
    let mut left = Left::default();
    if let Ok(kernel) = &mut kernel {
        let ours = kernel.observe(&Dataplane::default()).await?;
        left = Left::of(&ours.routes);
    }
    let now = clock::now();
    let run = store::restore(&config.state_dir, &config.run_dir).run;
    let restored = Restored { run, ..Restored::default() };
    let mut engine = Engine::new(config.clone(), Mode::Steer, restored, 0, now);
    let started = Input::Started { view, adopted: left.active, spares: left.spares };
    engine.handle(started, now);
    let desired = engine.desired().clone();
    let difference = match (form, kernel) {
        (Form::Full, _) => None,
        (Form::Summary, Ok(mut kernel)) => Some(kernel.preview(&desired).await),
        (Form::Summary, Err(error)) => Some(Err(error)),
    };
    Ok(Planned { names, snapshot: engine.snapshot(now), desired, difference })
}

/// What it comes to, in some lines.
fn summary(config: &Config, planned: &Planned) -> String {
    let Planned { names, snapshot, desired, .. } = planned;
    let uplinks: Vec<String> = snapshot
        .uplinks
        .iter()
        .map(|uplink| match uplink.lines.iter().any(|(_, line)| line.is_some()) {
            true => format!("{} ({})", uplink.name, uplink.interface),
            false => format!("{} ({})", uplink.name, uplink.condition.phrase()),
        })
        .collect();
    let lan = config.lan.as_ref().map_or_else(
        || "none: only the traffic of this box is steered".to_owned(),
        |lan| {
            let all: Vec<_> = lan.interfaces.iter().map(ToString::to_string).collect();
            let guard = if lan.guard { "closed to connections from the uplinks" } else { "open" };
            format!("{}, forwarded; {guard}", all.join(", "))
        },
    );
    let chains = desired.nft.chains.len();
    let sets = desired.nft.sets.len();
    let rows = [
        ("Uplinks", uplinks.join(" > ")),
        ("LAN", lan),
        ("IPv4", defaults(Family::V4, planned)),
        ("IPv6", defaults(Family::V6, planned)),
        ("Tables", tables(desired, names)),
        ("Rules", rules(desired)),
        ("nftables", format!("table inet {}: {chains} chains, {sets} sets", desired.nft.name)),
        ("sysctl", format!("{} settings", desired.sysctls.len())),
        ("Page", page(config)),
    ];
    rows.iter().map(|(title, text)| format!("{title:<9} {text}\n")).collect()
}

/// The default routes of a family in their order.
fn defaults(family: Family, planned: &Planned) -> String {
    let of = |route: &&Route| route.table == TableId::ACTIVE && route.family == family;
    let mut routes: Vec<&Route> = planned.desired.routes.iter().filter(of).collect();
    routes.sort_by_key(|route| route.metric);
    let words = |route: &&Route| {
        let via = route.via.map(|via| format!("via {via} ")).unwrap_or_default();
        let dev = planned.names.get(&route.dev).map_or("?", |name| name.as_str());
        let spare = if route.metric == Metric(1) { "" } else { "then " };
        format!("{spare}{via}dev {dev}")
    };
    let all: Vec<String> = routes.iter().map(words).collect();
    if all.is_empty() { "no default route".to_owned() } else { all.join(", ") }
}

fn tables(desired: &Dataplane, names: &Names) -> String {
    let ids = (1..=UplinkId::MAX).filter_map(UplinkId::new).map(UplinkId::table);
    let one = |id: TableId| {
        let route = desired.routes.iter().find(|route| route.table == id)?;
        Some(format!("{id} {}", names.get(&route.dev).map_or("?", |name| name.as_str())))
    };
    let active = std::iter::once(format!("{} in use", TableId::ACTIVE));
    active.chain(ids.filter_map(one)).collect::<Vec<_>>().join(", ")
}

fn rules(desired: &Dataplane) -> String {
    let priorities = || desired.rules.iter().map(|rule| rule.priority.0);
    match priorities().min().zip(priorities().max()) {
        Some((first, last)) => {
            format!("{} with priorities {first} to {last}", desired.rules.len())
        }
        None => "none".to_owned(),
    }
}

fn page(config: &Config) -> String {
    let all = config.web.listen.iter().map(|listen| match listen {
        Listen::Lan(port) => format!("port {port} in the LAN"),
        Listen::Addr(address) => format!("http://{address}/"),
    });
    let all: Vec<String> = all.collect();
    if all.is_empty() { "none".to_owned() } else { all.join(", ") }
}

/// The difference for people, or why there is none to be seen.
fn told(difference: &Difference, planned: &Planned, colour: Colour) -> String {
    const MORE: &str = "sparelink plan --full shows everything.\n";
    let (observed, changes) = match difference {
        Ok(both) => both,
        Err(ReconcileError::Permission) => {
            return format!(
                "The kernel was not compared: run it as root to see the difference.\n{MORE}"
            );
        }
        Err(error) => return format!("The kernel was not compared: {error}\n{MORE}"),
    };
    if changes.is_empty() {
        return format!("The kernel has all of this: nothing would change.\n{MORE}");
    }
    let lines: Vec<Line> =
        changes.iter().flat_map(|change| lines_of(change, observed, &planned.names)).collect();
    let removed = lines.iter().filter(|line| matches!(line, Line::Less(_))).count();
    let added = lines.len() - removed;
    let heading =
        format!("The kernel now against this ({removed} lines to remove, {added} to add):");
    let mut text = Style::Strong.paint(&heading, colour) + "\n";
    for line in &lines {
        let (text_of, style) = match line {
            Line::Less(what) => (format!("- {what}"), Style::Bad),
            Line::More(what) => (format!("+ {what}"), Style::Good),
        };
        text += &(style.paint(&text_of, colour) + "\n");
    }
    text + MORE
}

/// A line of the difference.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Line {
    /// Is there and would not be.
    Less(String),
    /// Is not there and would be.
    More(String),
}

fn setting(path: &str, value: &str) -> String {
    render::sysctl(path, value).replacen(" -w", "", 1)
}

/// Whether the kernel takes the one for the other (`NLM_F_REPLACE`).
fn gives_way(old: &Route, new: &Route) -> bool {
    let key = |r: &Route| (r.family, r.table, r.dst, r.metric);
    key(old) == key(new)
}

/// One change as what goes and what comes.
fn lines_of(change: &Change, observed: &Dataplane, names: &Names) -> Vec<Line> {
    use Line::{Less, More};
    let route = |r: &Route| format!("ip {}", render::route("", r, names).replacen("  ", " ", 1));
    let rule = |r| format!("ip {}", render::rule("", r).replacen("  ", " ", 1));
    match change {
        Change::SetSysctl { path, value } => {
            let old = observed.sysctls.get(path).map(|old| Less(setting(path, &old.value)));
            old.into_iter().chain([More(setting(path, value))]).collect()
        }
        Change::ReplaceRoute(new) => {
            let old = observed.routes.iter().find(|old| gives_way(old, new));
            old.map(|old| Less(route(old))).into_iter().chain([More(route(new))]).collect()
        }
        Change::DelRoute(old) => vec![Less(route(old))],
        Change::AddRule(new) => vec![More(rule(new))],
        Change::DelRule(old) => vec![Less(rule(old))],
        Change::BuildTable(table) if table.name.is_empty() => {
            vec![Less("nft table inet sparelink".to_owned())]
        }
        Change::BuildTable(table) => {
            let (chains, sets) = (table.chains.len(), table.sets.len());
            let name = &table.name;
            vec![More(format!("nft table inet {name} ({chains} chains, {sets} sets), rebuilt"))]
        }
        Change::Elements { .. } => {
            let element = |line: &str| match line.strip_prefix("nft delete ") {
                Some(rest) => Less(format!("nft {rest}")),
                None => More(line.replacen("nft add ", "nft ", 1)),
            };
            render::change(change, names).lines().map(element).collect()
        }
    }
}

#[cfg(test)]
mod tests;
