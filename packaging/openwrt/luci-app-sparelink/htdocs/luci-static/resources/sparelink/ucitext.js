'use strict';
'require baseclass';
'require uci';

const CONFIG = 'sparelink';

/** A value as uci itself writes it: nothing has a meaning between these quotes, not even a backslash. */
function quoted(value) {
	return "'" + String(value).split("'").join("'\\''") + "'";
}

/**
 * The keys of a section, those first that it has. Of each the value that would be saved: what the form says before what
 * uci has. uci.sections() still lists what was removed, so each value is asked for alone.
 */
function entries(section, draft) {
	const sid = section['.name'];
	const wanted = draft[sid] || {};
	const keys = Object.keys(section).filter((key) => key.charAt(0) !== '.');
	for (const key of Object.keys(wanted))
		if (!keys.includes(key))
			keys.push(key);
	return keys.map((key) => [ key, key in wanted ? wanted[key] : uci.get(CONFIG, sid, key) ]);
}

/**
 * /etc/config/sparelink as it would be saved, and what stands on each of its lines: section, option, and which element of
 * a list. Draft: for each section what the form says instead of what uci has; null is removed.
 */
function build(draft) {
	const lines = [];
	const places = [];
	const put = (line, place) => {
		// A value may have line breaks: all its lines are its own.
		for (const part of line.split('\n')) {
			lines.push(part);
			places.push(place);
		}
	};
	for (const section of uci.sections(CONFIG)) {
		const [ sid, type ] = [ section['.name'], section['.type'] ];
		const place = (option, index) => ({ sid, type, option, index });
		put('config ' + type + (section['.anonymous'] ? '' : ' ' + quoted(sid)), place(null, null));
		for (const [ option, value ] of entries(section, draft || {})) {
			// uci keeps nothing empty.
			if (Array.isArray(value))
				value.forEach((element, index) => element === '' || put('\tlist ' + option + ' ' + quoted(element), place(option, index)));
			else if (value !== null && value !== undefined && value !== '')
				put('\toption ' + option + ' ' + quoted(value), place(option, null));
		}
	}
	return { text: lines.length ? lines.join('\n') + '\n' : '', places };
}

/** A name for a section: uci knows letters, digits and _ only. Taken ones get a number. */
function sectionName(wanted) {
	const plain = String(wanted).replace(/[^A-Za-z0-9_]/g, '_') || 'uplink';
	const taken = uci.sections(CONFIG).map((section) => section['.name']);
	let name = plain;
	for (let n = 2; taken.includes(name); n++)
		name = plain + '_' + n;
	return name;
}

return baseclass.extend({ CONFIG, quoted, build, sectionName });
