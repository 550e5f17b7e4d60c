'use strict';
'require view';
'require form';
'require poll';
'require rpc';
'require uci';
'require ui';
'require sparelink.check as check';
'require sparelink.fields as fields';
'require sparelink.marks as marks';
'require sparelink.ucitext as ucitext';
'require sparelink.words as words';

const CONFIG = ucitext.CONFIG;

const callStatus = rpc.declare({
	object: 'sparelink',
	method: 'status'
});

const callNetworks = rpc.declare({
	object: 'network.interface',
	method: 'dump',
	expect: { interface: [] }
});

/* The tables. Each is a direct child of form.GridSection: LuCI's super() counts classes from the object up. */

// What was wrong at the last check, for dialogs that are opened afterwards.
let wrong = [];

const CHECKED = {
	// A click on a title would sort the chain by the alphabet, and their order is their priority.
	handleSort: function() {},

	renderMoreOptionsModal: function(sid, ev) {
		return Promise.resolve(this.super('renderMoreOptionsModal', [ sid, ev ])).then((rendered) => {
			const dialog = document.querySelector('#modal_overlay .cbi-map:not(.hidden)');
			const here = wrong.filter((mistake) => mistake.place && mistake.place.sid === sid);
			if (dialog && here.length)
				marks.show(dialog, here);
			return rendered;
		});
	},

	// In the dialog a mistake of this section keeps it open: closed, the field would be out of sight. Where nobody can
	// check, it is a draft like any other, and Save & Apply says so.
	handleModalSave: function(map, ev) {
		const sid = map.children[0].cfgsections()[0];
		const keep = () => this.super('handleModalSave', [ map, ev ]);
		return check.rehearse(map).then(check.ask).then((answer) => {
			const here = answer.mistakes.filter((mistake) => mistake.place && mistake.place.sid === sid);
			if (!here.length)
				return keep();
			marks.show(map.root, here);
			return null;
		}, keep);
	}
};

const CHAIN = Object.assign({}, CHECKED, {
	// LuCI's own field refuses names with -. Here the section gets a plain one, and the uplink its own.
	renderSectionAdd: function(extra) {
		const name = E('input', { 'type': 'text', 'class': 'cbi-input-text', 'maxlength': 32, 'placeholder': _('name, such as cable'), 'aria-label': _('Name of the new uplink') });
		const add = E('button', { 'class': 'cbi-button cbi-button-add', 'click': ui.createHandlerFn(this, (ev) => this.handleAdd(ev, name.value.trim())) }, [ _('Add an uplink') ]);
		add.disabled = true;
		name.addEventListener('input', () => { add.disabled = name.value.trim() === ''; });
		name.disabled = this.map.readonly === true;
		return E('div', { 'class': [ 'cbi-section-create', extra || '' ].join(' ') }, [ E('div', {}, [ name ]), add ]);
	},

	handleAdd: function(ev, wanted) {
		if (!wanted)
			return null;
		const sid = ucitext.sectionName(wanted);
		this.named = sid === wanted ? null : { sid, name: wanted };
		return this.super('handleAdd', [ ev, sid ]);
	},

	// The dialog of a new uplink: it shows the name that was typed.
	addModalOptions: function(section, sid) {
		if (this.named && this.named.sid === sid)
			this.map.data.set(CONFIG, sid, 'name', this.named.name);
		this.named = null;
	},

	renderRowActions: function(...args) {
		const cell = this.super('renderRowActions', args);
		const sid = args[0];
		const button = (word, sign, step) => {
			const node = E('button', { 'class': 'btn cbi-button', 'title': word, 'aria-label': word + ': ' + nameOf(sid), 'click': (ev) => {
				ev.preventDefault();
				this.step(ev.currentTarget, sid, step);
			} }, [ sign ]);
			node.disabled = this.map.readonly === true;
			return node;
		};
		const place = cell.firstElementChild || cell;
		place.insertBefore(button(_('Down'), '↓', 1), place.firstChild);
		place.insertBefore(button(_('Up'), '↑', -1), place.firstChild);
		return cell;
	},

	/** One place up or down, for who has no mouse. Saved, like dragging, at Save. */
	step: function(button, sid, by) {
		const row = button.closest('[data-sid]');
		const other = by < 0 ? row.previousElementSibling : row.nextElementSibling;
		if (!other || other.getAttribute('data-sid') === null)
			return;
		this.map.data.move(CONFIG, sid, other.getAttribute('data-sid'), by > 0);
		row.parentNode.insertBefore(row, by < 0 ? other : other.nextElementSibling);
		button.focus();
	}
});

/* What the agent says. */

let latest = null;

function nameOf(sid) {
	return uci.get(CONFIG, sid, 'name') || sid;
}

function stateWords(sid) {
	const u = words.isStatus(latest) ? latest.uplinks.find((known) => known.name === nameOf(sid)) : null;
	if (!u)
		return [ '–' ];
	const [ word, tone ] = words.standing(u, latest);
	const why = words.reasonOf(u, latest);
	const more = [ words.latency(u), why ].filter((part) => part && part !== '–').join(' · ');
	return [ E('span', { 'class': 'label ' + tone }, [ word ]), more ? E('span', { 'style': 'display:block;opacity:.8;white-space:normal' }, [ more ]) : '' ];
}

function headline() {
	return words.isStatus(latest)
		? [ E('strong', {}, [ words.clean(latest.sentence) ]), ' ' + words.remarks(latest).join(' ') ]
		: [ _('The agent does not answer: what the uplinks do is not known.') ];
}

/** Writes only what is new: what stays the same must not be read aloud again. */
function fill(node, children) {
	const text = children.map((child) => (typeof child === 'string' ? child : child.textContent)).join('');
	if (node.textContent !== text)
		node.replaceChildren(...children.filter((child) => child !== ''));
}

/** Asks the agent, and writes its words where they belong. */
function refresh() {
	return Promise.resolve().then(() => callStatus()).catch(() => null).then((status) => {
		latest = status;
		for (const node of Array.from(document.querySelectorAll('[data-sparelink-state]')))
			fill(node, stateWords(node.getAttribute('data-sparelink-state')));
		for (const node of Array.from(document.querySelectorAll('[data-sparelink-headline]')))
			fill(node, headline());
	});
}

/* The form. */

function addState(section) {
	const state = section.option(form.DummyValue, '_state', _('Now'));
	state.modalonly = false;
	state.textvalue = (sid) => E('div', { 'data-sparelink-state': sid }, stateWords(sid).filter((child) => child !== ''));
}

function table(map, base, type, title, says) {
	const section = map.section(form.GridSection.extend(base), type, title, says);
	section.addremove = true;
	section.nodescriptions = true;
	section.modaltitle = (sid) => title + ': ' + sid;
	return section;
}

function build(networks) {
	const map = new form.Map(CONFIG, _('Sparelink'), _('Internet by several uplinks: when the one in use dies, the next takes over.'));

	const main = map.section(form.TypedSection, 'sparelink', _('General'));
	main.anonymous = true;
	fields.MAIN.forEach((field) => fields.add(main, field, networks));

	const chain = table(map, CHAIN, 'uplink', _('Uplinks'), _('Their order is their priority: the first is used whenever it works.'));
	// Its first column is the name: LuCI's own would be that of the section once more.
	chain.anonymous = true;
	chain.sortable = true;
	fields.UPLINK.forEach((field) => { fields.add(chain, field, networks).modalonly = field[0] === 'device' ? true : null; });
	addState(chain);
	fields.DETAILS.forEach((field) => { fields.add(chain, field, networks).modalonly = true; });

	const probe = map.section(form.TypedSection, 'probe', _('Checks'), _('How uplinks are asked whether the Internet is behind them.'));
	probe.anonymous = true;
	fields.PROBE.forEach((field) => fields.add(probe, field, networks));

	const notify = table(map, CHECKED, 'notify', _('Messages'), _('Who is told what happens.'));
	notify.anonymous = true;
	notify.addbtntitle = _('Add a channel');
	fields.NOTIFY.forEach((field) => fields.add(notify, field, networks));
	return map;
}

/** There is one section of each, and a form has fields only for sections that are there. Written at Save, not before. */
function complete() {
	for (const [ type, name ] of [ [ 'sparelink', 'main' ], [ 'probe', 'probe' ] ])
		if (!uci.sections(CONFIG, type).length)
			uci.add(CONFIG, type, name);
}

/** That the uplinks are somewhere else, where this page does not reach. */
function elsewhere() {
	const file = uci.sections(CONFIG, 'sparelink').map((section) => section.config_file).find(Boolean);
	const said = _('The configuration is in %s: what is set here does not count. Remove option config_file to use this page.');
	return file ? E('p', { 'class': 'alert-message warning', 'role': 'alert' }, [ said.format(words.clean(file, 200)) ]) : '';
}

return view.extend({
	load: function() {
		return Promise.all([
			uci.load(CONFIG),
			Promise.resolve().then(() => callNetworks()).catch(() => []),
			refresh()
		]);
	},

	render: function(data) {
		wrong = [];
		complete();
		const networks = data[1].map((network) => network.interface).filter((name) => name && name !== 'loopback');
		this.map = build(networks);
		poll.add(refresh, 5);
		return this.map.render().then((node) => E('div', {}, [
			elsewhere(),
			E('p', { 'data-sparelink-headline': '', 'aria-live': 'polite' }, headline()),
			node
		]));
	},

	/** What is wrong with what would be saved; null where LuCI itself finds something that is no value, and has said so. */
	examine: function() {
		marks.forget();
		marks.clear(this.map.root);
		wrong = [];
		return check.rehearse(this.map).then(
			(draft) => check.ask(draft).catch((error) => ({ ok: null, mistakes: [], more: 0, why: error.message })),
			// Its own way to say it is that of its own Save, which stops there.
			() => this.map.save().then(() => null, () => null)
		);
	},

	show: function(title, answer) {
		wrong = answer.mistakes;
		marks.show(this.map.root, answer.mistakes);
		marks.summary(title, answer.mistakes, answer.more, fields.label);
	},

	/** A draft: it may have mistakes, as nothing acts on it. They are told. */
	handleSave: function() {
		return this.examine().then((answer) => {
			if (answer === null)
				return null;
			return this.map.save().then(() => {
				if (answer.ok === null)
					return marks.tell(_('Saved, but not checked'), answer.why, 'warning');
				return answer.ok ? null : this.afterSave();
			}, () => null);
		});
	},

	/** What was new has another name once it is saved: where the mistakes are is asked again. */
	afterSave: function() {
		return check.ask({}).then((answer) => {
			if (!answer.ok)
				this.show(_('Saved, but it cannot be applied like this'), answer);
		}, () => null);
	},

	handleSaveApply: function(ev, mode) {
		return this.examine().then((answer) => {
			if (answer === null)
				return null;
			if (answer.ok)
				return this.apply(mode);
			if (answer.ok === null)
				return this.decide(answer.why, mode);
			return this.show(_('Nothing was applied: sparelink would refuse this'), answer);
		});
	},

	apply: function(mode) {
		return this.map.save().then(() => ui.changes.apply(mode == '0'), () => null);
	},

	/** Nobody can check: that is no reason to do it silently, nor to forbid it. */
	decide: function(why, mode) {
		ui.showModal(_('Nothing was applied: it could not be checked'), [
			E('p', {}, [ why ]),
			E('p', {}, [ _('If it is wrong, a running agent keeps its old configuration, and one that is just being started ends.') ]),
			E('div', { 'class': 'right' }, [
				E('button', { 'class': 'btn', 'click': ui.hideModal }, [ _('Back') ]),
				' ',
				E('button', { 'class': 'btn cbi-button-negative', 'click': ui.createHandlerFn(this, () => {
					ui.hideModal();
					return this.apply(mode);
				}) }, [ _('Apply without a check') ])
			])
		]);
		return null;
	}
});
