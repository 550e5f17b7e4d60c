//! What differs between two documents, so that a reader of the first needs no more than that.

use serde_json::{Map, Value};

/// The places where `to` differs from `from`, as JSON pointers (RFC 6901), each with the value that is there
/// now. Objects with the same keys and lists of the same length are compared member by member; others are replaced.
pub(super) fn changes(from: &Value, to: &Value) -> Map<String, Value> {
    let mut all = Map::new();
    compare(&mut String::new(), from, to, &mut all);
    all
}

fn compare(place: &mut String, from: &Value, to: &Value, all: &mut Map<String, Value>) {
    match (from, to) {
        (Value::Object(from), Value::Object(to)) if from.keys().eq(to.keys()) => {
            for ((key, from), to) in from.iter().zip(to.values()) {
                member(place, key, (from, to), all);
            }
        }
        (Value::Array(from), Value::Array(to)) if from.len() == to.len() => {
            for (index, pair) in from.iter().zip(to).enumerate() {
                member(place, &index.to_string(), pair, all);
            }
        }
        (from, to) if from == to => {}
        (_, to) => {
            all.insert(place.clone(), to.clone());
        }
    }
}

fn member(
    place: &mut String,
    key: &str,
    (from, to): (&Value, &Value),
    all: &mut Map<String, Value>,
) {
    let length = place.len();
    place.push('/');
    place.push_str(&key.replace('~', "~0").replace('/', "~1"));
    compare(place, from, to, all);
    place.truncate(length);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// What a reader does: the document with the changes in it.
    fn changed(from: &Value, changes: &Map<String, Value>) -> Value {
        let mut document = from.clone();
        for (pointer, value) in changes {
            *document.pointer_mut(pointer).unwrap() = value.clone();
        }
        document
    }

    #[test]
    fn a_reader_of_the_changes_has_the_document() {
        let cases = [
            (json!({"a": 1, "b": [1, 2]}), json!({"a": 1, "b": [1, 3]}), json!({"/b/1": 3})),
            (
                json!({"a": {"b/c~d": 1}}),
                json!({"a": {"b/c~d": null}}),
                json!({"/a/b~1c~0d": null}),
            ),
            (json!({"a": null}), json!({"a": {"b": 1}}), json!({"/a": {"b": 1}})),
            (json!({"a": {"b": 1}}), json!({"a": {"c": 1}}), json!({"/a": {"c": 1}})),
            (json!({"a": [1]}), json!({"a": [1, 2]}), json!({"/a": [1, 2]})),
            (json!({"a": [[1], {}]}), json!({"a": [[2], {}]}), json!({"/a/0/0": 2})),
            (json!({"a": 1}), json!({"a": 1}), json!({})),
            (json!([1]), json!({"a": 1}), json!({"": {"a": 1}})),
        ];
        for (from, to, wanted) in cases {
            let found = changes(&from, &to);
            assert_eq!(Value::Object(found.clone()), wanted, "{from} to {to}");
            assert_eq!(changed(&from, &found), to);
        }
    }
}
