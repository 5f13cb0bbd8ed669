//! What single fields of a study cannot say.

use std::path::Path;

use tnas_network::open_device;
use tnas_record::{ObjectiveName, Source};
use tnas_training::SpatialWeights;

use super::{DataKind, Study};

impl Study {
    /// Checks what single fields cannot say.
    pub fn validate(&self, file: &Path) -> anyhow::Result<()> {
        let fail = |message: String| anyhow::bail!("use study {}: {message}", file.display());
        if self.name.is_empty() || self.name.contains(['/', '\\', '.']) {
            return fail(format!("name = {:?} must be a plain folder name", self.name));
        }
        if self.data.kind == DataKind::Videofolder && self.data.path.is_none() {
            return fail("data.path is missing: the folder with train/ and val/, e.g. --set data.path=DIR".into());
        }
        if self.data.kind == DataKind::MovingMnist && self.data.path.is_none() {
            return fail("data.path is missing: the folder of MNIST's files, e.g. --set data.path=DIR".into());
        }
        if !(0.0..=1.0).contains(&self.data.max_broken) {
            return fail(format!("data.max_broken = {} must be a fraction, of 0 to 1", self.data.max_broken));
        }
        for (name, value) in [("loading.ahead", self.loading.ahead), ("loading.workers", self.loading.workers)] {
            if !(1..=1024).contains(&value) {
                return fail(format!("{name} = {value} must be of 1 to 1024"));
            }
        }
        if self.data.frames == 0 || self.data.size < 8 {
            return fail(format!("data.frames = {}, data.size = {}", self.data.frames, self.data.size));
        }
        let profile = &self.profile;
        if profile.samples.is_some_and(|samples| samples < profile.held_out + 2) {
            let (samples, held_out) = (profile.samples.unwrap_or_default(), profile.held_out);
            return fail(format!(
                "profile.samples = {samples} leaves less than 2 beside profile.held_out = {held_out}"
            ));
        }
        if !(profile.max_noise > 0.0 && (0.0..=1.0).contains(&profile.repeat_fraction) && profile.threads > 0) {
            return fail(format!(
                "profile.max_noise = {} must be above 0, profile.repeat_fraction = {} from 0 to 1, profile.threads = {} above 0",
                profile.max_noise, profile.repeat_fraction, profile.threads
            ));
        }
        for (name, value) in [
            ("supernet.training.batch", self.supernet.training.batch),
            ("finetune.batch", self.finetune.batch),
            ("distill.batch", self.distill.batch),
            ("search.batch", self.search.batch),
            ("search.clips", self.search.clips),
            ("samples.batch", self.samples.batch),
            ("watch.clips", self.watch.clips),
            ("watch.steps", self.watch.steps),
        ] {
            if value == 0 {
                return fail(format!("{name} must not be 0"));
            }
        }
        for (name, stability) in [
            ("backbone.training", &self.backbone.training.stability),
            ("supernet.training", &self.supernet.training.stability),
            ("finetune", &self.finetune.stability),
            ("distill", &self.distill.stability),
        ] {
            if let Err(message) = stability.check() {
                return fail(format!("{name}.stability: {message}"));
            }
        }
        self.validate_recipe().or_else(fail)?;
        for (name, patience) in [
            ("backbone.training", self.backbone.training.stability.patience),
            ("distill", self.distill.stability.patience),
        ] {
            if patience > 0 {
                return fail(format!(
                    "{name}.stability.patience = {patience}: this stage has no held-out loss to stop early by; take it out \
                     (supernet.training and finetune have one)"
                ));
            }
        }
        if let Err(message) = self.compare.check() {
            return fail(format!("compare.{message}"));
        }
        if let Err(message) = self.distill.check() {
            return fail(format!("distill: {message}"));
        }
        if let Err(message) = self.evaluator.check() {
            return fail(message);
        }
        self.validate_objectives().or_else(fail)?;
        let sigmas = self.search.limit_sigmas;
        if !(sigmas >= 0.0 && sigmas.is_finite()) {
            return fail(format!("search.limit_sigmas = {sigmas} must be 0 or more"));
        }
        if self.search.population < 4 || self.search.population % 2 == 1 {
            return fail(format!("search.population = {} must be even and at least 4", self.search.population));
        }
        Ok(())
    }

    /// Checks what is searched, and what is asked of it by name.
    fn validate_objectives(&self) -> Result<(), String> {
        let searched = self.search.objectives.set();
        if let Some((name, limit)) = self.limits.iter().find(|(_, limit)| *limit <= 0.0) {
            return Err(format!("limits.{name} = {limit} must be above 0"));
        }
        if let Some(point) = &self.search.reference_point {
            let values = point.values();
            if !point.is_of(&searched) {
                let names: Vec<&str> = searched.iter().map(|objective| &*objective.name).collect();
                return Err(format!(
                    "search.reference_point = {values:?} must have a number for each of search.objectives: {}",
                    names.join(", ")
                ));
            }
            if let Some((name, x)) = values.iter().find(|(_, x)| **x <= 0.0) {
                return Err(format!("search.reference_point.{name} = {x} must be above 0"));
            }
        }
        let named = self.winner.bounds.iter().map(|(name, _)| name).chain(self.winner.of);
        let recorded = |name: &ObjectiveName| {
            searched.get(name.as_str()).is_some() || name.objective().source == Source::Counted
        };
        match named.into_iter().find(|name| !recorded(name)) {
            Some(name) => Err(format!(
                "winner asks for {name}, which the search does not look at: add it to search.objectives"
            )),
            None => Ok(()),
        }
    }

    /// Checks how the stages train.
    fn validate_recipe(&self) -> Result<(), String> {
        let (backbone, supernet, finetune) = (&self.backbone.training, &self.supernet.training, &self.finetune);
        for (name, flow) in [
            ("backbone.training.flow", &backbone.flow),
            ("supernet.training.flow", &supernet.flow),
            ("finetune.flow", &finetune.flow),
            ("search.flow", &self.search.flow),
        ] {
            flow.check().map_err(|message| format!("{name}.{message}"))?;
        }
        for (name, accumulate, devices) in [
            ("backbone.training", backbone.accumulate, &backbone.devices),
            ("supernet.training", supernet.accumulate, &supernet.devices),
            ("finetune", finetune.accumulate, &finetune.devices),
        ] {
            if !(1..=65_536).contains(&accumulate) {
                return Err(format!("{name}.accumulate = {accumulate} must be of 1 (no accumulation) to 65536"));
            }
            for device in devices {
                open_device(device).map_err(|error| format!("{name}.devices = {devices:?}: {error}"))?;
            }
        }
        for (name, images) in [
            ("supernet.training", supernet.images),
            ("finetune", finetune.images),
            ("distill", self.distill.images),
        ] {
            if !(0.0..=1.0).contains(&images) {
                return Err(format!("{name}.images = {images} must be a fraction of the steps, of 0 to 1"));
            }
        }
        if !(0.0..=1.0).contains(&self.noise.shared) {
            return Err(format!(
                "noise.shared = {} must be a fraction of the variance, of 0 to 1",
                self.noise.shared
            ));
        }
        if !(0.0..=1.0).contains(&finetune.first_frame) {
            return Err(format!(
                "finetune.first_frame = {} must be a fraction of the clips, of 0 to 1",
                finetune.first_frame
            ));
        }
        let features = supernet.feature_distillation;
        if !(features >= 0.0 && features.is_finite()) {
            return Err(format!("supernet.training.feature_distillation = {features} must be 0 or more"));
        }
        match supernet.spatial {
            SpatialWeights::Lora(0) => {
                Err("supernet.training.spatial.lora = 0 must be at least 1, or \"frozen\"".into())
            }
            SpatialWeights::Slow(rate) if !(rate > 0.0 && rate.is_finite()) => {
                Err(format!("supernet.training.spatial.slow = {rate} must be above 0, or \"frozen\""))
            }
            _ if finetune.lora_rank > 0 && finetune.spatial_rate == 0.0 => Err(format!(
                "finetune.lora_rank = {} with spatial_rate = 0 would train nothing; set spatial_rate to 1",
                finetune.lora_rank
            )),
            _ => Ok(()),
        }
    }
}
