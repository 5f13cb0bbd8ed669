use std::{collections::BTreeMap, fmt, str::FromStr};

use tnas_graph::{GraphBuilder, ValueId};

use crate::{Insertion, OPERATORS, OperatorKind, SpaceError, error::nearest};

/// What stands in a slot: operators applied in order, each as x + f(x). Empty is `none`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Choice(Vec<OperatorSpec>);

/// One operator with its arguments, defaults filled.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OperatorSpec {
    kind: &'static str,
    args: BTreeMap<&'static str, Arg>,
}

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
            let occurrence = occurrences.entry(spec.kind).or_insert(0);
            let path = format!("{prefix}.{}.{occurrence}", spec.kind);
            *occurrence += 1;
            (spec.kind().build)(g, &path, spec, at, x)
        })
    }
}

impl OperatorSpec {
    /// The operator's name.
    pub fn name(&self) -> &'static str {
        self.kind
    }

    /// A numeric argument; 0 for one that the operator does not have.
    pub fn number(&self, name: &str) -> usize {
        match self.args.get(name) {
            Some(Arg::Number(number)) => *number,
            _ => 0,
        }
    }

    /// Whether a word argument has this value.
    pub fn is(&self, name: &str, word: &str) -> bool {
        matches!(self.args.get(name), Some(Arg::Word(found)) if found == word)
    }

    /// Product of its counts: orders operators of one kind by size.
    pub fn size(&self) -> usize {
        let count = |arg: &Arg| if let Arg::Number(number) = arg { number + 1 } else { 1 };
        self.args.values().map(count).product()
    }

    fn kind(&self) -> &'static OperatorKind {
        let found = OPERATORS.iter().find(|kind| kind.name == self.kind);
        found.unwrap_or(&OPERATORS[0])
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
            let near = nearest(name, known.iter().copied()).unwrap_or_default();
            fail(format!("no operator {name:?}, did you mean {near}? There are none, {}", known.join(", ")))
        })?;
        let mut filled: BTreeMap<&'static str, Arg> =
            kind.params.iter().map(|param| (param.name, param.default_arg())).collect();
        let mut given = std::collections::BTreeSet::new();
        for pair in args.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').ok_or_else(|| fail(format!("{pair:?} is not name=value")))?;
            let (key, value) = (key.trim(), value.trim());
            let param = kind.params.iter().find(|param| param.name == key).ok_or_else(|| {
                let known: Vec<&str> = kind.params.iter().map(|param| param.name).collect();
                fail(format!("{name} has no {key:?}, it has {}", known.join(", ")))
            })?;
            let arg = param.read(value).map_err(|expected| fail(format!("{key} is {expected}, not {value:?}")))?;
            if !given.insert(param.name) {
                return Err(fail(format!("{key} is given twice")));
            }
            filled.insert(param.name, arg);
        }
        Ok(Self { kind: kind.name, args: filled })
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
        write!(f, "{}({})", self.kind, args.join(","))
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
    fn mistakes_name_the_way_out() {
        let message = |text: &str| text.parse::<Choice>().unwrap_err().to_string();
        assert!(message("conv1x(k=3)").contains("did you mean conv1d"));
        assert!(message("conv1d(kernel=3)").contains("it has k"));
        assert!(message("conv1d(k=4)").contains("odd"));
        assert!(message("conv1d(k=3,k=5)").contains("twice"));
        assert!(message("conv1d(k=3").contains("parenthesis"));
        assert!(message("attn1d(heads=many)").contains("heads"));
    }
}
