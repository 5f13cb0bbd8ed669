//! H.264 in MP4: `mp4-atom` reads the boxes, the tables are followed here and nothing in them is believed, OpenH264
//! decodes.

use std::ops::{ControlFlow, Range};

use mp4_atom::{Atom, Avc1, Codec, Colr, Decode, DecodeAtom, Header, Moof, Moov, Stbl, StszSamples, Trak};
use openh264::OpenH264API;
use openh264::decoder::{DecodeOptions, DecodedYUV, Decoder, DecoderConfig, Flush};
use openh264::formats::YUVSource;

use super::budget::Budget;
use super::{Picture, Visit};
use crate::yuv::{Matrix, YuvPlanes};

/// Coded pictures of one track: more than any film here may show.
const MAX_SAMPLES: usize = 1 << 16;

/// Plays the first H.264 track.
pub(crate) fn play(bytes: &[u8], budget: &mut Budget, visit: Visit) -> Result<(), String> {
    let moov = movie(bytes)?;
    let (track, avc) = h264_track(&moov)?;
    budget.picture(avc.visual.width.into(), avc.visual.height.into())?;
    let samples = samples(&track.mdia.minf.stbl, track.mdia.mdhd.timescale, bytes.len() as u64)?;
    let matrix = matrix(avc);
    let mut shown = shown_us(&samples).into_iter();
    let mut show = |yuv: &DecodedYUV| {
        let (width, height) = yuv.dimensions();
        budget.frame(width as u64, height as u64)?;
        let planes = YuvPlanes { y: yuv.y(), u: yuv.u(), v: yuv.v(), strides: yuv.strides(), width, height };
        let shown_us = Some(shown.next().ok_or("it has more frames than it says")?);
        Ok(visit(Picture { height, width, rgb: planes.to_rgb(matrix), shown_us }))
    };
    decode(bytes, avc, &samples, &mut show)
}

fn decode(
    bytes: &[u8],
    avc: &Avc1,
    samples: &[Sample],
    show: &mut dyn FnMut(&DecodedYUV) -> Result<ControlFlow<()>, String>,
) -> Result<(), String> {
    let refuse = |error: openh264::Error| error.to_string();
    let mut decoder = Decoder::with_api_config(OpenH264API::from_source(), DecoderConfig::new()).map_err(refuse)?;
    let mut packet = Vec::new();
    let sets = avc.avcc.sequence_parameter_sets.iter().chain(&avc.avcc.picture_parameter_sets);
    sets.for_each(|set| append_unit(&mut packet, set));
    let mut frames = 0;
    for (number, sample) in samples.iter().enumerate() {
        append_units(&mut packet, &bytes[sample.bytes.clone()], usize::from(avc.avcc.length_size))
            .ok_or_else(|| format!("frame {number} is torn"))?;
        // Pictures come in the order of showing, some later than the bytes they are made of.
        let options = DecodeOptions::new().flush_after_decode(Flush::NoFlush);
        let decoded = decoder.decode_with_options(&packet, options);
        if let Some(yuv) = decoded.map_err(|error| format!("frame {number} cannot be decoded: {error}"))? {
            frames += 1;
            if show(&yuv)?.is_break() {
                return Ok(());
            }
        }
        packet.clear();
    }
    for yuv in decoder.flush_remaining().map_err(refuse)? {
        frames += 1;
        if show(&yuv)?.is_break() {
            return Ok(());
        }
    }
    if frames < samples.len() {
        return Err(format!("{frames} of its {} frames can be decoded", samples.len()));
    }
    Ok(())
}

/// The box that describes the tracks.
fn movie(bytes: &[u8]) -> Result<Moov, String> {
    let mut rest = bytes;
    while rest.len() >= 8 {
        let header = Header::decode(&mut rest).map_err(|error| format!("its boxes are broken: {error}"))?;
        let length = header.size.unwrap_or(rest.len());
        let body = rest.get(..length).ok_or_else(|| {
            format!("its box {:?} has {length} bytes, and the file ends after {}", header.kind, rest.len())
        })?;
        if header.kind == Moov::KIND {
            let mut body = body;
            let header = Header { size: Some(length), ..header };
            return Moov::decode_atom(&header, &mut body).map_err(|error| format!("its description: {error}"));
        }
        if header.kind == Moof::KIND {
            break;
        }
        rest = &rest[length..];
    }
    Err("it has no box moov, which says where its frames are".to_owned())
}

fn h264_track(moov: &Moov) -> Result<(&Trak, &Avc1), String> {
    if moov.mvex.is_some() {
        return Err("it is a fragmented MP4; write it whole: ffmpeg -i IN -c copy OUT.mp4".to_owned());
    }
    let mut others = Vec::new();
    for track in moov.trak.iter().filter(|track| track.mdia.hdlr.handler == b"vide".into()) {
        match track.mdia.minf.stbl.stsd.codecs.first() {
            Some(Codec::Avc1(avc)) => return Ok((track, avc)),
            Some(other) => others.push(format!("{other:?}").chars().take_while(|c| c.is_alphanumeric()).collect()),
            None => {}
        }
    }
    Err(match &others[..] {
        [] => "it has no video track".to_owned(),
        names => {
            let names: &[String] = names;
            format!("its video is {}, not H.264; convert it: ffmpeg -i IN -c:v libx264 OUT.mp4", names.join(", "))
        }
    })
}

/// A coded picture.
struct Sample {
    bytes: Range<usize>,
    shown_at_us: i64,
    lasts_us: u32,
}

/// Where the coded pictures lie and when they are shown (ISO/IEC 14496-12, §8.6 and §8.7).
fn samples(table: &Stbl, timescale: u32, length: u64) -> Result<Vec<Sample>, String> {
    let broken = |what: &str| format!("its table of {what} is broken");
    let sizes: Vec<u64> = match &table.stsz.samples {
        StszSamples::Identical { count, size } if *count as usize <= MAX_SAMPLES => {
            vec![u64::from(*size); *count as usize]
        }
        StszSamples::Different { sizes } if sizes.len() <= MAX_SAMPLES => {
            sizes.iter().map(|&size| size.into()).collect()
        }
        _ => return Err(format!("more than {MAX_SAMPLES} frames; cut it into shorter ones")),
    };
    if sizes.is_empty() {
        return Err("it has no frames".to_owned());
    }
    let offsets = offsets(table, &sizes).ok_or_else(|| broken("chunks"))?;
    let timescale = i64::from(timescale.max(1));
    let runs = table.stts.entries.iter().map(|run| (run.sample_count, i64::from(run.sample_delta)));
    let lasts = spread(runs, sizes.len()).ok_or_else(|| broken("times"))?;
    let shifts = match &table.ctts {
        None => vec![0; sizes.len()],
        Some(ctts) => spread(ctts.entries.iter().map(|run| (run.sample_count, run.sample_offset)), sizes.len())
            .ok_or_else(|| broken("shifts"))?,
    };
    let us = |ticks: i64| i64::try_from(i128::from(ticks) * 1_000_000 / i128::from(timescale)).unwrap_or(i64::MAX);
    let mut decoded_at = 0i64;
    let mut samples = Vec::with_capacity(sizes.len());
    for (index, (offset, size)) in offsets.into_iter().zip(sizes).enumerate() {
        let end = offset.checked_add(size).filter(|&end| end <= length);
        let end = end.ok_or_else(|| format!("frame {index} lies beyond the end of the file: it is cut off"))?;
        samples.push(Sample {
            bytes: offset as usize..end as usize,
            shown_at_us: us(decoded_at.saturating_add(shifts[index])),
            lasts_us: u32::try_from(us(lasts[index])).unwrap_or(u32::MAX),
        });
        decoded_at = decoded_at.saturating_add(lasts[index]);
    }
    Ok(samples)
}

/// Runs of (count, value) as one value for each of `count` samples.
fn spread(runs: impl Iterator<Item = (u32, i64)>, count: usize) -> Option<Vec<i64>> {
    let values = runs.flat_map(|(length, value)| std::iter::repeat_n(value, (length as usize).min(count)));
    let values: Vec<i64> = values.take(count).collect();
    (values.len() == count).then_some(values)
}

/// The place of each sample: samples fill chunks, runs of chunks hold equally many.
fn offsets(table: &Stbl, sizes: &[u64]) -> Option<Vec<u64>> {
    let chunks: Vec<u64> = match (&table.stco, &table.co64) {
        (Some(stco), _) => stco.entries.iter().map(|&offset| offset.into()).collect(),
        (None, Some(co64)) => co64.entries.clone(),
        (None, None) => return None,
    };
    let runs = &table.stsc.entries;
    let mut offsets = Vec::with_capacity(sizes.len());
    let mut run = 0;
    for (index, &start) in chunks.iter().enumerate() {
        while runs.get(run + 1).is_some_and(|next| next.first_chunk as usize <= index + 1) {
            run += 1;
        }
        let mut at = start;
        for _ in 0..runs.get(run)?.samples_per_chunk {
            let Some(size) = sizes.get(offsets.len()) else { break };
            offsets.push(at);
            at = at.checked_add(*size)?;
        }
    }
    (offsets.len() == sizes.len()).then_some(offsets)
}

/// How long each picture is shown, in the order of showing: until the next one is.
fn shown_us(samples: &[Sample]) -> Vec<u32> {
    let mut times: Vec<(i64, u32)> = samples.iter().map(|sample| (sample.shown_at_us, sample.lasts_us)).collect();
    times.sort_unstable();
    let until_next = |pair: &[(i64, u32)]| u32::try_from(pair[1].0.saturating_sub(pair[0].0)).unwrap_or(u32::MAX);
    let mut shown: Vec<u32> = times.windows(2).map(until_next).collect();
    shown.extend(times.last().map(|last| last.1));
    shown
}

/// Adds a NAL unit behind a start code.
fn append_unit(packet: &mut Vec<u8>, unit: &[u8]) {
    packet.extend_from_slice(&[0, 0, 0, 1]);
    packet.extend_from_slice(unit);
}

/// Adds the NAL units of a sample, each behind its length.
fn append_units(packet: &mut Vec<u8>, mut sample: &[u8], length_size: usize) -> Option<()> {
    while !sample.is_empty() {
        let (length, rest) = sample.split_at_checked(length_size)?;
        let length = length.iter().fold(0usize, |length, &byte| length << 8 | usize::from(byte));
        let (unit, rest) = rest.split_at_checked(length)?;
        append_unit(packet, unit);
        sample = rest;
    }
    Some(())
}

/// The colours that the file names; else those that players take for its height.
fn matrix(avc: &Avc1) -> Matrix {
    let guessed = if avc.visual.height >= 720 { Matrix::BT709 } else { Matrix::BT601 };
    match &avc.colr {
        Some(Colr::Nclx { matrix_coefficients, full_range_flag, .. }) => {
            let matrix = match matrix_coefficients {
                1 => Matrix::BT709,
                5 | 6 => Matrix::BT601,
                _ => guessed,
            };
            matrix.with_range(*full_range_flag)
        }
        _ => guessed,
    }
}
