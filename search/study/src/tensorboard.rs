//! Event files that TensorBoard reads: length-prefixed, checksummed records (TensorFlow's `record_writer.h`), each a protocol
//! buffer of `event.proto`, of which the few fields used here are written out below.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    path::PathBuf,
    time::{SystemTime, UNIX_EPOCH},
};

use prost::Message;

use crate::StudyError;

/// TensorBoard takes files with `tfevents` in their names.
const FILE_NAME: &str = "events.out.tfevents.0.tnas";

/// A longer record is no event of ours.
const LONGEST: u64 = 1 << 28;

/// The events of one training loop, in a folder of its own: TensorBoard shows a folder as a run.
///
/// A process killed in the middle of a record loses that record alone. Where a loop goes on from a checkpoint, events beyond
/// it are dropped, for they will come again.
#[derive(Debug)]
pub struct EventLog {
    path: PathBuf,
    file: File,
}

#[derive(Clone, PartialEq, Message)]
struct Event {
    #[prost(double, tag = "1")]
    wall_time: f64,
    #[prost(int64, tag = "2")]
    step: i64,
    #[prost(string, optional, tag = "3")]
    file_version: Option<String>,
    #[prost(message, optional, tag = "5")]
    summary: Option<Summary>,
}

#[derive(Clone, PartialEq, Message)]
struct Summary {
    #[prost(message, repeated, tag = "1")]
    value: Vec<SummaryValue>,
}

#[derive(Clone, PartialEq, Message)]
struct SummaryValue {
    #[prost(string, tag = "1")]
    tag: String,
    #[prost(float, optional, tag = "2")]
    simple_value: Option<f32>,
    #[prost(message, optional, tag = "4")]
    image: Option<Image>,
}

#[derive(Clone, PartialEq, Message)]
struct Image {
    #[prost(int32, tag = "1")]
    height: i32,
    #[prost(int32, tag = "2")]
    width: i32,
    #[prost(int32, tag = "3")]
    colorspace: i32,
    #[prost(bytes = "vec", tag = "4")]
    encoded_image_string: Vec<u8>,
}

impl EventLog {
    /// Opens the events in a folder, which is made where there is none, and keeps those up to a step.
    pub fn open(folder: impl Into<PathBuf>, kept_step: u64) -> Result<Self, StudyError> {
        let folder = folder.into();
        let path = folder.join(FILE_NAME);
        let write = |source| StudyError::Write { path: path.clone(), source };
        fs::create_dir_all(&folder).map_err(write)?;
        let mut bytes = Vec::new();
        match File::open(&path) {
            Ok(mut file) => drop(file.read_to_end(&mut bytes).map_err(write)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(write(error)),
        }
        let mut kept = Vec::new();
        let mut rest = &bytes[..];
        while let Some((payload, record, after)) = next_record(rest) {
            let known = Event::decode(payload).is_ok_and(|event| {
                event.file_version.is_none() && u64::try_from(event.step).is_ok_and(|step| step <= kept_step)
            });
            if known {
                kept.extend_from_slice(record);
            }
            rest = after;
        }
        let version = Event { file_version: Some("brain.Event:2".into()), ..event(0) };
        let mut whole = record(&version.encode_to_vec());
        whole.extend(kept);
        tnas_weights::write_atomic(&path, &whole).map_err(|error| write(io::Error::other(error)))?;
        let file = OpenOptions::new().append(true).open(&path).map_err(write)?;
        Ok(Self { path, file })
    }

    /// Adds a step's figures.
    pub fn scalars<'a>(
        &mut self,
        step: u64,
        values: impl IntoIterator<Item = (&'a str, f64)>,
    ) -> Result<(), StudyError> {
        let value = |(tag, value): (&str, f64)| SummaryValue {
            tag: tag.into(),
            simple_value: Some(value as f32),
            image: None,
        };
        self.summary(step, values.into_iter().map(value).collect())
    }

    /// Adds a picture: an encoded PNG or GIF of this height and width.
    pub fn image(
        &mut self,
        step: u64,
        tag: &str,
        [height, width]: [u32; 2],
        bytes: &[u8],
    ) -> Result<(), StudyError> {
        const RGB: i32 = 3;
        let size = |x: u32| i32::try_from(x).unwrap_or(i32::MAX);
        let image = Image {
            height: size(height),
            width: size(width),
            colorspace: RGB,
            encoded_image_string: bytes.to_vec(),
        };
        self.summary(step, vec![SummaryValue { tag: tag.into(), simple_value: None, image: Some(image) }])
    }

    fn summary(&mut self, step: u64, value: Vec<SummaryValue>) -> Result<(), StudyError> {
        let event = Event { summary: Some(Summary { value }), ..event(step) };
        // One write for the record: a kill between two tears none.
        let written = self.file.write_all(&record(&event.encode_to_vec()));
        written.map_err(|source| StudyError::Write { path: self.path.clone(), source })
    }
}

/// Nothing, now.
fn event(step: u64) -> Event {
    let wall_time = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64());
    Event { wall_time, step: i64::try_from(step).unwrap_or(i64::MAX), file_version: None, summary: None }
}

/// Length, its checksum, the payload, its checksum.
fn record(payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u64).to_le_bytes();
    let checks = [masked(&length), masked(payload)];
    [&length[..], &checks[0].to_le_bytes(), payload, &checks[1].to_le_bytes()].concat()
}

/// CRC-32C, rotated and moved so that checksums of texts with checksums stay good ones.
fn masked(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// Payload of the first record, the record, and what follows; none where it is torn or wrong.
fn next_record(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<8>()?;
    let (check, rest) = rest.split_first_chunk::<4>()?;
    let count = u64::from_le_bytes(*length);
    if u32::from_le_bytes(*check) != masked(length) || count > LONGEST {
        return None;
    }
    let (payload, rest) = rest.split_at_checked(usize::try_from(count).ok()?)?;
    let (check, rest) = rest.split_first_chunk::<4>()?;
    if u32::from_le_bytes(*check) != masked(payload) {
        return None;
    }
    Some((payload, &bytes[..bytes.len() - rest.len()], rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(folder: &std::path::Path) -> Vec<i64> {
        let bytes = fs::read(folder.join(FILE_NAME)).expect("a file");
        let (mut rest, mut steps) = (&bytes[..], Vec::new());
        while let Some((payload, _, after)) = next_record(rest) {
            steps.push(Event::decode(payload).expect("an event").step);
            rest = after;
        }
        steps
    }

    /// The check value of CRC-32C (RFC 3720, B.4: 32 zero bytes give 8a9136aa), masked.
    #[test]
    fn checksums_are_those_of_the_format() {
        assert_eq!(masked(&[0; 32]), 0x8a91_36aa_u32.rotate_right(15).wrapping_add(0xa282_ead8));
        let bytes = record(b"x");
        assert_eq!(&bytes[..8], &1u64.to_le_bytes());
        assert_eq!(bytes.len(), 8 + 4 + 1 + 4);
    }

    #[test]
    fn a_loop_that_goes_on_drops_what_comes_again_and_what_was_torn() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut log = EventLog::open(folder.path(), 0).expect("a log");
        for step in 1..=5 {
            log.scalars(step, [("loss", 1.0 / step as f64)]).expect("room");
        }
        log.image(5, "samples", [1, 1], b"png").expect("room");
        assert_eq!(steps(folder.path()), [0, 1, 2, 3, 4, 5, 5]);
        let path = folder.path().join(FILE_NAME);
        let whole = fs::read(&path).expect("a file");
        fs::write(&path, &whole[..whole.len() - 1]).expect("room");
        let mut log = EventLog::open(folder.path(), 3).expect("a log");
        log.scalars(4, [("loss", 0.5)]).expect("room");
        assert_eq!(steps(folder.path()), [0, 1, 2, 3, 4]);
    }
}
