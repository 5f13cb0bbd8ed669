//! `a.b=c` from the command line, applied to a table of settings.

use toml::de::{DeString, DeTable, DeValue};
use toml::{Spanned, Table, Value};

use crate::places::Places;
use crate::renamed::{rename_path, warning};

/// One override.
pub(crate) struct Override {
    /// Offset of its text among the sources.
    pub(crate) offset: usize,
    key: Vec<String>,
    /// TOML in which `v` is its value, at the offset of the value among the sources.
    document: String,
}

impl Override {
    /// Reads an override that stands at this offset among the sources; the error says what is wrong with it.
    pub(crate) fn read(text: &str, offset: usize) -> Result<Self, String> {
        let (key, value) = text.split_once('=').ok_or("expected key=value")?;
        let value_offset = offset + key.len() + 1;
        let document = format!("{}v={}", " ".repeat(value_offset.saturating_sub(2)), toml_value(value.trim()));
        Ok(Self { offset, key: key_path(key.trim())?, document })
    }

    /// Its key under the names of this version.
    pub(crate) fn renamed(
        &self,
        renamed: &[(&str, &str)],
        places: &Places,
        warnings: &mut Vec<String>,
    ) -> Vec<String> {
        match rename_path(&self.key, renamed) {
            None => self.key.clone(),
            Some(key) => {
                warnings.push(warning(places, self.offset, &self.key.join("."), &key.join(".")));
                key
            }
        }
    }

    /// Its value.
    pub(crate) fn value(&self) -> Result<Spanned<DeValue<'_>>, String> {
        let table = DeTable::parse(&self.document).map_err(|error| error.message().to_owned())?;
        table.into_inner().remove("v").ok_or_else(|| "expected key=value".into())
    }
}

/// Sets one value of a table; the error says what stands in the way. Tables that are made for it stand at `offset`.
pub(crate) fn apply<'i>(
    root: &mut DeValue<'i>,
    path: &[String],
    offset: usize,
    value: Spanned<DeValue<'i>>,
) -> Result<(), String> {
    let Some((last, parents)) = path.split_last() else { return Err("the key is empty".into()) };
    let mut place = root;
    for depth in 0..parents.len() {
        place = enter(place, &path[..=depth], offset)?;
    }
    if let DeValue::Table(table) = place {
        // A map keeps the key that it has, and with it the place in the file.
        table.remove(last.as_str());
    }
    let made = offset..offset;
    match place {
        DeValue::Table(table) => {
            table.insert(Spanned::new(made, DeString::Owned(last.clone())), value);
        }
        DeValue::Array(items) => {
            let index = index(last, items.len()).map_err(|reason| format!("{reason} in `{}`", path.join(".")))?;
            items.as_mut()[index] = value;
        }
        other => return Err(not_a_table(parents, other)),
    }
    Ok(())
}

/// The value at the end of a path, in the value one above; a new table where there was none.
fn enter<'a, 'i>(
    place: &'a mut DeValue<'i>,
    path: &[String],
    offset: usize,
) -> Result<&'a mut DeValue<'i>, String> {
    let Some((name, parents)) = path.split_last() else { return Ok(place) };
    let made = offset..offset;
    match place {
        DeValue::Table(table) => {
            let key = Spanned::new(made.clone(), DeString::Owned(name.clone()));
            let new = || Spanned::new(made, DeValue::Table(DeTable::new()));
            Ok(table.entry(key).or_insert_with(new).get_mut())
        }
        DeValue::Array(items) => {
            let index = index(name, items.len()).map_err(|reason| format!("{reason} in `{}`", path.join(".")))?;
            Ok(items.as_mut()[index].get_mut())
        }
        other => Err(not_a_table(parents, other)),
    }
}

fn index(name: &str, count: usize) -> Result<usize, String> {
    let index: usize = name.parse().map_err(|_| format!("`{name}` is no index"))?;
    if index < count { Ok(index) } else { Err(format!("there is no item {index} of {count}")) }
}

/// The names of a dotted key, which may be quoted as TOML allows.
pub(crate) fn key_path(key: &str) -> Result<Vec<String>, String> {
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

/// A value as TOML has it, else the text itself as a TOML string.
fn toml_value(text: &str) -> String {
    match toml::from_str::<Table>(&format!("v={text}")) {
        Ok(table) if table.len() == 1 && table.contains_key("v") => text.to_owned(),
        _ => Value::from(text).to_string(),
    }
}

fn not_a_table(path: &[String], value: &DeValue) -> String {
    let value = match value {
        DeValue::Integer(number) => format!("the integer {number}"),
        DeValue::Float(number) => format!("the number {number}"),
        DeValue::Boolean(truth) => format!("the truth value {truth}"),
        DeValue::String(text) => format!("the string {text:?}"),
        DeValue::Datetime(time) => format!("the time {time}"),
        DeValue::Array(_) | DeValue::Table(_) => "another value".into(),
    };
    format!("`{}` is {value}, not a table", path.join("."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse;
    use std::path::Path;

    fn after(text: &str, overrides: &[&str]) -> Result<String, String> {
        let overrides: Vec<String> = overrides.iter().map(|text| text.to_string()).collect();
        let table: Table = parse(text, Path::new("a.toml"), &overrides).map_err(|e| e.to_string())?;
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
            ("a \"quoted\" word", "a \"quoted\" word".into()),
            ("", "".into()),
            ("1\nother = 2", "1\nother = 2".into()),
        ] {
            let table: Table =
                parse("", Path::new("a.toml"), &[format!("key={value}")]).expect("every value is understood");
            assert_eq!(table["key"], expected, "{value}");
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
    fn an_error_says_what_stands_in_the_way() {
        for (text, expected) in [
            ("a", "expected key=value"),
            ("=3", "\"\" is not a dotted key"),
            ("a.b.c=3", "`a` is the integer 1, not a table"),
            ("list.2=3", "there is no item 2 of 1 in `list.2`"),
            ("list.x=3", "`x` is no index in `list.x`"),
            ("x = 1\ny=2", "accepted"),
        ] {
            let found = after("a = 1\nlist = [1]", &[text]).err().unwrap_or("accepted".into());
            assert_eq!(found.trim_start_matches(&format!("apply --set {text}: ")), expected, "{text}");
        }
    }
}
