//! `a.b=c` from the command line, laid over a table of settings.

use toml::{Table, Value};

/// Sets one value of a table; the error says what stands in the way.
pub(crate) fn apply(table: &mut Table, text: &str) -> Result<(), String> {
    let (key, value) = text.split_once('=').ok_or("expected key=value")?;
    let path = key_path(key.trim())?;
    let value = parse_value(value.trim());
    let Some((last, parents)) = path.split_last() else { return Err("the key is empty".into()) };
    let mut place = Place::Table(table);
    for (depth, name) in parents.iter().enumerate() {
        let below = place.enter(name).map_err(|reason| format!("{reason} in `{}`", path[..=depth].join(".")))?;
        place = match below {
            Value::Table(table) => Place::Table(table),
            Value::Array(items) => Place::Array(items),
            other => {
                return Err(format!("`{}` is {} {other}, not a table", path[..=depth].join("."), article(other)));
            }
        };
    }
    *place.enter(last).map_err(|reason| format!("{reason} in `{}`", path.join(".")))? = value;
    Ok(())
}

enum Place<'a> {
    Table(&'a mut Table),
    Array(&'a mut Vec<Value>),
}

impl<'a> Place<'a> {
    /// The value of this name, which is a new table where there was none.
    fn enter(self, name: &str) -> Result<&'a mut Value, String> {
        match self {
            Self::Table(table) => Ok(table.entry(name).or_insert_with(|| Value::Table(Table::new()))),
            Self::Array(items) => {
                let count = items.len();
                let index: usize = name.parse().map_err(|_| format!("`{name}` is no index"))?;
                items.get_mut(index).ok_or_else(|| format!("there is no item {index} of {count}"))
            }
        }
    }
}

/// The names of a dotted key, which may be quoted as TOML allows.
fn key_path(key: &str) -> Result<Vec<String>, String> {
    let mut value = match toml::from_str::<Table>(&format!("{key} = 0")) {
        Ok(table) if table.len() == 1 => Value::Table(table),
        _ => return Err(format!("{key:?} is not a dotted key")),
    };
    let mut path = Vec::new();
    while let Value::Table(table) = value {
        let Some((name, below)) = table.into_iter().next() else { break };
        path.push(name);
        value = below;
    }
    Ok(path)
}

/// A value as TOML has it, else the text itself.
fn parse_value(text: &str) -> Value {
    match toml::from_str::<Table>(&format!("value = {text}")) {
        Ok(mut table) if table.len() == 1 => table.remove("value").unwrap_or_else(|| text.into()),
        _ => text.into(),
    }
}

fn article(value: &Value) -> &'static str {
    match value {
        Value::Integer(_) => "the integer",
        Value::Float(_) => "the number",
        Value::Boolean(_) => "the truth value",
        Value::String(_) => "the string",
        _ => "the value",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(text: &str, overrides: &[&str]) -> Result<String, String> {
        let mut table: Table = toml::from_str(text).map_err(|e| e.to_string())?;
        for text in overrides {
            apply(&mut table, text)?;
        }
        Ok(Value::Table(table).to_string())
    }

    #[test]
    fn values_are_toml_or_else_text() {
        for (value, expected) in [
            ("3", Value::Integer(3)),
            ("0.5", Value::Float(0.5)),
            ("true", Value::Boolean(true)),
            ("\"3\"", "3".into()),
            ("[1, 2]", Value::Array(vec![1.into(), 2.into()])),
            ("runs/first.jsonl", "runs/first.jsonl".into()),
            ("conv1d(k=3)+attn1d(heads=8)", "conv1d(k=3)+attn1d(heads=8)".into()),
            ("", "".into()),
            ("1\nother = 2", "1\nother = 2".into()),
        ] {
            assert_eq!(parse_value(value), expected, "{value}");
        }
    }

    #[test]
    fn keys_lead_through_tables_and_arrays() {
        let text = "a = 1\n[t]\nb = 2\n[[list]]\nc = 3\n";
        let expected =
            Ok(r#"{ a = 9, list = [{ c = 8 }], new = { "x.y" = { z = 1 } }, t = { b = 7 } }"#.to_owned());
        assert_eq!(after(text, &["a=9", "t.b = 7", "list.0.c=8", "new.\"x.y\".z=1"]), expected);
    }

    #[test]
    fn what_stands_in_the_way_is_told() {
        for (text, expected) in [
            ("a", "expected key=value"),
            ("=3", "\"\" is not a dotted key"),
            ("a.b.c=3", "`a` is the integer 1, not a table"),
            ("list.2=3", "there is no item 2 of 1 in `list.2`"),
            ("list.x=3", "`x` is no index in `list.x`"),
            ("x = 1\ny=2", "accepted"),
        ] {
            let found = after("a = 1\nlist = [1]", &[text]).err().unwrap_or("accepted".into());
            assert_eq!(found, expected, "{text}");
        }
    }
}
