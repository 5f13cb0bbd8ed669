//! What was computed, as what is recorded: the computing crates do not know the records, nor the records those crates.

use tnas_evaluation::{Memorisation, Spread};
use tnas_evolution::StopReason;
use tnas_latency::{Accuracy, MemoryPredictor, Quantity, SourceAgreement};
use tnas_models::EvaluatorNetwork;
use tnas_schedulers::Sampler;
use tnas_training::{Band, LoadTimes};

/// Agreement of predictions with measurements.
pub fn accuracy(found: &Accuracy) -> tnas_record::Accuracy {
    let Accuracy { count, mape, within_5pct, within_10pct, spearman, kendall, r2, coverage } = *found;
    tnas_record::Accuracy { count, mape, within_5pct, within_10pct, spearman, kendall, r2, coverage }
}

/// Name of a clock.
pub fn clock(quantity: Quantity) -> String {
    match quantity {
        Quantity::Cpu => "cpu".into(),
        Quantity::Wall => "wall".into(),
    }
}

/// Coefficients of the memory model.
pub fn memory(model: &MemoryPredictor) -> tnas_record::MemoryModel {
    let MemoryPredictor { base_bytes, per_parameter_byte, per_activation_byte, fit_mape, too_much_bytes } = *model;
    tnas_record::MemoryModel { base_bytes, per_parameter_byte, per_activation_byte, fit_mape, too_much_bytes }
}

/// A device that was learned from.
pub fn similar_device(source: &SourceAgreement) -> tnas_record::SimilarDevice {
    tnas_record::SimilarDevice { device: source.device.clone(), agreement: source.agreement }
}

/// Losses by band of time.
pub fn bands(bands: &[Band]) -> Vec<tnas_record::Band> {
    let band = |&Band { from, to, mean, clips }: &Band| tnas_record::Band { from, to, mean, clips };
    bands.iter().map(band).collect()
}

/// Waiting for batches.
pub fn loading(times: LoadTimes) -> tnas_record::LoadingTimes {
    tnas_record::LoadingTimes {
        batches: times.batches,
        seconds: times.elapsed.as_secs_f64(),
        waited_seconds: times.waited.as_secs_f64(),
        waited_fraction: times.waited_fraction(),
    }
}

/// A statistic with its error and interval.
pub fn spread(Spread { estimate, standard_error, low, high }: Spread) -> tnas_record::Spread {
    tnas_record::Spread { estimate, standard_error, low, high }
}

/// Distances to training clips.
pub fn memorisation(found: &Memorisation) -> tnas_record::Memorisation {
    tnas_record::Memorisation {
        median: found.median,
        held_out_median: found.held_out_median,
        ratio: found.ratio,
        below_1st: found.below_1st,
        below_1st_interval: found.below_1st_interval,
        below_5th: found.below_5th,
        below_5th_interval: found.below_5th_interval,
        copies: found.copies,
    }
}

/// Geometry of an evaluator's network.
pub fn network(network: &EvaluatorNetwork) -> tnas_record::PublishedNetwork {
    let EvaluatorNetwork { size, frames, width, classes, colours } = network.clone();
    tnas_record::PublishedNetwork { size, frames, width, classes, colours }
}

/// A sampler.
pub fn sampler(sampler: Sampler) -> tnas_record::Sampler {
    match sampler {
        Sampler::Euler => tnas_record::Sampler::Euler,
        Sampler::Renoise => tnas_record::Sampler::Renoise,
    }
}

/// The sampler of a record.
pub fn sampler_of(sampler: tnas_record::Sampler) -> Sampler {
    match sampler {
        tnas_record::Sampler::Euler => Sampler::Euler,
        tnas_record::Sampler::Renoise => Sampler::Renoise,
    }
}

/// Why a search ended.
pub fn stop_reason(reason: StopReason) -> tnas_record::StopReason {
    match reason {
        StopReason::GenerationLimit(generations) => tnas_record::StopReason::GenerationLimit(generations),
        StopReason::HypervolumeStalled { generations } => {
            tnas_record::StopReason::HypervolumeStalled { generations }
        }
        StopReason::SpaceExhausted => tnas_record::StopReason::SpaceExhausted,
    }
}
