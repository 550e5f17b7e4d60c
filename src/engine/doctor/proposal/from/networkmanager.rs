//! NetworkManager's profiles: which device each is for, which are uplinks, and in which order.

use std::collections::{BTreeMap, BTreeSet};

use super::keyfile::Keyfile;
use super::profile::{Profile, Role};
use super::said::{Behind, File, Names, Said, Way, word};
use crate::engine::doctor::proposal::facts::Seen;
use crate::engine::doctor::proposal::nature::Nature;
use crate::engine::kernel::view::Link;
use crate::units::{IfIndex, IfName};

/// What a profile is for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum For {
    Interface(IfName),
    /// A device that is not there.
    Mac([u8; 6]),
}

/// A profile with its device.
struct Placed<'p, 'f> {
    profile: &'p Profile<'f>,
    device: For,
    /// It is in use there now.
    active: bool,
}

/// What NetworkManager's profiles come to. The first of two files with the same UUID counts, as for NetworkManager: those below
/// `/etc` come first. `active` says which profile (by its UUID) is in use on which interface.
#[must_use]
pub fn translate(files: &[File], active: &BTreeMap<String, IfIndex>, seen: &Seen) -> Said {
    let mut said = Said::default();
    let profiles = profiles(files, &mut said);
    let used = |profile: &Profile<'_>| active.get(profile.uuid()?).copied();
    let mut placed: Vec<Placed<'_, '_>> = Vec::new();
    let mut anywhere: Vec<&Profile<'_>> = Vec::new();
    for profile in &profiles {
        let link = used(profile).and_then(|index| seen.view.links.get(&index));
        let named = profile.interface().or_else(|| link.map(|link| link.name.clone()));
        match named.map(For::Interface).or_else(|| by_mac(profile, seen)) {
            Some(device) => placed.push(Placed { profile, device, active: link.is_some() }),
            None => anywhere.push(profile),
        }
    }
    for profile in anywhere {
        let taken: BTreeSet<&For> = placed.iter().map(|one| &one.device).collect();
        match any(profile, &taken, seen) {
            Some(device) => placed.push(Placed { profile, device, active: false }),
            None => {
                let why = match profile.role() {
                    Role::Neither(why) => why,
                    Role::Uplink | Role::Lan(_) => {
                        "it is for no interface of its own, and none that fits is there and free"
                            .to_owned()
                    }
                };
                said.drop(profile.file, "", &why);
            }
        }
    }
    let counting = one_each(placed, &mut said);
    take(&counting, &mut said);
    said
}

/// The profiles that can be read.
fn profiles<'f>(files: &'f [File], said: &mut Said) -> Vec<Profile<'f>> {
    let mut known = BTreeSet::new();
    let mut profiles = Vec::new();
    for file in files {
        let keys = Keyfile::read(&file.text);
        for (line, what) in &keys.mistakes {
            said.dropped.push(format!("{}:{line}: {what}", file.path));
        }
        let profile = Profile { file, keys };
        if profile.kind().is_empty() {
            said.drop(file, "", "it does not say its type in [connection]");
            continue;
        }
        if profile.uuid().is_none_or(|uuid| known.insert(uuid.to_owned())) {
            profiles.push(profile);
        }
    }
    profiles
}

/// The device with the hardware address that a profile names.
fn by_mac(profile: &Profile<'_>, seen: &Seen) -> Option<For> {
    let mac = profile.mac()?;
    let link = seen.view.links.values().find(|link| link.mac == Some(mac) && link.master.is_none());
    Some(link.map_or(For::Mac(mac), |link| For::Interface(link.name.clone())))
}

/// A device of its type that no other profile is for, best one that leads out already. Profiles for Wi-Fi share their device: each is
/// for a network of its own.
fn any(profile: &Profile<'_>, taken: &BTreeSet<&For>, seen: &Seen) -> Option<For> {
    let wanted = profile.nature()?;
    let fits = |link: &&Link| {
        let nature = Nature::of(link, &seen.device(link));
        // For NetworkManager a phone by USB is Ethernet.
        let ethernet = [Nature::Ethernet, Nature::Phone, Nature::MobileRouter];
        let is_it = |nature: Nature| {
            nature == wanted || (wanted == Nature::Ethernet && ethernet.contains(&nature))
        };
        nature.is_some_and(is_it)
            && link.hardware.driver.is_some()
            && link.master.is_none()
            && (wanted == Nature::Wifi || !taken.contains(&For::Interface(link.name.clone())))
    };
    let leads = |link: &&Link| {
        seen.view.routes.iter().any(|route| route.dev == link.index && route.is_default())
    };
    let links = || seen.view.links.values().filter(|link| !link.loopback).filter(fits);
    let found = links().find(leads).or_else(|| links().next()).map(|link| link.name.clone());
    // Devices that come with the connection have names that are known before.
    let usual = match wanted {
        Nature::Modem => IfName::new("wwan0"),
        Nature::Phone => IfName::new("bnep0"),
        Nature::Ppp => IfName::new("ppp0"),
        Nature::Ethernet | Nature::Wifi | Nature::MobileRouter => None,
    };
    let usual = usual.filter(|name| !taken.contains(&For::Interface(name.clone())));
    found.or(usual).map(For::Interface)
}

/// The profile that counts on each device: that in use, else the one that NetworkManager would start.
fn one_each<'p, 'f>(mut placed: Vec<Placed<'p, 'f>>, said: &mut Said) -> Vec<Placed<'p, 'f>> {
    placed.sort_by_key(|one| {
        let Placed { profile, active, .. } = one;
        (!active, !profile.starts_itself(), -profile.priority(), profile.metric())
    });
    let mut counting: Vec<Placed<'_, '_>> = Vec::new();
    for one in placed {
        match counting.iter().find(|other| other.device == one.device) {
            Some(other) => {
                let device = match &one.device {
                    For::Interface(name) => name.to_string(),
                    For::Mac(_) => "its device".to_owned(),
                };
                let what = format!("on {device} {:?} counts", word(other.profile.id()));
                said.drop(one.profile.file, "", &what);
            }
            None => counting.push(one),
        }
    }
    counting
}

/// Takes in what the profiles say, in the order of their metrics.
fn take(counting: &[Placed<'_, '_>], said: &mut Said) {
    let mut uplinks: Vec<&Placed<'_, '_>> = Vec::new();
    for one in counting {
        let Placed { profile, device, active } = one;
        match profile.role() {
            Role::Uplink if !active && !profile.starts_itself() => {
                said.drop(profile.file, "", "it says autoconnect=false, so nobody starts it");
            }
            Role::Uplink => uplinks.push(one),
            Role::Lan(address) => match device {
                For::Interface(name) => {
                    said.lan.push(Behind { interface: name.clone(), address });
                }
                For::Mac(_) => said.drop(profile.file, "", "its device is not there"),
            },
            Role::Neither(why) => said.drop(profile.file, "", &why),
        }
    }
    uplinks.sort_by_key(|one| (one.profile.metric(), one.profile.nature(), &one.profile.file.path));
    let mut names = Names::default();
    for Placed { profile, device, .. } in uplinks {
        let table = profile.keys.number("ipv4", "route-table");
        if table.is_some_and(|table| table > 0 && table != 254) {
            let what =
                "route-table: its gateway is learned from the table main only; take this out";
            said.drop(profile.file, "[ipv4]", what);
        }
        let nature = profile.nature().unwrap_or(Nature::Ethernet);
        said.uplinks.push(Way {
            name: names.fit(profile.id(), nature.name()),
            interface: match device {
                For::Interface(name) => Some(name.clone()),
                For::Mac(_) => None,
            },
            // Where both are said, the name is enough.
            mac: profile.mac().filter(|_| profile.interface().is_none()),
            nature,
            metered: profile.metered(),
            resolvers: profile.resolvers(),
        });
    }
}
