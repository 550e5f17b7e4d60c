'use strict';
'require baseclass';
'require rpc';
'require uci';
'require sparelink.ucitext as ucitext';

const callCheck = rpc.declare({
	object: 'luci.sparelink',
	method: 'check',
	params: [ 'text' ]
});

/** Notes what a form writes, in place of uci; everything else is uci's. */
function recorder(draft) {
	const note = (config, sid, option, value) => {
		if (config !== ucitext.CONFIG || sid === null || sid === undefined)
			return;
		draft[sid] = draft[sid] || {};
		draft[sid][option] = value === undefined || value === '' ? null : value;
	};
	return Object.create(uci, {
		set: { value: note },
		unset: { value: (config, sid, option) => note(config, sid, option, null) }
	});
}

/**
 * What a form would save, without saving it: it is parsed as at Save, but writes into a list.
 *
 * Parsed into uci itself, a refused value would stay there, and the form would not write the old one over it: it writes
 * only what differs from what it loaded.
 */
function rehearse(map) {
	const draft = {};
	const real = map.data;
	map.data = recorder(draft);
	return Promise.resolve().then(() => map.parse()).finally(() => { map.data = real; }).then(() => draft);
}

/** Why there is no answer, in one sentence. */
function unable(answer) {
	const said = answer && typeof answer === 'object' && typeof answer.error === 'string' ? answer.error : null;
	if (said !== null)
		return said;
	const why = answer instanceof Error ? answer.message : typeof answer === 'number' ? 'ubus: ' + rpc.getStatusText(answer) : '';
	return _('This box does not offer the check, or did not answer it.') + (why ? ' (' + why + ')' : '');
}

function isAnswer(answer) {
	return answer !== null && typeof answer === 'object' && typeof answer.ok === 'boolean' && (answer.ok || Array.isArray(answer.mistakes));
}

/**
 * Asks the program what is wrong with what would be saved. Each mistake comes with its place in the form; rejected with an
 * Error if nobody could say.
 */
function ask(draft) {
	const { text, places } = ucitext.build(draft);
	const fail = (answer) => Promise.reject(new Error(unable(answer)));
	return callCheck(text).then((answer) => {
		if (!isAnswer(answer))
			return fail(answer);
		const mistakes = (answer.ok ? [] : answer.mistakes).map((mistake) => ({
			line: mistake.line,
			text: String(mistake.text),
			hint: mistake.hint ? String(mistake.hint) : null,
			place: places[mistake.line - 1] || null
		}));
		return { ok: answer.ok, mistakes, more: answer.more || 0 };
	}, fail);
}

return baseclass.extend({ rehearse, ask });
