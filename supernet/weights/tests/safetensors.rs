//! What is written is read back; what is not safetensors is refused with its numbers, and nothing panics.

use bytes::Bytes;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::error::Error;
use std::fs;
use tnas_weights::{DType, HostTensor, Layout, SafeTensors, SafeTensorsWriter, TensorInfo, write_safetensors};

type Result = std::result::Result<(), Box<dyn Error>>;

/// A file from its header's text and the size of its data.
fn file(header: &str, data_bytes: usize) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.resize(bytes.len() + data_bytes, 1);
    bytes
}

fn complaint(bytes: Vec<u8>) -> String {
    match SafeTensors::from_bytes("hostile.safetensors", bytes.into()) {
        Ok(_) => "accepted".into(),
        Err(e) => e.to_string(),
    }
}

fn tensor(shape: &str, begin: usize, end: usize) -> String {
    format!(r#"{{"dtype":"F32","shape":{shape},"data_offsets":[{begin},{end}]}}"#)
}

#[test]
fn what_is_written_is_read_back() -> Result {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("model.safetensors");
    let numbers: Vec<f32> = (0..24).map(|i| (i as f32).sin()).collect();
    let tensors = BTreeMap::from([
        ("conv.weight".to_owned(), HostTensor::f32(&[2, 3, 4], &numbers)),
        ("a.flag".to_owned(), HostTensor::new(DType::Bool, &[3], vec![1, 0, 1])),
        ("half \"quoted\" ü".to_owned(), HostTensor::new(DType::F16, &[2], vec![0x00, 0x3c, 0x00, 0xc0])),
        ("position_ids".to_owned(), HostTensor::i64(&[1, 3], &[0, -1, i64::MAX])),
        ("nothing".to_owned(), HostTensor::f32(&[0, 5], &[])),
        ("step".to_owned(), HostTensor::f32(&[], &[3.0])),
    ]);
    let metadata = BTreeMap::from([("format".to_owned(), "pt".to_owned()), ("kind".to_owned(), "a\nb".to_owned())]);
    write_safetensors(&path, &tensors, &metadata)?;

    let found = SafeTensors::open(&path)?;
    assert!(found.names().eq(tensors.keys()));
    assert_eq!(found.metadata(), &metadata);
    for (name, tensor) in &tensors {
        assert_eq!(found.info(name)?, &tensor.info);
        assert_eq!(found.bytes(name)?, *tensor.bytes);
    }
    assert!(matches!(found.f32("conv.weight")?, Cow::Borrowed(read) if read == numbers));
    assert!(matches!(found.i64("position_ids")?, Cow::Borrowed([0, -1, i64::MAX])));
    assert_eq!(*found.f32("half \"quoted\" ü")?, [1.0, -2.0]);
    assert_eq!(*found.f32("step")?, [3.0]);
    assert_eq!(*found.i64("a.flag")?, [1, 0, 1]);
    Ok(())
}

#[test]
fn equal_contents_give_equal_bytes() -> Result {
    let folder = tempfile::tempdir()?;
    let write = |name: &str, names: [&str; 2]| {
        let tensors = names.map(|n| (n.to_owned(), HostTensor::f32(&[1], &[1.0]))).into();
        write_safetensors(folder.path().join(name), &tensors, &BTreeMap::new())?;
        Ok::<_, Box<dyn Error>>(fs::read(folder.path().join(name))?)
    };
    let bytes = write("one", ["b", "a"])?;
    assert_eq!(bytes, write("two", ["a", "b"])?);
    let header = format!(r#"{{"a":{},"b":{}}}"#, tensor("[1]", 0, 4), tensor("[1]", 4, 8));
    let padded = format!("{header:<width$}", width = header.len().next_multiple_of(8));
    assert_eq!(bytes[8..8 + padded.len()], *padded.as_bytes());
    Ok(())
}

#[test]
fn a_shape_and_its_numbers_are_a_tensor() -> Result {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("new/folder/model.safetensors");
    let mut tensors: BTreeMap<String, (Vec<usize>, Cow<'static, [f32]>)> = BTreeMap::new();
    tensors.insert("w".into(), (vec![2], Cow::Owned(vec![1.0, 2.0])));
    write_safetensors(&path, &tensors, &BTreeMap::new())?;
    assert_eq!(*SafeTensors::open(&path)?.f32("w")?, [1.0, 2.0]);
    tensors.insert("v".into(), (vec![3], Cow::Borrowed(&[1.0])));
    let refused = write_safetensors(&path, &tensors, &BTreeMap::new());
    assert!(refused.is_err_and(|e| e.to_string().ends_with("\"v\": its shape takes 12 bytes, found 4")));
    Ok(())
}

#[test]
fn a_tensor_outlives_its_file() -> Result {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("model.safetensors");
    write_safetensors(&path, &[("w".into(), HostTensor::f32(&[1], &[2.5]))].into(), &BTreeMap::new())?;
    let file = SafeTensors::open(&path)?;
    let bytes: Bytes = file.bytes("w")?;
    drop(file);
    fs::remove_file(&path)?;
    assert_eq!(*bytes, 2.5f32.to_le_bytes());
    Ok(())
}

#[test]
fn a_stream_that_breaks_its_promise_writes_nothing() -> Result {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("model.safetensors");
    let info = TensorInfo { dtype: DType::F32, shape: vec![2] };
    let layout = Layout::from([("a".into(), info.clone()), ("b".into(), info)]);
    let mut writer = SafeTensorsWriter::create(&path, &layout, &BTreeMap::new())?;
    assert_eq!(writer.expects(), Some("a"));
    assert!(writer.write("b", &[0; 8]).is_err_and(|e| e.to_string().contains("\"a\" was expected before it")));
    assert!(writer.write("a", &[0; 4]).is_err_and(|e| e.to_string().contains("its shape takes 8 bytes, found 4")));
    writer.write("a", &[0; 8])?;
    assert!(writer.commit().is_err_and(|e| e.to_string().contains("\"b\": it and 0 more were promised")));
    assert_eq!(fs::read_dir(&folder)?.count(), 0);
    Ok(())
}

#[test]
fn the_wrong_name_or_kind_is_told() -> Result {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("model.safetensors");
    write_safetensors(&path, &[("w".into(), HostTensor::i64(&[1], &[2]))].into(), &BTreeMap::new())?;
    let file = SafeTensors::open(&path)?;
    assert!(file.f32("w").is_err_and(|e| e.to_string().ends_with("as floating-point numbers: it is I64")));
    assert!(file.info("v").is_err_and(|e| e.to_string().ends_with("which holds 1")));
    assert!(SafeTensors::open(folder.path()).is_err_and(|e| e.to_string().ends_with("it is not a plain file")));
    Ok(())
}

#[test]
fn hostile_headers_are_refused_with_their_numbers() {
    let f32s = |shape: &str, begin, end| format!(r#"{{"w":{}}}"#, tensor(shape, begin, end));
    let two = |a: String, b: String| format!(r#"{{"a":{a},"b":{b}}}"#);
    let cases = [
        (vec![1, 2], "it has 2 bytes, fewer than the 8"),
        (100u64.to_le_bytes().to_vec(), "claims 100 bytes, the file has 0"),
        (u64::MAX.to_le_bytes().to_vec(), "claims 18446744073709551615 bytes, more than 100000000"),
        (file("[]", 0), "not a JSON object"),
        (file(r#" {}"#, 0), "not a JSON object"),
        (file(r#"{"w":3}"#, 0), "invalid type"),
        (file(&"{\"a\":".repeat(5000), 0), "header"),
        (file("{\"\u{0}\":1}", 0), "control character"),
        (file(&f32s("[2]", 0, 8), 7), "bytes 0..8 are not in the data, which has 7"),
        (file(&f32s("[2]", 8, 0), 8), "bytes 8..0 are not in the data"),
        (file(&f32s("[3]", 0, 8), 8), "F32 of [3] takes 12 bytes, found 8"),
        (file(&f32s("[4611686018427387904, 4]", 0, 8), 8), "more bytes than there are addresses"),
        (file(&f32s("[0, 4611686018427387904, 9]", 0, 0), 0), "accepted"),
        (file(&f32s("[-1]", 0, 8), 8), "invalid value"),
        (file(&f32s("[1.5]", 0, 8), 8), "invalid type"),
        (file(&f32s(&format!("[{}1]", "1,".repeat(16)), 0, 4), 4), "at most 16 axes"),
        (file(&f32s("[1]", 0, 4).replace("F32", "F33"), 4), "its dtype \"F33\" is not known"),
        (file(&f32s("[1]", 0, 4), 8), "its tensors end at byte 4 of the data, which has 8"),
        (file(&f32s("[1]", 4, 8), 8), "starts at byte 4 where 0 was expected: it leaves a hole"),
        (
            file(&two(tensor("[2]", 0, 8), tensor("[1]", 4, 8)), 8),
            "starts at byte 4 where 8 was expected: it overlaps",
        ),
        (file(&two(tensor("[1]", 0, 4), tensor("[1]", 0, 4)), 4), "overlaps its neighbour"),
        (
            file(&two(tensor("[1]", 0, 4), tensor("[1]", 4, 8)).replace("\"b\"", "\"a\""), 8),
            "\"a\" stands there twice",
        ),
        (file(r#"{"__metadata__":{"x":1}}"#, 0), "invalid type"),
        (file(r#"{"__metadata__":{"x":"1","x":"2"}}"#, 0), "\"x\" stands there twice"),
        (file(r#"{"__metadata__":{},"__metadata__":{}}"#, 0), "\"__metadata__\" stands there twice"),
        (file(r#"{"w":{"dtype":"U8","dtype":"U8","shape":[1],"data_offsets":[0,1]}}"#, 1), "duplicate field"),
        (file(r#"{}"#, 0), "accepted"),
    ];
    for (bytes, expected) in cases {
        let found = complaint(bytes);
        assert!(found.contains(expected), "{found:?} does not tell {expected:?}");
    }
}

/// SplitMix64 (Steele et al. 2014): no crate for a test's noise.
struct Noise(u64);

impl Noise {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % bound as u64) as usize
    }
}

fn corrupt(mut bytes: Vec<u8>, noise: &mut Noise) -> Vec<u8> {
    const DIGITS: &[u8] = b"0123456789-,[]{}\":e. ";
    for _ in 0..=noise.below(4) {
        let at = noise.below(bytes.len().max(1));
        match noise.below(6) {
            _ if bytes.is_empty() => bytes.push(0),
            0 => bytes.truncate(at),
            1 => bytes[at] ^= 1 << noise.below(8),
            2 => bytes[at] = DIGITS[noise.below(DIGITS.len())],
            3 => {
                bytes.remove(at);
            }
            4 => bytes.splice(at..at, *b"99999999999999999").for_each(drop),
            _ => bytes.insert(at, DIGITS[noise.below(DIGITS.len())]),
        }
    }
    bytes
}

#[test]
fn corrupted_files_are_refused_or_valid_and_never_panic() -> Result {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("model.safetensors");
    let tensors = BTreeMap::from([
        ("a".to_owned(), HostTensor::f32(&[2, 3], &[0.5; 6])),
        ("b".to_owned(), HostTensor::i64(&[2], &[1, 2])),
        ("c".to_owned(), HostTensor::new(DType::BF16, &[3], vec![0; 6])),
    ]);
    write_safetensors(&path, &tensors, &BTreeMap::from([("format".into(), "pt".into())]))?;
    let whole = fs::read(&path)?;
    let (mut noise, mut accepted) = (Noise(7), 0);
    for round in 0..20_000 {
        let mut bytes = corrupt(whole.clone(), &mut noise);
        if round % 2 == 0 && bytes.len() >= 8 {
            // Half of them get past the length, where the header's own checks are.
            let header = (bytes.len() - 8).min(whole.len() - 8 - 46) as u64;
            bytes[..8].copy_from_slice(&header.to_le_bytes());
        }
        let size = bytes.len();
        if round % 50 == 0 {
            fs::write(&path, &bytes)?;
            SafeTensors::open(&path).ok();
        }
        let Ok(file) = SafeTensors::from_bytes("corrupted", bytes.into()) else { continue };
        accepted += 1;
        let total: usize = file.names().filter_map(|name| file.bytes(name).ok()).map(|b| b.len()).sum();
        assert!(total <= size);
        for name in file.names() {
            let info = file.info(name)?;
            let elements = info.shape.iter().product::<usize>();
            match info.dtype {
                DType::F32 | DType::F64 | DType::F16 | DType::BF16 => assert_eq!(file.f32(name)?.len(), elements),
                _ => assert!(file.i64(name).is_ok_and(|n| n.len() == elements) || info.dtype == DType::U64),
            }
        }
    }
    assert!((100..15_000).contains(&accepted), "{accepted} of 20000 accepted: the noise tests one side only");
    Ok(())
}
