//! Settings under old names: their values move to the new ones, with a warning.

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use crate::SettingsError;
use crate::places::Places;

type Entry<'i> = (Spanned<DeString<'i>>, Spanned<DeValue<'i>>);

/// Moves what stands under old names. A value under both its old and its new name is an error.
pub(crate) fn rename(
    root: &mut DeValue,
    renamed: &[(&str, &str)],
    places: &Places,
    warnings: &mut Vec<String>,
) -> Result<(), SettingsError> {
    for &(old, new) in renamed {
        let DeValue::Table(table) = &mut *root else { return Ok(()) };
        let (from, to): (Vec<&str>, Vec<&str>) = (old.split('.').collect(), new.split('.').collect());
        let Some((key, value)) = take(table, &from) else { continue };
        let offset = key.span().start;
        warnings.push(warning(places, offset, old, new));
        put(table, &to, (key, value)).map_err(|()| {
            places.error(offset, format!("`{old}` is the old name of `{new}`, which is set too; leave `{old}` out"))
        })?;
    }
    Ok(())
}

/// A key's path with its old beginnings replaced, and whether one was.
pub(crate) fn rename_path(path: &[String], renamed: &[(&str, &str)]) -> Option<Vec<String>> {
    let mut path = path.to_vec();
    let mut changed = false;
    for (old, new) in renamed {
        let old: Vec<&str> = old.split('.').collect();
        if path.len() >= old.len() && path.iter().zip(&old).all(|(a, b)| a == b) {
            path = new.split('.').map(str::to_owned).chain(path.drain(old.len()..)).collect();
            changed = true;
        }
    }
    changed.then_some(path)
}

pub(crate) fn warning(places: &Places, offset: usize, old: &str, new: &str) -> String {
    format!("{}: `{old}` is now `{new}`; the old name works for one more version", places.describe(offset))
}

/// Takes an entry out, and the tables that are empty without it.
fn take<'i>(table: &mut DeTable<'i>, path: &[&str]) -> Option<Entry<'i>> {
    let (first, rest) = path.split_first()?;
    if rest.is_empty() {
        return table.remove_entry(*first);
    }
    let DeValue::Table(below) = table.get_mut(*first)?.get_mut() else { return None };
    let found = take(below, rest)?;
    if below.is_empty() {
        table.remove(*first);
    }
    Some(found)
}

/// Puts an entry under another name, between what is there; an error where that name has a value.
fn put<'i>(table: &mut DeTable<'i>, path: &[&str], (key, value): Entry<'i>) -> Result<(), ()> {
    let Some((first, rest)) = path.split_first() else { return Err(()) };
    let span = key.span();
    let name = || Spanned::new(span.clone(), DeString::Owned((*first).to_owned()));
    if !rest.is_empty() {
        let below = table
            .entry(name())
            .or_insert_with(|| Spanned::new(span.clone(), DeValue::Table(DeTable::new())))
            .get_mut();
        let DeValue::Table(below) = below else { return Err(()) };
        return put(below, rest, (key, value));
    }
    let Some(known) = table.get_mut(*first) else {
        table.insert(name(), value);
        return Ok(());
    };
    match (known.get_mut(), value.into_inner()) {
        (DeValue::Table(known), DeValue::Table(more)) => more.into_iter().try_for_each(|(key, value)| {
            let name = key.get_ref().to_string();
            put(known, &[name.as_str()], (key, value))
        }),
        _ => Err(()),
    }
}
