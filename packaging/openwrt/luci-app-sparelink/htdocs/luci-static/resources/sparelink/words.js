'use strict';
'require baseclass';

/*
 * The words of the status page, for LuCI. Each is the agent's own or says a state of its API.
 *
 * Text from outside goes to the page as a text node only: E(tag, attributes, [ text ]). A bare string would be taken for HTML.
 */

// What cannot be seen, or turns the reading direction of what follows.
const UNSEEN = new RegExp('[\\u0000-\\u0008\\u000e-\\u001f\\u007f-\\u009f\\u061c\\u200b-\\u200f\\u2028-\\u202e\\u2060-\\u206f\\ufeff]', 'g');

function clean(value, most) {
	const text = String(value ?? '').replace(UNSEEN, '').replace(/\s+/g, ' ').trim();
	const limit = most || 400;
	return text.length > limit ? text.slice(0, limit - 1) + '…' : text;
}

function capital(text) {
	return text.charAt(0).toUpperCase() + text.slice(1);
}

/** An uplink's name. One that cannot be seen must be pointed at all the same. */
function called(name) {
	return clean(name, 64) || _('(no name)');
}

function span(seconds) {
	const s = Math.max(0, seconds);
	if (s < 119.5)
		return _('%d s').format(Math.round(s));
	const minutes = Math.round(s / 60);
	if (minutes < 120)
		return _('%d min').format(minutes);
	const hours = Math.round(minutes / 60);
	return hours < 48 ? _('%d h').format(hours) : _('%d days').format(Math.round(hours / 24));
}

/** A time of the box, on the clock of whoever looks; null where the box does not know it. */
function moment(text, now) {
	const at = new Date(text ?? NaN);
	if (isNaN(at))
		return null;
	const two = (n) => (n < 10 ? '0' : '') + n;
	const clock = two(at.getHours()) + ':' + two(at.getMinutes());
	const today = at.toDateString() === (now || new Date()).toDateString();
	return today ? clock : at.getFullYear() + '-' + two(at.getMonth() + 1) + '-' + two(at.getDate()) + ' ' + clock;
}

/** It could take over: what the agent says, and nothing that a person would see first speaks against it. */
function isReady(u) {
	return u.role === 'ready' && [ 'ok', 'resolvers_silent' ].includes(u.condition ?? 'ok');
}

function isFine(u) {
	return u.condition === 'ok' && ((u.role === 'active' && u.health === 'up') || u.role === 'ready');
}

function isDown(line) {
	return line.health === 'down';
}

/** Nothing gets through where it carries the traffic; where it carries none, it is down as a whole. */
function fails(u, s) {
	const lines = [ s.active === u.name && u.v4, s.active6 === u.name && u.v6 ].filter(Boolean);
	return lines.length ? lines.every(isDown) : isDown(u);
}

/** What an uplink is doing: the word, and how it is shown. Colour is never the only sign. */
function standing(u, s) {
	if (u.role === 'active') {
		if (fails(u, s))
			return [ _('Down'), 'important' ];
		const apart = s.active && s.active6 && s.active !== s.active6;
		const word = apart ? (s.active === u.name ? _('In use, IPv4') : _('In use, IPv6')) : _('In use');
		return [ word, isFine(u) && s.uplinks[0] === u ? 'success' : 'warning' ];
	}
	if (isReady(u))
		return [ _('Ready'), 'success' ];
	if (u.role === 'paused')
		return [ _('Paused'), 'notice' ];
	if (u.condition === 'portal')
		return [ _('Sign-in page'), 'warning' ];
	if (u.condition === 'switched_off')
		return [ _('Switched off'), 'notice' ];
	if (u.condition === 'absent' || u.condition === 'no_carrier' || u.carrier === false)
		return [ _('Not connected'), 'notice' ];
	if (u.health === 'down') {
		if (!u.v4 || !u.v6 || isDown(u.v4) === isDown(u.v6))
			return [ _('Down'), 'important' ];
		return [ isDown(u.v4) ? _('IPv4 down') : _('IPv6 down'), 'warning' ];
	}
	return u.condition === 'degraded' ? [ _('Loses packets'), 'warning' ] : [ _('Being checked'), 'notice' ];
}

/** Why it is so, and what happens next; of an uplink that is well, nothing. */
function reasonOf(u, s) {
	const why = isFine(u) ? '' : clean(u.reason);
	const said = why.toLowerCase() === standing(u, s)[0].toLowerCase() ? '' : why;
	const soon = !isFine(u) || typeof u.next_in_s === 'number' || (u.draining && u.draining.flows > 0);
	const parts = [ said, soon ? clean(u.next) : '' ].filter(Boolean);
	// An uplink's own name stays as it is written.
	const text = parts.join(' · ');
	return text.startsWith(called(u.name)) ? text : capital(text);
}

/** A dead line has no latency, whatever was measured before; it is that of IPv4 where there is one. */
function latency(u) {
	if (isDown(u.v4 ?? u.v6 ?? u) || typeof u.rtt_ms !== 'number')
		return '–';
	if (u.rtt_ms >= 999.5)
		return _('%s s').format((u.rtt_ms / 1000).toFixed(1));
	return _('%s ms').format(u.rtt_ms < 9.95 ? Math.round(u.rtt_ms * 10) / 10 : Math.round(u.rtt_ms));
}

/** Since when it is used, or when it last passed all checks. */
function since(u, s) {
	const split = s.active && s.active6 && s.active !== s.active6;
	const at = u.role === 'active' && s.works && !split ? moment(s.since) : null;
	if (at !== null)
		return _('in use since %s').format(at);
	return typeof u.proven_s_ago === 'number' ? _('passed %s ago').format(span(u.proven_s_ago)) : _('not yet');
}

/** What a person has to know beside the sentence, each on a line of its own. */
function remarks(s) {
	const lines = [];
	const at = moment(s.since);
	if (at !== null)
		lines.push(_('Since %s.').format(at));
	if (s.works && s.uplinks.length === 1)
		lines.push(_('There is no other uplink.'));
	else if (s.works && !s.uplinks.some(isReady))
		lines.push(_('No spare is ready.'));
	if (s.manual) {
		const until = moment(s.manual_until);
		lines.push(until === null
			? _('%s is preferred by hand.').format(called(s.manual))
			: _('%s is preferred by hand until %s.').format(called(s.manual), until));
	}
	if (s.observing === true)
		lines.push(_('Observing only: nothing is changed.'));
	return lines;
}

/** Something critical: what it is, and whether somebody has seen it. Null: there is none. */
function alarm(s) {
	const is = s.messages && s.messages.alarm;
	if (!is)
		return null;
	const title = clean(is.title, 160);
	if (is.acknowledged) {
		const at = moment(is.acknowledged.at);
		const by = clean(is.acknowledged.by, 60);
		return title + ' – ' + (at === null ? _('acknowledged %s.').format(by) : _('acknowledged at %s %s.').format(at, by));
	}
	if (!is.next)
		return title + ' – ' + _('nobody has said yet that they have seen this.');
	return title + ' – ' + _('if nobody says that they have seen this, %s is told in %s.').format(clean(is.next.to, 60), span(is.next.in_s));
}

/** Whether what came is a status: ubus answers a number where something is wrong. */
function isStatus(s) {
	return s !== null && typeof s === 'object' && Array.isArray(s.uplinks) && typeof s.sentence === 'string';
}

/** A switch as uci knows it; null: it says neither. */
function flag(value) {
	const word = Array.isArray(value) ? value[value.length - 1] : value;
	if ([ '1', 'on', 'true', 'yes', 'enabled' ].includes(word))
		return true;
	return [ '0', 'off', 'false', 'no', 'disabled' ].includes(word) ? false : null;
}

return baseclass.extend({ clean, called, span, moment, isReady, isFine, standing, reasonOf, latency, since, remarks, alarm, isStatus, flag });
