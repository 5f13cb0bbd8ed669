//! Clips as the denoiser sees them, read when they are asked for: pixels of a [`ClipSet`], or latents kept on the disk
//! under the hash of what they were made from.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tnas_clips::{ClipSet, Kept, Memory};
use tnas_study::hash_bytes;
use tnas_training::{LatentSource, Loading, TrainError, frames_inner};
use tnas_weights::{HostTensor, SafeTensors, write_safetensors};

/// Raise where the same clip and autoencoder would give other latents.
const VERSION: u32 = 1;

/// Name of the tensor in a file.
const TENSOR: &str = "latent";

/// One split of a study's clips for the denoiser.
pub struct ClipLatents {
    shape: [usize; 4],
    captions: Vec<usize>,
    clips: Clips,
    /// Per channel mean and deviation that are taken out; none where empty.
    statistics: Vec<(f32, f32)>,
    loading: Loading,
}

enum Clips {
    Pixels(ClipSet),
    Encoded { files: Vec<PathBuf>, kept: Kept<Vec<f32>> },
}

impl ClipLatents {
    /// The clips' own pixels.
    pub fn of_pixels(clips: ClipSet, captions: Vec<usize>, loading: Loading) -> Self {
        let [frames, height, width] = clips.shape();
        let shape = [3, frames, height, width];
        Self { shape, captions, clips: Clips::Pixels(clips), statistics: Vec::new(), loading }
    }

    /// Latents in files, each of one clip.
    pub fn of_files(
        files: Vec<PathBuf>,
        shape: [usize; 4],
        captions: Vec<usize>,
        memory: &Memory,
        loading: Loading,
    ) -> Self {
        let kept = Kept::new(files.len(), memory.clone());
        Self { shape, captions, clips: Clips::Encoded { files, kept }, statistics: Vec::new(), loading }
    }

    /// The same with each channel's mean taken out and its deviation made 1.
    pub fn normalised(self, statistics: &[(f32, f32)]) -> Self {
        Self { statistics: statistics.to_vec(), ..self }
    }

    /// A clip as the denoiser sees it, `[C, F, H, W]`.
    pub fn clip(&self, index: usize) -> Result<Vec<f32>, TrainError> {
        let mut data = Vec::new();
        self.read(index, &mut data)?;
        Ok(data)
    }

    /// Mean and deviation of each channel over all clips, in their order.
    pub fn channel_statistics(&self) -> Result<Vec<(f32, f32)>, TrainError> {
        let [channels, frames, height, width] = self.shape;
        let plane = frames * height * width;
        let mut sums = vec![(0.0f64, 0.0f64); channels];
        for index in 0..self.captions.len() {
            for ((sum, squares), values) in sums.iter_mut().zip(self.clip(index)?.chunks(plane)) {
                for &x in values {
                    *sum += f64::from(x);
                    *squares += f64::from(x) * f64::from(x);
                }
            }
        }
        let count = (self.captions.len() * plane) as f64;
        let statistic = |(sum, squares): (f64, f64)| {
            let mean = sum / count;
            (mean as f32, (squares / count - mean * mean).max(1e-8).sqrt() as f32)
        };
        Ok(sums.into_iter().map(statistic).collect())
    }
}

impl LatentSource for ClipLatents {
    fn shape(&self) -> [usize; 4] {
        self.shape
    }

    fn captions(&self) -> &[usize] {
        &self.captions
    }

    fn read(&self, index: usize, into: &mut Vec<f32>) -> Result<(), TrainError> {
        let failed = |source: Box<dyn std::error::Error + Send + Sync>| TrainError::Load { clip: index, source };
        let start = into.len();
        match &self.clips {
            Clips::Pixels(clips) => into.extend(frames_inner(&*clips.clip(index).map_err(|e| failed(e.into()))?)),
            Clips::Encoded { files, kept } => {
                let file = files.get(index).ok_or_else(|| failed(format!("there are {}", files.len()).into()))?;
                let bytes = (self.shape.iter().product::<usize>() * size_of::<f32>()) as u64;
                let latent: Arc<Vec<f32>> =
                    kept.get(index, bytes, || read_latent(file, self.shape)).map_err(failed)?;
                into.extend_from_slice(&latent);
            }
        }
        normalise(&mut into[start..], self.shape, &self.statistics);
        Ok(())
    }

    fn loading(&self) -> Loading {
        self.loading
    }
}

/// Gives each channel mean 0 and deviation 1 where those were taken.
pub fn normalise(latent: &mut [f32], shape: [usize; 4], statistics: &[(f32, f32)]) {
    each_channel(latent, shape, statistics, |x, mean, deviation| (x - mean) / deviation);
}

/// Takes a normalisation back.
pub fn denormalise(latent: &mut [f32], shape: [usize; 4], statistics: &[(f32, f32)]) {
    each_channel(latent, shape, statistics, |x, mean, deviation| x * deviation + mean);
}

fn each_channel(
    latent: &mut [f32],
    shape: [usize; 4],
    statistics: &[(f32, f32)],
    change: impl Fn(f32, f32, f32) -> f32,
) {
    let plane: usize = shape[1..].iter().product();
    for (values, &(mean, deviation)) in latent.chunks_mut(plane).zip(statistics) {
        values.iter_mut().for_each(|x| *x = change(*x, mean, deviation));
    }
}

/// Where the latent of a clip is kept: a name made of all that it follows from.
pub fn latent_file(cache: &Path, codec: &str, device: &str, clip: &str) -> PathBuf {
    let key = hash_bytes(format!("latent {VERSION} {codec} {device} {clip}").as_bytes());
    cache.join(format!("latents/{}/{key}.safetensors", &key[..2]))
}

/// Whether a file holds a latent of this shape; anything else is made anew.
pub fn is_latent(file: &Path, shape: [usize; 4]) -> bool {
    let found = SafeTensors::open(file).ok().and_then(|file| Some(file.info(TENSOR).ok()?.shape.clone()));
    found.is_some_and(|found| found == shape)
}

/// Writes a latent whole or not at all.
pub fn write_latent(file: &Path, shape: [usize; 4], latent: &[f32]) -> anyhow::Result<()> {
    let tensors = BTreeMap::from([(TENSOR.to_owned(), HostTensor::f32(&shape, latent))]);
    Ok(write_safetensors(file, &tensors, &BTreeMap::new())?)
}

fn read_latent(file: &Path, shape: [usize; 4]) -> Result<Vec<f32>, Box<dyn std::error::Error + Send + Sync>> {
    let tensors = SafeTensors::open(file)?;
    let found = &tensors.info(TENSOR)?.shape;
    if *found != shape {
        return Err(format!("{}: a latent of {shape:?} is expected, found {found:?}", file.display()).into());
    }
    Ok(tensors.f32(TENSOR)?.into_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use super::*;

    const SHAPE: [usize; 4] = [2, 1, 1, 2];

    fn stored(folder: &Path, memory: u64) -> ClipLatents {
        let latents = [[0.0, 2.0, 10.0, 30.0], [4.0, 6.0, 10.0, 30.0]];
        let files: Vec<PathBuf> =
            (0..2).map(|i| latent_file(folder, "codec", "cpu", &format!("clip {i}"))).collect();
        for (file, latent) in files.iter().zip(latents) {
            write_latent(file, SHAPE, &latent).unwrap();
            assert!(is_latent(file, SHAPE) && !is_latent(file, [1, 1, 1, 4]));
        }
        ClipLatents::of_files(files, SHAPE, vec![0, 0], &Memory::new(memory), Loading::default())
    }

    #[test]
    fn latents_on_the_disk_are_normalised_as_they_are_read() {
        let folder = tempfile::tempdir().unwrap();
        for memory in [0, 16, 1 << 20] {
            let latents = stored(folder.path(), memory);
            let statistics = latents.channel_statistics().unwrap();
            assert_eq!(statistics[0].0, 3.0);
            assert_eq!(statistics[1], (20.0, 10.0));
            let normalised = latents.normalised(&statistics);
            let mut clip = normalised.clip(1).unwrap();
            assert_eq!(clip[2..], [-1.0, 1.0]);
            denormalise(&mut clip, SHAPE, &statistics);
            assert!(clip.iter().zip([4.0, 6.0, 10.0, 30.0]).all(|(a, b)| (a - b).abs() < 1e-5), "{clip:?}");
            assert!(normalised.clip(2).is_err());
        }
    }

    #[test]
    fn a_torn_file_is_no_latent_and_names_itself() {
        let folder = tempfile::tempdir().unwrap();
        let latents = stored(folder.path(), 0);
        let file = latent_file(folder.path(), "codec", "cpu", "clip 0");
        let bytes = std::fs::read(&file).unwrap();
        std::fs::write(&file, &bytes[..bytes.len() - 3]).unwrap();
        assert!(!is_latent(&file, SHAPE));
        let error = anyhow::Error::from(latents.clip(0).unwrap_err());
        assert!(format!("{error:#}").contains("safetensors"), "{error:#}");
    }
}
