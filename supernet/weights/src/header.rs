use crate::DType;
use serde::de::{DeserializeOwned, Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Range;

/// No header of a real checkpoint comes near it; the reference implementation has the same limit.
pub(crate) const MAX_HEADER_BYTES: u64 = 100_000_000;
/// The one name that is no tensor.
pub(crate) const METADATA: &str = "__metadata__";
const MAX_RANK: usize = 16;

/// What is known of a tensor before its numbers are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorInfo {
    /// The kind of its numbers.
    pub dtype: DType,
    /// Its axes; empty for a single number.
    pub shape: Vec<usize>,
}

/// A checked header: every range lies in the data, and together they cover it without overlap or hole.
pub(crate) struct Header {
    pub tensors: BTreeMap<String, (TensorInfo, Range<usize>)>,
    pub metadata: BTreeMap<String, String>,
}

/// What a header gets wrong: about one tensor, or as a whole.
pub(crate) struct HeaderError {
    pub tensor: Option<String>,
    pub reason: String,
}

impl Header {
    /// Checks the JSON of a header against the `data_bytes` bytes that follow it.
    pub fn parse(json: &[u8], data_bytes: usize) -> Result<Self, HeaderError> {
        let whole = |reason: String| HeaderError { tensor: None, reason };
        if json.first() != Some(&b'{') {
            return Err(whole("its header is not a JSON object".into()));
        }
        let raw: RawHeader = serde_json::from_slice(json).map_err(|e| whole(format!("its header: {e}")))?;
        let mut tensors = BTreeMap::new();
        for (name, entry) in raw.tensors {
            let checked = entry.check(data_bytes);
            let checked = checked.map_err(|reason| HeaderError { tensor: Some(name.clone()), reason })?;
            tensors.insert(name, checked);
        }
        check_cover(&tensors, data_bytes)?;
        Ok(Self { tensors, metadata: raw.metadata })
    }
}

fn check_cover(
    tensors: &BTreeMap<String, (TensorInfo, Range<usize>)>,
    data_bytes: usize,
) -> Result<(), HeaderError> {
    let mut ranges: Vec<_> = tensors.iter().map(|(name, (_, range))| (range.start, range.end, name)).collect();
    ranges.sort_unstable();
    let mut covered = 0;
    for (start, end, name) in ranges {
        if start != covered {
            let fault = if start < covered { "overlaps its neighbour" } else { "leaves a hole" };
            let reason = format!("starts at byte {start} where {covered} was expected: it {fault}");
            return Err(HeaderError { tensor: Some(name.clone()), reason });
        }
        covered = end;
    }
    if covered != data_bytes {
        let reason = format!("its tensors end at byte {covered} of the data, which has {data_bytes}");
        return Err(HeaderError { tensor: None, reason });
    }
    Ok(())
}

/// A tensor's entry as it is written.
#[derive(Deserialize)]
struct Entry {
    dtype: String,
    shape: Shape,
    data_offsets: [usize; 2],
}

impl Entry {
    fn check(self, data_bytes: usize) -> Result<(TensorInfo, Range<usize>), String> {
        let Self { dtype, shape: Shape(shape), data_offsets: [begin, end] } = self;
        let dtype = DType::from_name(&dtype).ok_or_else(|| format!("its dtype {dtype:?} is not known"))?;
        if begin > end || end > data_bytes {
            return Err(format!("its bytes {begin}..{end} are not in the data, which has {data_bytes}"));
        }
        match dtype.tensor_bytes(&shape) {
            Some(bytes) if bytes == end - begin => Ok((TensorInfo { dtype, shape }, begin..end)),
            Some(bytes) => Err(format!("{dtype} of {shape:?} takes {bytes} bytes, found {}", end - begin)),
            None => Err(format!("{dtype} of {shape:?} takes more bytes than there are addresses")),
        }
    }
}

/// Axes, refused while they are parsed if there are too many to be meant.
struct Shape(Vec<usize>);

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Axes;
        impl<'de> Visitor<'de> for Axes {
            type Value = Shape;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "at most {MAX_RANK} axes")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut axes: A) -> Result<Shape, A::Error> {
                let mut shape = Vec::new();
                while let Some(axis) = axes.next_element()? {
                    if shape.len() == MAX_RANK {
                        return Err(A::Error::invalid_length(MAX_RANK + 1, &self));
                    }
                    shape.push(axis);
                }
                Ok(Shape(shape))
            }
        }
        deserializer.deserialize_seq(Axes)
    }
}

struct RawHeader {
    tensors: BTreeMap<String, Entry>,
    metadata: BTreeMap<String, String>,
}

impl<'de> Deserialize<'de> for RawHeader {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = RawHeader;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of tensors")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawHeader, A::Error> {
                let mut tensors = BTreeMap::new();
                let mut metadata: Option<UniqueMap<String>> = None;
                while let Some(name) = map.next_key::<String>()? {
                    let twice = if name == METADATA {
                        metadata.replace(map.next_value()?).is_some()
                    } else {
                        tensors.insert(name.clone(), map.next_value()?).is_some()
                    };
                    if twice {
                        return Err(A::Error::custom(format!("{name:?} stands there twice")));
                    }
                }
                Ok(RawHeader { tensors, metadata: metadata.unwrap_or_default().0 })
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

/// A JSON object in which no key stands twice.
pub(crate) struct UniqueMap<V>(pub BTreeMap<String, V>);

impl<V> Default for UniqueMap<V> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<'de, V: DeserializeOwned> Deserialize<'de> for UniqueMap<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Keys<V>(PhantomData<V>);
        impl<'de, V: DeserializeOwned> Visitor<'de> for Keys<V> {
            type Value = UniqueMap<V>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<UniqueMap<V>, A::Error> {
                let mut found = BTreeMap::new();
                while let Some(key) = map.next_key::<String>()? {
                    if found.insert(key.clone(), map.next_value()?).is_some() {
                        return Err(A::Error::custom(format!("{key:?} stands there twice")));
                    }
                }
                Ok(UniqueMap(found))
            }
        }
        deserializer.deserialize_map(Keys(PhantomData))
    }
}
