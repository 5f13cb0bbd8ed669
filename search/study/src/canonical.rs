use crate::StudyError;
use serde::Serialize;
use serde_json::Value;

/// The one JSON text of a value: keys sorted, no spaces. Equal values have equal texts.
pub fn canonical_json(value: &(impl Serialize + ?Sized)) -> Result<String, StudyError> {
    let value = serde_json::to_value(value)
        .map_err(|e| StudyError::ToJson { what: "a value".into(), message: e.to_string() })?;
    let mut text = String::new();
    print(&value, &mut text);
    Ok(text)
}

// By hand: whether serde_json's own maps are sorted depends on a feature that any crate of the build can switch.
fn print(value: &Value, text: &mut String) {
    match value {
        Value::Array(items) => {
            let open = |index| if index == 0 { '[' } else { ',' };
            for (index, item) in items.iter().enumerate() {
                text.push(open(index));
                print(item, text);
            }
            text.push_str(if items.is_empty() { "[]" } else { "]" });
        }
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_unstable_by_key(|(key, _)| *key);
            text.push('{');
            for (index, (key, member)) in members.into_iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                text.push_str(&Value::from(key.as_str()).to_string());
                text.push(':');
                print(member, text);
            }
            text.push('}');
        }
        leaf => text.push_str(&leaf.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn equal_values_have_equal_texts() -> Result<(), StudyError> {
        let text = canonical_json(&json!({"b": [1, [], {}], "a": {"z": null, "y": "q\"ü\n"}, "c": 0.1}))?;
        assert_eq!(text, r#"{"a":{"y":"q\"ü\n","z":null},"b":[1,[],{}],"c":0.1}"#);
        let again: Value = serde_json::from_str(&text).unwrap_or_default();
        assert_eq!(canonical_json(&again)?, text);
        Ok(())
    }
}
