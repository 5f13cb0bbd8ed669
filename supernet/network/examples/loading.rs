//! How long weights take to load and save, and how much memory: `cargo run --release --example loading [PARAMETERS] [FOLDER]`.
//!
//! Makes files of random numbers, reads them once so that they are in the page cache, and loads each five times, every time
//! in a process of its own, whose memory is then only this.

use std::{
    collections::BTreeMap,
    env,
    error::Error,
    fs,
    hint::black_box,
    path::{Path, PathBuf},
    process::Command,
    time::Instant,
};

use rand::Rng;
use tnas_network::{Parameters, open_device, stream};
use tnas_weights::{DType, Layout, SafeTensorsWriter, TensorInfo, WeightFiles};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const RUNS: usize = 5;

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["load", path] => load(Path::new(path)),
        ["save", path, to] => save(Path::new(path), Path::new(to)),
        ref rest => {
            let parameters = rest.first().map_or(Ok(600_000_000), |count| count.parse())?;
            let folder = rest.get(1).map_or_else(env::temp_dir, PathBuf::from);
            compare(parameters, &folder)
        }
    }
}

fn compare(parameters: usize, folder: &Path) -> Result<()> {
    println!("file          GB   load s   load + read all s   anonymous / file   resident at most / file");
    for dtype in [DType::F32, DType::F16, DType::BF16, DType::F64] {
        let path = folder.join(format!("tnas-loading-{dtype}.safetensors"));
        write(&path, dtype, parameters)?;
        let bytes = fs::metadata(&path)?.len() as f64;
        std::io::copy(&mut fs::File::open(&path)?, &mut std::io::sink())?;
        let [load, all, anonymous, resident] = medians(&["load", &path.display().to_string()])?;
        println!(
            "{dtype:<9} {:6.2} {load:8.4} {all:19.3} {:18.4} {:25.4}",
            bytes / 1e9,
            anonymous / bytes,
            resident / bytes
        );
        if dtype == DType::F32 {
            let to = folder.join("tnas-loading-saved.safetensors");
            let [seconds, peak, ..] = medians(&["save", &path.display().to_string(), &to.display().to_string()])?;
            println!(
                "{:<9} {:6.2} {seconds:8.4} s, anonymous at most {:.4} of the file",
                "saved",
                bytes / 1e9,
                peak / bytes
            );
            let same = same_files(&path, &to)?;
            println!("what was saved and the original {}", if same { "are the same bytes" } else { "DIFFER" });
            fs::remove_file(to)?;
        }
        fs::remove_file(path)?;
    }
    Ok(())
}

/// Each of the numbers that so many processes print, its median.
fn medians(arguments: &[&str]) -> Result<[f64; 4]> {
    let mut runs = Vec::new();
    for _ in 0..RUNS {
        let output = Command::new(env::current_exe()?).args(arguments).output()?;
        let text = String::from_utf8(output.stdout)?;
        let numbers: Vec<f64> = text.split_whitespace().map(str::parse).collect::<std::result::Result<_, _>>()?;
        let numbers: [f64; 4] =
            numbers.try_into().map_err(|_| String::from_utf8_lossy(&output.stderr).into_owned())?;
        runs.push(numbers);
    }
    Ok(std::array::from_fn(|index| {
        let mut column: Vec<f64> = runs.iter().map(|run| run[index]).collect();
        column.sort_by(f64::total_cmp);
        column[RUNS / 2]
    }))
}

/// Prints seconds to load, seconds to load and read every number, bytes of anonymous memory
/// after loading and of resident memory at most meanwhile.
fn load(path: &Path) -> Result<()> {
    let device = open_device("cpu")?;
    let (before, started) = (memory("RssAnon")?, Instant::now());
    let parameters = Parameters::load(&WeightFiles::open_file(path)?, &device)?;
    let seconds = started.elapsed().as_secs_f64();
    let (anonymous, resident) = (memory("RssAnon")? - before, memory("VmHWM")?);
    for (_, parameter) in parameters.iter() {
        black_box(parameter.flat.clone().max().into_scalar::<f32>());
    }
    let all = started.elapsed().as_secs_f64();
    println!("{seconds} {all} {anonymous} {resident}");
    Ok(())
}

/// Prints seconds to save and the largest anonymous memory meanwhile.
fn save(path: &Path, to: &Path) -> Result<()> {
    let device = open_device("cpu")?;
    let parameters = Parameters::load(&WeightFiles::open_file(path)?, &device)?;
    let started = Instant::now();
    let saving = std::sync::atomic::AtomicBool::new(true);
    let peak = std::thread::scope(|scope| -> Result<f64> {
        let watch = scope.spawn(|| {
            let mut peak = 0.0f64;
            while saving.load(std::sync::atomic::Ordering::Relaxed) {
                peak = peak.max(memory("RssAnon").unwrap_or(0.0));
                std::thread::sleep(std::time::Duration::from_millis(2));
            }
            peak
        });
        let saved = parameters.save(to, &BTreeMap::new());
        saving.store(false, std::sync::atomic::Ordering::Relaxed);
        saved?;
        Ok(watch.join().unwrap_or(f64::NAN))
    })?;
    println!("{} {peak} 0 0", started.elapsed().as_secs_f64());
    Ok(())
}

fn same_files(a: &Path, b: &Path) -> Result<bool> {
    let (a, b) = (WeightFiles::open_file(a)?, WeightFiles::open_file(b)?);
    let same =
        |name: &str| -> Result<bool> { Ok(a.bytes(name)? == b.bytes(name)? && a.info(name)? == b.info(name)?) };
    let mut all = a.names().eq(b.names());
    for name in a.names() {
        all &= same(name)?;
    }
    Ok(all)
}

/// Bytes that the system reports of this process.
fn memory(field: &str) -> Result<f64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line =
        status.lines().find_map(|line| line.strip_prefix(field)).ok_or("no such line in /proc/self/status")?;
    Ok(1024.0 * line.trim_matches(|c: char| !c.is_ascii_digit()).parse::<f64>()?)
}

/// Layers as a large UNet has them: 3×3 convolutions, linear layers, biases.
fn write(path: &Path, dtype: DType, parameters: usize) -> Result<()> {
    let shapes: [&[usize]; 3] = [&[1280, 1280, 3, 3], &[1280, 1280], &[1280]];
    let (mut layout, mut left) = (Layout::new(), parameters);
    for index in 0.. {
        let fitting = shapes[index % shapes.len()..].iter().find(|shape| shape.iter().product::<usize>() <= left);
        let Some(shape) = fitting else { break };
        left -= shape.iter().product::<usize>();
        layout.insert(format!("layer.{index:05}.weight"), TensorInfo { dtype, shape: shape.to_vec() });
    }
    let mut writer = SafeTensorsWriter::create(path, &layout, &BTreeMap::new())?;
    let mut random = stream(1, "loading", 0);
    while let Some(name) = writer.expects().map(str::to_owned) {
        let elements: usize = layout[&name].shape.iter().product();
        let mut bytes = vec![0; elements * dtype.size_bytes()];
        random.fill_bytes(&mut bytes);
        // From 0.5 to 1: sign and exponent fixed, the fraction drawn.
        let (keep, exponent): (u64, u64) = match dtype {
            DType::F16 => (0x03ff, 0x3800),
            DType::BF16 => (0x007f, 0x3f00),
            DType::F64 => (0x000f_ffff_ffff_ffff, 0x3fe0_0000_0000_0000),
            _ => (0x007f_ffff, 0x3f00_0000),
        };
        for number in bytes.chunks_mut(dtype.size_bytes()) {
            for (place, byte) in number.iter_mut().enumerate() {
                *byte = *byte & (keep >> (8 * place)) as u8 | (exponent >> (8 * place)) as u8;
            }
        }
        writer.write(&name, &bytes)?;
    }
    Ok(writer.commit()?)
}
