use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

/// Labels that begin so ask whether the caption holds the word that follows.
const PREFIX: &str = "word:";

/// Values of such a label.
const HELD: [&str; 2] = ["no", "yes"];

/// A clip's value of a label: its own, or whether its caption has the word.
pub fn label_value<'a>(label: &str, caption: &str, labels: &'a BTreeMap<String, String>) -> Option<Cow<'a, str>> {
    match label.strip_prefix(PREFIX) {
        Some(word) => Some(HELD[usize::from(words(caption).any(|held| held == word.to_lowercase()))].into()),
        None => labels.get(label).map(|value| value.as_str().into()),
    }
}

/// Labels of the words that distinguish captions best: those that most nearly half of the clips have, the first by the alphabet
/// of those that part the clips alike. Words of known labels are left out, and those that part the clips as they do.
pub(super) fn telling_words<'a>(
    captions: impl Iterator<Item = &'a str>,
    count: usize,
    known: &[&String],
) -> Vec<String> {
    if count == 0 {
        return Vec::new();
    }
    let mut held: BTreeMap<String, BTreeSet<usize>> = BTreeMap::new();
    let mut clips = 0;
    for (clip, caption) in captions.enumerate() {
        for word in words(caption) {
            held.entry(word).or_default().insert(clip);
        }
        clips += 1;
    }
    // What splits the clips alike adds nothing.
    let kind = |of: &BTreeSet<usize>| -> BTreeSet<usize> {
        if of.contains(&0) { (0..clips).filter(|clip| !of.contains(clip)).collect() } else { of.clone() }
    };
    let known = known.iter().filter_map(|label| held.get(&label.strip_prefix(PREFIX)?.to_lowercase()));
    let mut kinds: BTreeSet<BTreeSet<usize>> = known.map(kind).collect();
    let mut found: Vec<(usize, String)> = Vec::new();
    for (word, of) in &held {
        let smaller = of.len().min(clips - of.len());
        if smaller > 0 && kinds.insert(kind(of)) {
            found.push((smaller, word.clone()));
        }
    }
    found.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    found.into_iter().take(count).map(|(_, word)| format!("{PREFIX}{word}")).collect()
}

/// A caption's words, in small letters.
fn words(caption: &str) -> impl Iterator<Item = String> {
    caption.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_lowercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_held_or_not() {
        let labels = BTreeMap::from([("action".to_string(), "run".to_string())]);
        let value = |label: &str| label_value(label, "A Cat runs, left.", &labels);
        assert_eq!(value("action").as_deref(), Some("run"));
        assert_eq!(value("direction"), None);
        let asked =
            ["word:cat", "word:Left", "word:run"].map(|label| value(label).unwrap_or_default().into_owned());
        assert_eq!(asked, ["yes", "yes", "no"]);
    }

    #[test]
    fn words_that_part_the_clips_most_evenly_are_told() {
        let captions = ["a red cat runs left", "a red dog runs left", "a dog sits up", "a red dog sits up"];
        let found = |count| telling_words(captions.into_iter(), count, &[]);
        // "left" and "runs" have the same clips, "up" and "sits" the others, as "dog" those without "cat"; "a" has all.
        assert_eq!(found(9), ["word:left", "word:cat", "word:red"]);
        assert_eq!(found(1), ["word:left"]);
        assert!(found(0).is_empty() && telling_words(["", ""].into_iter(), 3, &[]).is_empty());
        let known = ["word:Runs".to_string(), "word:bird".to_string()];
        let found = telling_words(captions.into_iter(), 9, &known.iter().collect::<Vec<_>>());
        assert_eq!(found, ["word:cat", "word:red"]);
    }
}
