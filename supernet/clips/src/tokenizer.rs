use std::collections::{BTreeMap, BTreeSet};

/// Words to numbers and back: the `WordLevel` model of Hugging Face tokenizers, with its `Lowercase` normaliser and
/// `Whitespace` pre-tokenizer (runs of word characters, and runs of other characters).
///
/// Ids: `<pad>` 0, `<unk>` 1, the words in alphabetical order, `<bos>`, `<eos>`. As in CLIP's vocabulary `<eos>` is the
/// largest: text encoders pool at the first `<eos>`, and some find it as the position of the largest id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tokenizer {
    pub(crate) ids: BTreeMap<String, i64>,
    pub(crate) words: Vec<String>,
    pub(crate) special: SpecialIds,
    pub(crate) lowercase: bool,
    pub(crate) padding: Padding,
    pub(crate) max_length: usize,
}

/// What fills a caption up to its length, after the first `<eos>`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Padding {
    /// `<pad>`.
    #[default]
    Pad,
    /// More `<eos>`, as the text encoder of Stable Diffusion 1 was trained.
    Eos,
}

/// Ids of the words that are no words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SpecialIds {
    pub(crate) pad: i64,
    pub(crate) unk: i64,
    pub(crate) bos: i64,
    pub(crate) eos: i64,
}

pub(crate) const PAD: &str = "<pad>";
pub(crate) const UNK: &str = "<unk>";
pub(crate) const BOS: &str = "<bos>";
pub(crate) const EOS: &str = "<eos>";

impl Tokenizer {
    /// Knows every word of these captions; long enough for the longest.
    pub fn from_captions<S: AsRef<str>>(captions: impl IntoIterator<Item = S>) -> Self {
        let (mut vocabulary, mut longest) = (BTreeSet::new(), 0);
        for caption in captions {
            let words = split(caption.as_ref(), true);
            longest = longest.max(words.len());
            vocabulary.extend(words);
        }
        let specials = |names: [&str; 2]| names.map(str::to_owned).into_iter();
        let words: Vec<String> = specials([PAD, UNK]).chain(vocabulary).chain(specials([BOS, EOS])).collect();
        let last = words.len() as i64 - 1;
        Self {
            ids: words.iter().cloned().zip(0..).collect(),
            words,
            special: SpecialIds { pad: 0, unk: 1, bos: last - 1, eos: last },
            lowercase: true,
            padding: Padding::Pad,
            max_length: longest + 2,
        }
    }

    /// The same words, padded otherwise.
    pub fn with_padding(self, padding: Padding) -> Self {
        Self { padding, ..self }
    }

    /// The same words, with another `model_max_length` in its configuration.
    pub fn with_max_length(self, max_length: usize) -> Self {
        Self { max_length, ..self }
    }

    /// Number of ids.
    pub fn vocabulary_size(&self) -> usize {
        self.words.len()
    }

    /// The words in the order of their ids, special ones included.
    pub fn vocabulary(&self) -> &[String] {
        &self.words
    }

    /// The length that its text encoder is fed.
    pub fn max_length(&self) -> usize {
        self.max_length
    }

    /// Id of `<bos>`.
    pub fn bos_id(&self) -> i64 {
        self.special.bos
    }

    /// Id of `<eos>`, where a text encoder pools.
    pub fn eos_id(&self) -> i64 {
        self.special.eos
    }

    /// Id of what fills captions up.
    pub fn padding_id(&self) -> i64 {
        match self.padding {
            Padding::Pad => self.special.pad,
            Padding::Eos => self.special.eos,
        }
    }

    /// `<bos>` words `<eos>` padding: exactly `max_length` ids. Words that do not fit are dropped from the end, `<eos>`
    /// stays; no words are the unconditional caption.
    pub fn encode(&self, text: &str, max_length: usize) -> Vec<i64> {
        let words = split(text, self.lowercase);
        let mut ids = vec![self.special.bos];
        ids.extend(words.iter().take(max_length.saturating_sub(2)).map(|word| self.id(word)));
        ids.push(self.special.eos);
        ids.resize(max_length, self.padding_id());
        ids
    }

    /// The words of `encode`'s ids up to the first `<eos>`. Invariant: a caption whose words are known comes back, in lower
    /// case, if its spaces are as in print.
    pub fn decode(&self, ids: &[i64]) -> String {
        let mut text = String::new();
        for &id in ids.iter().take_while(|id| **id != self.special.eos) {
            if id == self.special.bos || id == self.special.pad {
                continue;
            }
            let word = usize::try_from(id).ok().and_then(|id| self.words.get(id)).map_or(UNK, String::as_str);
            let follows_closely = word.chars().all(|c| matches!(c, ',' | '.' | ';' | ':' | '!' | '?'));
            if !text.is_empty() && !follows_closely {
                text.push(' ');
            }
            text.push_str(word);
        }
        text
    }

    /// The words of a text that would become `<unk>`, each once, in order.
    pub fn unknown_words(&self, text: &str) -> Vec<String> {
        let mut unknown: Vec<String> = Vec::new();
        for word in split(text, self.lowercase) {
            if self.id(&word) == self.special.unk && !unknown.contains(&word) {
                unknown.push(word);
            }
        }
        unknown
    }

    fn id(&self, word: &str) -> i64 {
        self.ids.get(word).copied().unwrap_or(self.special.unk)
    }
}

/// Runs of word characters and runs of what is neither those nor space: `\w+|[^\w\s]+`.
fn split(text: &str, lowercase: bool) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut kind_before = None;
    let lower = |c: char| c.to_lowercase();
    let characters: Box<dyn Iterator<Item = char>> =
        if lowercase { Box::new(text.chars().flat_map(lower)) } else { Box::new(text.chars()) };
    for c in characters {
        let kind = (!c.is_whitespace()).then(|| c.is_alphanumeric() || c == '_');
        match (kind, words.last_mut()) {
            (None, _) => {}
            (Some(_), Some(word)) if kind == kind_before => word.push(c),
            (Some(_), _) => words.push(c.into()),
        }
        kind_before = kind;
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ShapeClips, ShapeSettings};

    fn tokenizer() -> Tokenizer {
        Tokenizer::from_captions(["A red square, moves left", "a blue2 circle!"])
    }

    #[test]
    fn ids_are_sorted_words_between_the_special_ones() {
        let expected = [
            "<pad>", "<unk>", "!", ",", "a", "blue2", "circle", "left", "moves", "red", "square", "<bos>", "<eos>",
        ];
        assert_eq!(tokenizer().vocabulary(), expected);
        let reordered = Tokenizer::from_captions(["a blue2 circle!", "A red square, moves left"]);
        assert_eq!(tokenizer(), reordered);
        assert_eq!(tokenizer().max_length(), 8);
    }

    #[test]
    fn captions_begin_end_and_are_filled_up_or_cut() {
        let t = tokenizer();
        assert_eq!(t.encode("a RED circle", 7), [11, 4, 9, 6, 12, 0, 0]);
        assert_eq!(t.encode("a red circle", 4), [11, 4, 9, 12]);
        assert_eq!(t.encode("", 3), [11, 12, 0]);
        assert_eq!(t.encode("a", 1), [11]);
        assert!(t.encode("a", 0).is_empty());
        let eos = t.with_padding(Padding::Eos);
        assert_eq!(eos.encode("a red circle", 7), [11, 4, 9, 6, 12, 12, 12]);
        // CLIP's pooling by the largest id and by the first <eos> agree.
        let ids = eos.encode("a red circle", 7);
        assert_eq!(ids.iter().position(|id| *id == eos.eos_id()), Some(4));
        assert!(ids.iter().all(|id| *id <= eos.eos_id()));
    }

    #[test]
    fn unknown_words_are_named() {
        let t = tokenizer();
        assert_eq!(t.encode("a green dog, green", 7), [11, 4, 1, 1, 3, 1, 12]);
        assert_eq!(t.unknown_words("a green dog, green"), ["green", "dog"]);
        assert_eq!(t.decode(&t.encode("a green dog", 9)), "a <unk> <unk>");
        assert_eq!(t.decode(&[4, 99, -1]), "a <unk> <unk>");
    }

    #[test]
    fn splitting_is_that_of_the_whitespace_pre_tokenizer() {
        assert_eq!(
            split("Don't  stop--now, a_b (x2)!", true),
            ["don", "'", "t", "stop", "--", "now", ",", "a_b", "(", "x2", ")!"]
        );
        assert_eq!(split("\t Ünï\n", true), ["ünï"]);
        assert_eq!(split("AB", false), ["AB"]);
        assert!(split(" ", true).is_empty());
    }

    #[test]
    fn every_caption_of_the_shapes_comes_back_without_unknown_words() {
        let shapes = ShapeClips::new(ShapeSettings::default()).expect("settings");
        let t = Tokenizer::from_captions(shapes.captions());
        for caption in shapes.captions() {
            assert!(t.unknown_words(&caption).is_empty());
            assert_eq!(t.decode(&t.encode(&caption, t.max_length())), caption);
        }
        assert_eq!(t.vocabulary_size(), shapes.vocabulary().len() + 4);
        let again = Tokenizer::from_captions(shapes.vocabulary());
        assert_eq!(again.vocabulary(), t.vocabulary());
    }
}
