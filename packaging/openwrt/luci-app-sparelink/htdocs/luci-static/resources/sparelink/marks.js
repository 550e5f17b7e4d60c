'use strict';
'require baseclass';
'require ui';
'require sparelink.ucitext as ucitext';
'require sparelink.words as words';

/* Mistakes where they were made: at the field, in the row of a table, and all of them in one message. */

const MARK = 'data-sparelink-mistake';
let message = null;

function find(root, name, value) {
	return Array.prototype.find.call(root.querySelectorAll('[' + name + ']'), (node) => node.getAttribute(name) === value) || null;
}

function sentence(mistake) {
	const text = words.clean(mistake.text);
	return mistake.hint ? text + ' – ' + words.clean(mistake.hint) : text;
}

/** Whether it says itself which option it is about. */
function names(mistake) {
	return mistake.place !== null && mistake.text.startsWith(mistake.place.option + ': ');
}

/** Where a mistake is shown below `root`: its field, its cell, its row or its section. Null: it has none there. */
function spot(root, place) {
	if (!place)
		return null;
	const field = place.option && find(root, 'data-field', [ 'cbid', ucitext.CONFIG, place.sid, place.option ].join('.'));
	if (field)
		return { field, node: field.querySelector('.cbi-value-field') || field };
	const row = find(root, 'data-sid', place.sid);
	if (row) {
		const cell = place.option && find(row, 'data-name', place.option);
		return { field: null, node: cell || row.firstElementChild, named: !cell && place.option };
	}
	const section = find(root, 'data-section-id', place.sid);
	return section ? { field: null, node: section, first: true, named: place.option } : null;
}

function clear(root) {
	for (const node of Array.from(root.querySelectorAll('[' + MARK + ']')))
		node.remove();
	for (const input of Array.from(root.querySelectorAll('[aria-invalid]'))) {
		input.removeAttribute('aria-invalid');
		input.classList.remove('cbi-input-invalid');
	}
}

/** Marks one; what is changed afterwards is no longer what was wrong. */
function mark(root, mistake) {
	const at = spot(root, mistake.place);
	if (!at)
		return false;
	const said = (at.named && !names(mistake) ? at.named + ': ' : '') + sentence(mistake);
	const node = E('div', { 'class': 'alert-message error', 'role': 'alert', [MARK]: '', 'style': 'margin:.3em 0 0;padding:.3em .6em;white-space:normal' }, [ said ]);
	if (at.first)
		at.node.insertBefore(node, at.node.firstChild);
	else
		at.node.appendChild(node);
	if (!at.field)
		return true;
	const inputs = Array.from(at.field.querySelectorAll('input, select, textarea'));
	for (const input of inputs) {
		input.setAttribute('aria-invalid', 'true');
		input.classList.add('cbi-input-invalid');
	}
	for (const event of [ 'input', 'change', 'widget-change' ])
		at.field.addEventListener(event, () => clear(at.field), { once: true });
	return true;
}

/** Marks what can be marked below `root`, and brings the first into sight. */
function show(root, mistakes) {
	clear(root);
	const shown = mistakes.filter((mistake) => mark(root, mistake));
	const first = root.querySelector('[' + MARK + ']');
	if (first && first.scrollIntoView)
		first.scrollIntoView({ block: 'center' });
	return shown.length;
}

/** Which place is meant, in words: the form's own where it has it. */
function where(mistake, label) {
	const place = mistake.place;
	if (!place)
		return _('somewhere else in the file');
	const section = place.type + ' ' + place.sid;
	return place.option && !names(mistake) ? section + ', ' + (label(place) || place.option) : section;
}

/** One message with all of them, in place of the last one. */
function summary(title, mistakes, more, label) {
	forget();
	const items = mistakes.map((mistake) => E('li', {}, [ E('strong', {}, [ where(mistake, label) + ': ' ]), sentence(mistake) ]));
	if (more > 0)
		items.push(E('li', {}, [ _('and %d more').format(more) ]));
	message = ui.addNotification(title, E('ul', { 'role': 'alert' }, items), 'error');
}

/** One sentence, in place of the last message. */
function tell(title, sentence, tone) {
	forget();
	message = ui.addNotification(title, E('p', { 'role': 'alert' }, [ sentence ]), tone);
}

function forget() {
	if (message && message.parentNode)
		message.parentNode.removeChild(message);
	message = null;
}

return baseclass.extend({ show, clear, summary, tell, forget });
