use std::{
    cmp::Ordering,
    collections::BTreeMap,
    fmt,
    hash::{Hash, Hasher},
    str::FromStr,
};

use tnas_graph::{GraphBuilder, ValueId};

use crate::{
    Count, Insertion, OPERATORS, OperatorKind, Param, SpaceError, Word,
    error::{did_you_mean, nearest},
};

/// What stands in a slot: operators applied in order, each as x + f(x). Empty is `none`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Choice(Vec<OperatorSpec>);

/// One operator with its arguments, defaults filled.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OperatorSpec {
    kind: Kind,
    args: BTreeMap<&'static str, Arg>,
}

/// One of [`OPERATORS`], compared by its name.
#[derive(Clone, Copy)]
struct Kind(&'static OperatorKind);

/// An argument's value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Arg {
    /// A count.
    Number(usize),
    /// A word, e.g. `true` or `sin`.
    Word(String),
}

impl Choice {
    /// The empty choice.
    pub fn none() -> Self {
        Self::default()
    }

    /// Whether nothing is inserted.
    pub fn is_none(&self) -> bool {
        self.0.is_empty()
    }

    /// The operators in order.
    pub fn operators(&self) -> &[OperatorSpec] {
        &self.0
    }

    /// Adds the operators to a graph; `prefix` is the slot's part of weight names.
    pub fn build(&self, g: &mut GraphBuilder, prefix: &str, at: &Insertion, x: ValueId) -> ValueId {
        let mut occurrences: BTreeMap<&str, usize> = BTreeMap::new();
        self.0.iter().fold(x, |x, spec| {
            let occurrence = occurrences.entry(spec.name()).or_insert(0);
            let path = format!("{prefix}.{}.{occurrence}", spec.name());
            *occurrence += 1;
            (spec.kind.0.build)(g, &path, spec, at, x)
        })
    }
}

impl OperatorSpec {
    /// The operator's name.
    pub fn name(&self) -> &'static str {
        self.kind.0.name
    }

    /// An argument by its name; none where the operator has no such parameter.
    pub fn argument(&self, name: &str) -> Option<&Arg> {
        self.args.get(name)
    }

    /// The value of a numeric parameter.
    pub fn number(&self, param: Count) -> usize {
        match self.args.get(param.name) {
            Some(Arg::Number(number)) => *number,
            _ => param.default,
        }
    }

    /// Whether a parameter's value is this word.
    pub fn is(&self, param: Word, word: &str) -> bool {
        match self.args.get(param.name) {
            Some(Arg::Word(found)) => found == word,
            _ => param.words[0] == word,
        }
    }

    /// Product of its counts: orders operators of one kind by size.
    pub fn size(&self) -> usize {
        let count = |arg: &Arg| if let Arg::Number(number) = arg { number + 1 } else { 1 };
        self.args.values().map(count).product()
    }
}

impl PartialEq for Kind {
    fn eq(&self, other: &Self) -> bool {
        self.0.name == other.0.name
    }
}

impl Eq for Kind {}

impl PartialOrd for Kind {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Kind {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.name.cmp(other.0.name)
    }
}

impl Hash for Kind {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.name.hash(state);
    }
}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.name)
    }
}

impl FromStr for Choice {
    type Err = SpaceError;

    fn from_str(text: &str) -> Result<Self, SpaceError> {
        if text.trim() == "none" {
            return Ok(Self::none());
        }
        text.split('+').map(str::parse).collect::<Result<_, _>>().map(Self)
    }
}

impl FromStr for OperatorSpec {
    type Err = SpaceError;

    fn from_str(text: &str) -> Result<Self, SpaceError> {
        let text = text.trim();
        let fail = |message: String| SpaceError::Parse { text: text.into(), message };
        let (name, args) = match text.split_once('(') {
            None => (text, ""),
            Some((name, rest)) => {
                let args = rest.strip_suffix(')').ok_or_else(|| fail("a closing parenthesis is missing".into()))?;
                (name.trim(), args)
            }
        };
        let kind = OPERATORS.iter().find(|kind| kind.name == name).ok_or_else(|| {
            let known: Vec<&str> = OPERATORS.iter().map(|kind| kind.name).collect();
            let near = nearest(name, known.iter().copied().chain(["none"]));
            let near = near.map_or_else(String::new, |near| format!(", did you mean {near}?"));
            fail(format!("no operator {name:?}{near}; there are none, {}", known.join(", ")))
        })?;
        let mut filled: BTreeMap<&'static str, Arg> =
            kind.params.iter().map(|param| (param.name(), param.default_arg())).collect();
        let mut given = std::collections::BTreeSet::new();
        for pair in args.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').ok_or_else(|| fail(format!("{pair:?} is not name=value")))?;
            let (key, value) = (key.trim(), value.trim());
            let param = kind.params.iter().find(|param| param.name() == key).ok_or_else(|| {
                let known: Vec<&str> = kind.params.iter().map(Param::name).collect();
                let near = did_you_mean(key, known.iter().copied());
                fail(format!("{name} has no parameter {key:?}{near}; it has {}", known.join(", ")))
            })?;
            let arg = param.read(value).map_err(|expected| {
                let near = match param {
                    Param::Word(word) => did_you_mean(value, word.words.iter().copied()),
                    Param::Count(_) => String::new(),
                };
                fail(format!("{key} is {expected}, not {value:?}{near}"))
            })?;
            if !given.insert(param.name()) {
                return Err(fail(format!("{key} is given twice")));
            }
            filled.insert(param.name(), arg);
        }
        Ok(Self { kind: Kind(kind), args: filled })
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_none() {
            return f.write_str("none");
        }
        for (index, spec) in self.0.iter().enumerate() {
            write!(f, "{}{spec}", if index > 0 { "+" } else { "" })?;
        }
        Ok(())
    }
}

impl fmt::Display for OperatorSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let args: Vec<String> = self.args.iter().map(|(name, arg)| format!("{name}={arg}")).collect();
        write!(f, "{}({})", self.name(), args.join(","))
    }
}

impl fmt::Display for Arg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Arg::Number(number) => write!(f, "{number}"),
            Arg::Word(word) => f.write_str(word),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_canonical() {
        let choice: Choice = " conv1d( k = 5 ) + attn1d".parse().unwrap();
        let text = choice.to_string();
        assert_eq!(text, "conv1d(depthwise=false,expand=1,k=5)+attn1d(ff=0,heads=4,pos=sin)");
        assert_eq!(text.parse::<Choice>().unwrap(), choice);
        assert_eq!("none".parse::<Choice>().unwrap().to_string(), "none");
    }

    #[test]
    fn every_parameter_has_a_default_that_it_allows() {
        for kind in OPERATORS {
            let spec: OperatorSpec = kind.name.parse().unwrap();
            assert_eq!(spec.args.len(), kind.params.len(), "{}", kind.name);
            for param in kind.params {
                let default = param.default_arg();
                assert_eq!(param.read(&default.to_string()).unwrap(), default, "{} of {}", param.name(), kind.name);
                assert_eq!(spec.argument(param.name()), Some(&default));
            }
            assert_eq!(spec.argument("no such parameter"), None);
        }
    }

    #[test]
    fn mistakes_name_the_way_out() {
        let message = |text: &str| text.parse::<Choice>().unwrap_err().to_string();
        assert!(message("conv1x(k=3)").contains("did you mean conv1d?"));
        assert!(message("non").contains("did you mean none?"));
        assert!(message("wavelet").contains("no operator \"wavelet\"; there are none, conv1d"));
        assert!(message("").contains("no operator \"\""));
        assert!(message("conv1d(kernel=3)").contains("it has k"));
        assert!(message("attn1d(haeds=3)").contains("has no parameter \"haeds\", did you mean heads?"));
        assert!(message("attn1d(pos=rotery)").contains("not \"rotery\", did you mean rotary?"));
        assert!(message("conv1d(k=4)").contains("odd"));
        assert!(message("conv1d(k=3,k=5)").contains("twice"));
        assert!(message("conv1d(k=3").contains("parenthesis"));
        assert!(message("attn1d(heads=many)").contains("heads"));
    }
}
