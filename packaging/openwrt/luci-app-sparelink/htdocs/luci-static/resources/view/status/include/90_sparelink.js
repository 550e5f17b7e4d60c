'use strict';
'require baseclass';
'require rpc';
'require uci';
'require sparelink.words as words';

const callStatus = rpc.declare({
	object: 'sparelink',
	method: 'status'
});

const SMALL = 'display:block;opacity:.8;white-space:normal';

function link() {
	return E('a', { 'href': L.url('admin/network/sparelink') }, [ _('Network → Sparelink') ]);
}

/** That there is no answer, and why: what somebody has to do about it differs. */
function silent(isOn) {
	if (isOn === false)
		return E('p', {}, [ _('sparelink is switched off: nothing watches the uplinks, and no traffic is moved.'), ' ', link() ]);
	const said = isOn === true
		? _('sparelink is switched on but does not answer: its agent is not running, or is only just starting.')
		: _('sparelink does not answer: its agent is not running, or may not be asked.');
	return E('p', { 'class': 'alert-message warning' }, [ said, ' ', link() ]);
}

function row(u, s) {
	const [ word, tone ] = words.standing(u, s);
	const why = words.reasonOf(u, s);
	const cell = (title, children) => E('td', { 'class': 'td left', 'data-title': title }, children);
	return E('tr', { 'class': 'tr' }, [
		cell(_('Uplink'), [
			E('strong', {}, [ E('bdi', {}, [ words.called(u.name) ]) ]),
			E('span', { 'style': SMALL }, [ words.clean(u.interface, 64) + (u.metered ? ' · ' + _('metered') : '') ])
		]),
		cell(_('State'), [
			E('span', { 'class': 'label ' + tone }, [ word ]),
			why ? E('span', { 'style': SMALL }, [ why ]) : ''
		]),
		cell(_('Latency'), [ words.latency(u) ]),
		cell(_('Last check'), [ words.since(u, s) ])
	]);
}

function table(s) {
	const head = [ _('Uplink'), _('State'), _('Latency'), _('Last check') ];
	return E('table', { 'class': 'table' }, [
		E('tr', { 'class': 'tr table-titles' }, head.map((title) => E('th', { 'class': 'th left' }, [ title ])))
	].concat(s.uplinks.map((u) => row(u, s))));
}

/** The agent's own page, if it has one: the agent knows its addresses. Nothing but such an address becomes a link. */
function page(s) {
	const place = (Array.isArray(s.page) ? s.page : []).find((url) => typeof url === 'string' && url.startsWith('http://'));
	return place ? E('p', {}, [ E('a', { 'href': place, 'target': '_blank', 'rel': 'noreferrer' }, [ _('The whole picture: sparelink’s own page') ]) ]) : '';
}

function box(s) {
	const alarm = words.alarm(s);
	return E('div', {}, [
		E('p', {}, [ E('strong', {}, [ words.clean(s.sentence) ]), E('span', { 'style': SMALL }, [ words.remarks(s).join(' ') ]) ]),
		alarm ? E('p', { 'class': 'alert-message error', 'role': 'alert' }, [ alarm ]) : '',
		s.uplinks.length ? table(s) : E('p', {}, [ _('The configuration names no uplink.'), ' ', link() ]),
		page(s)
	]);
}

return baseclass.extend({
	title: _('Internet uplinks'),

	// An include whose load fails once is never asked again: nothing is an answer, too.
	load: function() {
		const asked = Promise.resolve().then(() => callStatus()).catch(() => null);
		const read = Promise.resolve().then(() => uci.load('sparelink')).then(() => {
			const main = uci.sections('sparelink', 'sparelink')[0];
			// The agent is not started before somebody says so.
			return main ? words.flag(main.enabled) === true : null;
		}).catch(() => null);
		return Promise.all([ asked, read ]);
	},

	render: function(data) {
		const [ status, isOn ] = data || [ null, null ];
		return words.isStatus(status) ? box(status) : silent(isOn);
	}
});
