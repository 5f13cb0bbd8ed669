//! What single fields of a study cannot say.

use std::path::Path;

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
        crate::measuring::runtimes::check(profile).or_else(fail)?;
        if profile.onnxruntime.is_some() {
            eprintln!("warning: the setting profile.onnxruntime is now profile.libraries.onnxruntime");
        }
        for (name, value) in [
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
        self.validate_recipes().or_else(fail)?;
        if let Err(message) = self.compare.check() {
            return fail(format!("compare.{message}"));
        }
        if let Err(error) = self.distill.check() {
            return fail(error.within("distill").to_string());
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
    fn validate_recipes(&self) -> Result<(), String> {
        let (supernet, finetune) = (&self.supernet, &self.finetune);
        let recipes = [
            ("backbone.training", &self.backbone.training),
            ("supernet.training", &supernet.training),
            ("finetune.training", &finetune.training),
            ("distill.training", &self.distill.training),
        ];
        for (name, recipe) in recipes {
            recipe.check().map_err(|error| error.within(name).to_string())?;
            let patience = recipe.stability.patience;
            if patience > 0 && matches!(name, "backbone.training" | "distill.training") {
                return Err(format!(
                    "{name}.stability.patience = {patience}: this stage has no held-out loss to stop early by; take it out \
                     (supernet.training and finetune.training have one)"
                ));
            }
        }
        if self.backbone.training.images > 0.0 {
            return Err(format!(
                "backbone.training.images = {}: the backbone trains on single frames alone; take it out",
                self.backbone.training.images
            ));
        }
        self.search.flow.check().map_err(|error| error.within("search.flow").to_string())?;
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
            return Err(format!("supernet.feature_distillation = {features} must be 0 or more"));
        }
        match supernet.spatial {
            SpatialWeights::Lora(0) => Err("supernet.spatial.lora = 0 must be at least 1, or \"frozen\"".into()),
            SpatialWeights::Slow(rate) if !(rate > 0.0 && rate.is_finite()) => {
                Err(format!("supernet.spatial.slow = {rate} must be above 0, or \"frozen\""))
            }
            _ if finetune.lora_rank > 0 && finetune.spatial_rate == 0.0 => Err(format!(
                "finetune.lora_rank = {} with spatial_rate = 0 would train nothing; set spatial_rate to 1",
                finetune.lora_rank
            )),
            _ => Ok(()),
        }
    }
}
