use mp4_atom::{
    Atom, Avc1, Avcc, Codec, Dinf, Dref, Encode, Ftyp, Hdlr, Header, Mdat, Mdhd, Mdia, Minf, Moov, Mvhd, Stbl,
    Stco, Stsc, StscEntry, Stsd, Stss, Stsz, StszSamples, Stts, SttsEntry, Tkhd, Trak, Url, Visual, Vmhd,
};
use openh264::OpenH264API;
use openh264::encoder::{
    BitRate, Encoder, EncoderConfig, FrameRate, FrameType, QpRange, RateControlMode, UsageType, VuiConfig,
};
use openh264::formats::YUVBuffer;

use crate::gif_out::enlarged_frames;
use crate::yuv::{Matrix, from_rgb};
use crate::{Clip, ClipError, FilmSettings};

/// Quantiser of the encoder, 0 to 51: clips are short, and are looked at closely.
const QUANTISER: u8 = 16;

/// Ticks of a second: delays are milliseconds.
const TIMESCALE: u32 = 1000;

/// The clip as H.264 in MP4. Colours of neighbouring pixels mix, as in all such films; a side that is odd is repeated.
pub fn h264_mp4(clip: &Clip, settings: &FilmSettings) -> Result<Vec<u8>, ClipError> {
    let wanted = [clip.width * settings.upscale, clip.height * settings.upscale];
    let [width, height] = wanted.map(|side| side.next_multiple_of(2));
    let refuse = |message: String| ClipError::Encode { format: "MP4", width, height, message };
    if width.min(height) < 16 || width.max(height) > 3840 || width.min(height) > 2160 {
        return Err(refuse("H.264 here takes 16×16 to 3840×2160 pixels".to_owned()));
    }
    let film = coded(clip, settings, width, height).map_err(|error| refuse(error.to_string()))?;
    film.boxed(width as u16, height as u16, settings.delay_ms.max(1)).map_err(|error| refuse(error.to_string()))
}

/// Coded pictures.
#[derive(Default)]
struct Coded {
    sequence: Vec<u8>,
    picture: Vec<u8>,
    /// NAL units behind their lengths, and whether the picture stands alone.
    samples: Vec<(Vec<u8>, bool)>,
}

fn coded(clip: &Clip, settings: &FilmSettings, width: usize, height: usize) -> Result<Coded, openh264::Error> {
    let config = EncoderConfig::new()
        .rate_control_mode(RateControlMode::Off)
        .qp(QpRange::new(QUANTISER, QUANTISER))
        .bitrate(BitRate::from_bps(50_000_000))
        .max_frame_rate(FrameRate::from_hz(TIMESCALE as f32 / settings.delay_ms.max(1) as f32))
        .usage_type(UsageType::CameraVideoRealTime)
        .skip_frames(false)
        .scene_change_detect(false)
        .adaptive_quantization(false)
        .background_detection(false)
        .num_threads(1)
        .vui(VuiConfig::bt601());
    let mut encoder = Encoder::with_api_config(OpenH264API::from_source(), config)?;
    let mut film = Coded::default();
    for frame in enlarged_frames(clip, settings.upscale) {
        let even = repeated(&frame, clip.width * settings.upscale, width, height);
        let planes = YUVBuffer::from_vec(from_rgb(&even, width, height, Matrix::BT601), width, height);
        let stream = encoder.encode(&planes)?;
        let alone = matches!(stream.frame_type(), FrameType::IDR | FrameType::I);
        let units: Vec<Vec<u8>> = (0..stream.num_layers())
            .filter_map(|layer| stream.layer(layer))
            .flat_map(|layer| {
                (0..layer.nal_count()).filter_map(|i| layer.nal_unit(i).map(unit)).collect::<Vec<_>>()
            })
            .collect();
        film.append(units, alone);
    }
    Ok(film)
}

/// A NAL unit without its start code.
fn unit(bytes: &[u8]) -> Vec<u8> {
    let zeros = bytes.iter().take_while(|&&byte| byte == 0).count();
    bytes[(zeros + 1).min(bytes.len())..].to_vec()
}

/// The picture with its last column and row repeated up to these sides.
fn repeated(rgb: &[[u8; 3]], from_width: usize, width: usize, height: usize) -> Vec<[u8; 3]> {
    let rows = rgb.len() / from_width;
    let row = |y: usize| &rgb[y.min(rows - 1) * from_width..][..from_width];
    (0..height).flat_map(|y| (0..width).map(move |x| row(y)[x.min(from_width - 1)])).collect()
}

impl Coded {
    fn append(&mut self, units: Vec<Vec<u8>>, alone: bool) {
        let mut sample = Vec::new();
        for unit in units {
            // The kind of a unit is in its first five bits from below (ITU-T H.264, §7.4.1).
            match unit.first().map(|byte| byte & 0x1f) {
                Some(7) => self.sequence = unit,
                Some(8) => self.picture = unit,
                Some(_) => {
                    sample.extend_from_slice(&(unit.len() as u32).to_be_bytes());
                    sample.extend_from_slice(&unit);
                }
                None => {}
            }
        }
        self.samples.push((sample, alone));
    }

    /// The file: brand, description, pictures.
    fn boxed(&self, width: u16, height: u16, delay_ms: u32) -> Result<Vec<u8>, mp4_atom::Error> {
        let ftyp = Ftyp {
            major_brand: b"isom".into(),
            minor_version: 512,
            compatible_brands: vec![b"isom".into(), b"avc1".into(), b"mp41".into()],
        };
        let mut bytes = Vec::new();
        ftyp.encode(&mut bytes)?;
        let mut moov = self.description(width, height, delay_ms, 0)?;
        let mut measured = Vec::new();
        moov.encode(&mut measured)?;
        // The description has the same length whatever the offset is; a box's head has 8 bytes.
        let offset = (bytes.len() + measured.len() + 8) as u32;
        moov = self.description(width, height, delay_ms, offset)?;
        moov.encode(&mut bytes)?;
        let pictures: Vec<u8> = self.samples.iter().flat_map(|(sample, _)| sample).copied().collect();
        Header { kind: Mdat::KIND, size: Some(pictures.len()) }.encode(&mut bytes)?;
        bytes.extend_from_slice(&pictures);
        Ok(bytes)
    }

    fn description(&self, width: u16, height: u16, delay_ms: u32, offset: u32) -> Result<Moov, mp4_atom::Error> {
        let count = self.samples.len() as u32;
        let duration = u64::from(count) * u64::from(delay_ms);
        let visual = Visual { data_reference_index: 1, width, height, ..Visual::default() };
        let avcc = Avcc::new(&self.sequence, &self.picture)?;
        let table = Stbl {
            stsd: Stsd { codecs: vec![Codec::Avc1(Avc1 { visual, avcc, ..Avc1::default() })] },
            stts: Stts { entries: vec![SttsEntry { sample_count: count, sample_delta: delay_ms }] },
            stss: Some(Stss {
                entries: (1..)
                    .zip(&self.samples)
                    .filter(|(_, sample)| sample.1)
                    .map(|(number, _)| number)
                    .collect(),
            }),
            stsc: Stsc {
                entries: vec![StscEntry { first_chunk: 1, samples_per_chunk: count, sample_description_index: 1 }],
            },
            stsz: Stsz {
                samples: StszSamples::Different {
                    sizes: self.samples.iter().map(|(sample, _)| sample.len() as u32).collect(),
                },
            },
            stco: Some(Stco { entries: vec![offset] }),
            ..Stbl::default()
        };
        let mdia = Mdia {
            mdhd: Mdhd { timescale: TIMESCALE, duration, language: "und".into(), ..Mdhd::default() },
            hdlr: Hdlr { handler: b"vide".into(), name: "video".into() },
            minf: Minf {
                vmhd: Some(Vmhd::default()),
                dinf: Dinf { dref: Dref { entries: vec![Url { location: String::new() }.into()] } },
                stbl: table,
                ..Minf::default()
            },
        };
        let tkhd = Tkhd {
            track_id: 1,
            duration,
            enabled: true,
            in_movie: true,
            width: width.into(),
            height: height.into(),
            ..Tkhd::default()
        };
        Ok(Moov {
            mvhd: Mvhd {
                timescale: TIMESCALE,
                duration,
                rate: 1.into(),
                volume: 1.into(),
                next_track_id: 2,
                ..Mvhd::default()
            },
            trak: vec![Trak { tkhd, mdia, ..Trak::default() }],
            ..Moov::default()
        })
    }
}
