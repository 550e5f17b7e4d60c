'use strict';
'require baseclass';
'require form';
'require uci';
'require sparelink.ucitext as ucitext';
'require sparelink.words as words';

/* What can be set, in the words of the documentation. Each: option, kind, title, what it says, example or choices. */

const MAIN = [
	[ 'enabled', 'flag', _('Enabled'), _('Run the agent. Until then nothing is watched and nothing is changed.') ],
	[ 'lan', 'networks', _('LAN'), _('The networks behind this box, or their devices. Without one only the box’s own traffic is steered.'), 'lan' ],
	[ 'guard', 'flag-on', _('Guard'), _('Drop what comes in by an uplink unasked.') ],
	[ 'hold', 'text', _('Hold'), _('How long a better uplink must have been stable before traffic goes back to it. Doubled each time it failed within the hour.'), '60s' ],
	[ 'hold_max', 'text', _('Longest hold'), _('The longest that the hold becomes.'), '30m' ],
	[ 'listen', 'list', _('Page'), _('Where sparelink’s own page listens; lan stands for the LAN’s own addresses.'), 'lan:8300' ]
];

const UPLINK = [
	[ 'name', 'text', _('Name'), _('What people call it: one word. Empty: the name of its section.') ],
	[ 'network', 'network', _('Network'), _('What the system calls the network, whatever device it uses for it.'), 'wan' ],
	[ 'device', 'text', _('Device'), _('Instead of a network: its interface, by name.'), 'eth1' ],
	[ 'kind', 'choice', _('Kind'), _('How fast it is judged, and how often it is asked.'),
		{ wired: _('cable, fibre or DSL'), wifi: _('Wi-Fi'), cellular: _('mobile network') }, _('cable, fibre or DSL (usual)') ],
	[ 'metered', 'flag', _('Metered'), _('Data on it is precious: as a spare it is asked less often, and old connections leave it after ten minutes.') ]
];

// In the dialog only.
const DETAILS = [
	[ 'on_return', 'text', _('On return'), _('What becomes of connections on it when a better uplink returns: drain lets them end, drain:10m moves them after so long, cut after a second.'), 'drain' ],
	[ 'window', 'text', _('Window'), _('Fixes how long it may be silent before it counts as dead. Empty: by kind, then learned.'), '600ms' ],
	[ 'gateway', 'text', _('IPv4 gateway'), _('If no route of the system shows it.'), '192.168.8.1' ],
	[ 'gateway6', 'text', _('IPv6 gateway'), _('The same for IPv6.'), 'fe80::1' ],
	[ 'resolver', 'list', _('Resolvers'), _('Its own DNS resolvers. None: learned, else the targets are asked.'), '192.168.8.1' ],
	[ 'prefix', 'list', _('Public subnets'), _('Public subnets that its provider routes to this box: not translated, and let in.'), '198.51.100.8/29' ],
	[ 'prefix6', 'list', _('IPv6 prefixes'), _('IPv6 prefixes that its provider delegated: not translated by this uplink.'), '2001:db8:1::/56' ],
	[ 'keep_route', 'list', _('Kept routes'), _('Hosts to which a route of the system by this uplink stays, whatever uplink is in use.'), '203.0.113.9' ],
	[ 'usb_path', 'text', _('USB port'), _('How its interface is recognised if the name may change: all that is given must fit. The port as in /sys/bus/usb/devices.'), '1-1.3' ],
	[ 'driver', 'text', _('Driver'), _('The driver in the kernel.'), 'cdc_ether' ],
	[ 'mac', 'text', _('MAC address'), _('The Ethernet address.'), '02:00:5e:10:00:01' ],
	[ 'ssid', 'text', _('Wi-Fi name'), _('The Wi-Fi network that it is in.'), 'Hotel' ]
];

const PROBE = [
	[ 'target', 'list', _('Targets'), _('Servers that are asked, of either IP version: up to 8 of each, best of different operators. None: Cloudflare, Google and Quad9.'), '1.1.1.1' ],
	[ 'dns', 'text', _('DNS check'), _('The name that each uplink’s resolvers are asked for; 0 turns this check off.'), 'example.com' ],
	[ 'window', 'text', _('Window'), _('Fixes the window of every uplink. Empty: by kind, then learned.'), '600ms' ]
];

const NOTIFY = [
	[ 'to', 'secret', _('To'), _('Where to, as a URL: ntfy, json, mailto, tgram, pover, gotify, mqtt, sms, hilink or exec.'), 'ntfy://ntfy.sh/our-house-7f3k' ],
	[ 'min', 'choice', _('From'), _('What is told.'),
		{ notice: _('each switch'), warning: _('from warnings on'), critical: _('no Internet only') }, _('from warnings on (usual)') ],
	[ 'quiet', 'text', _('Quiet'), _('When only what is critical is told, in local time.'), '22:00-07:00' ]
];

const OF = { sparelink: MAIN, uplink: UPLINK.concat(DETAILS), probe: PROBE, notify: NOTIFY };

/** What a field is called. */
function label(place) {
	const field = (OF[place.type] || []).find((known) => known[0] === place.option);
	return field ? field[2] : null;
}

/** A switch that somebody wrote as yes or off is the same switch; shown as neither, it would be saved as another one. */
function loadFlag(sid) {
	const value = uci.get(ucitext.CONFIG, sid, this.option);
	const is = words.flag(value);
	return is === null ? value : is ? '1' : '0';
}

/** Choices, and what stands in the file without being one: a list that does not have it would quietly save another. */
function offer(option, choices, type) {
	const known = Object.keys(choices);
	for (const section of uci.sections(ucitext.CONFIG, type)) {
		const value = section[option.option];
		if (typeof value === 'string' && value !== '' && !known.includes(value)) {
			known.push(value);
			choices = Object.assign({}, choices, { [value]: value });
		}
	}
	for (const value of known)
		option.value(value, choices[value]);
}

/** Where a message goes, without what may be secret in it. */
function channelWords(sid) {
	const to = words.clean(this.cfgvalue(sid), 400);
	const scheme = to.split('://')[0];
	return E('span', {}, [ to === '' ? _('nowhere yet') : to.includes('://') ? scheme + '://…' : '…' ]);
}

function textWords(sid) {
	return E('span', {}, [ words.clean(this.cfgvalue(sid), 80) || '–' ]);
}

/** An uplink without a name of its own is called like its section. */
function nameWords(sid) {
	return E('bdi', {}, [ words.called(this.cfgvalue(sid) || sid) ]);
}

/** By what its interface is found, where that is no network. */
function networkWords(sid) {
	const by = [ 'device', 'usb_path', 'driver', 'mac', 'ssid' ].map((option) => uci.get(ucitext.CONFIG, sid, option)).find(Boolean);
	return E('span', {}, [ words.clean(this.cfgvalue(sid) || by, 80) || '–' ]);
}

const TEXTS = { secret: channelWords, text: textWords, network: networkWords };

const CLASSES = {
	'flag': form.Flag, 'flag-on': form.Flag, 'choice': form.ListValue, 'list': form.DynamicList, 'networks': form.DynamicList
};

/** Adds a field to a section. `networks` are the names that netifd knows. */
function add(section, field, networks) {
	const [ name, kind, title, says, example, usual ] = field;
	const option = section.option(CLASSES[kind] || form.Value, name, title, says);
	if (kind === 'flag' || kind === 'flag-on') {
		option.default = kind === 'flag-on' ? '1' : '0';
		option.load = loadFlag;
		// Whether it is on has to be in the file: its absence is off.
		option.rmempty = name !== 'enabled';
		return option;
	}
	option.rmempty = true;
	if (kind === 'choice') {
		option.optional = true;
		option.placeholder = usual;
		offer(option, example, section.sectiontype);
		option.textvalue = function(sid) {
			const value = this.cfgvalue(sid);
			return E('span', {}, [ words.clean(example[value] || value || usual, 80) ]);
		};
		return option;
	}
	option.placeholder = example;
	if (kind === 'network' || kind === 'networks')
		offer(option, Object.fromEntries(networks.map((network) => [ network, network ])), section.sectiontype);
	if (kind === 'secret')
		option.password = true;
	if (TEXTS[kind])
		option.textvalue = name === 'name' ? nameWords : TEXTS[kind];
	return option;
}

return baseclass.extend({ MAIN, UPLINK, DETAILS, PROBE, NOTIFY, label, add });
