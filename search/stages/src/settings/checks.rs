//! What the types of single settings cannot express. Every error points at the place where the setting was written.

use tnas_record::{ObjectiveName, Source};
use tnas_space::Genotype;
use tnas_study::{SettingsError, SettingsSource};
use tnas_training::{SettingError, SpatialWeights};

use super::{DataKind, SampleSettings, Study};

type Checked = Result<(), SettingError>;

/// An error about a key; the reason follows it in the message.
fn wrong(key: &str, reason: impl Into<String>) -> Checked {
    Err(SettingError::new(key, reason))
}

impl Study {
    /// Checks what the types of single settings cannot express; `source` knows where each was written.
    pub fn validate(&self, source: &SettingsSource) -> Result<(), SettingsError> {
        let checks = [
            Self::check_data,
            Self::check_counts,
            Self::check_profile,
            Self::check_training,
            Self::check_fractions,
            Self::check_spatial,
            Self::check_search,
            Self::check_objectives,
            Self::check_genotypes,
        ];
        let first = checks.iter().try_for_each(|check| check(self));
        first.map_err(|error| source.error(&error.key, error.to_string()))
    }

    fn check_data(&self) -> Checked {
        let data = &self.data;
        if self.name.is_empty() || self.name.contains(['/', '\\', '.']) {
            return wrong("name", format!("= {:?} must be a plain folder name", self.name));
        }
        let folder = match data.kind {
            DataKind::Shapes => None,
            DataKind::Videofolder => Some("the folder with train/ and val/"),
            DataKind::MovingMnist => Some("the folder of MNIST's files"),
        };
        if let Some(folder) = folder.filter(|_| data.path.is_none()) {
            return wrong("data.path", format!("is missing: {folder}, e.g. --set data.path=DIR"));
        }
        if data.frames == 0 {
            return wrong("data.frames", "= 0 must be at least 1");
        }
        if data.size < 8 {
            return wrong("data.size", format!("= {} must be at least 8 pixels", data.size));
        }
        for (key, value) in [("loading.ahead", self.loading.ahead), ("loading.workers", self.loading.workers)] {
            if !(1..=1024).contains(&value) {
                return wrong(key, format!("= {value} must be from 1 to 1024"));
            }
        }
        Ok(())
    }

    /// Checks what must not be 0.
    fn check_counts(&self) -> Checked {
        let counts = [
            ("data.train_clips", self.data.train_clips.unwrap_or(1)),
            ("data.validation_clips", self.data.validation_clips.unwrap_or(1)),
            ("evaluator.batch", self.evaluator.batch),
            ("evaluator.width", self.evaluator.width),
            ("search.batch", self.search.batch),
            ("search.clips", self.search.clips),
            ("search.compared_clips", self.search.compared_clips),
            ("samples.batch", self.samples.batch),
            ("samples.many_steps", self.samples.many_steps),
            ("samples.upscale", self.samples.upscale),
            ("watch.clips", self.watch.clips),
            ("watch.steps", self.watch.steps),
            ("profile.threads", self.profile.threads),
            ("profile.anchor_every", self.profile.anchor_every),
        ];
        if let Some((key, _)) = counts.into_iter().find(|&(_, count)| count == 0) {
            return wrong(key, "= 0 must be at least 1");
        }
        let evaluated = self.samples.evaluated;
        if evaluated < SampleSettings::LEAST_CLIPS {
            let reason = format!(
                "= {evaluated} must be at least {}: fewer clips have no distances and no intervals",
                SampleSettings::LEAST_CLIPS
            );
            return wrong("samples.evaluated", reason);
        }
        Ok(())
    }

    fn check_profile(&self) -> Checked {
        let profile = &self.profile;
        if let Some(samples) = profile.samples.filter(|&samples| samples < profile.held_out + 2) {
            let reason =
                format!("= {samples} must be at least 2 more than profile.held_out = {}", profile.held_out);
            return wrong("profile.samples", reason);
        }
        crate::measuring::runtimes::check(profile).map_err(|error| error.within("profile"))?;
        // Not a number is not above 0 either.
        if !matches!(profile.max_noise.partial_cmp(&0.0), Some(std::cmp::Ordering::Greater)) {
            return wrong("profile.max_noise", format!("= {} must be above 0", profile.max_noise));
        }
        Ok(())
    }

    /// Checks how the stages train.
    fn check_training(&self) -> Checked {
        for (table, recipe, held_out) in [
            ("backbone.training", &self.backbone.training, false),
            ("supernet.training", &self.supernet.training, true),
            ("finetune.training", &self.finetune.training, true),
            ("distill.training", &self.distill.training, false),
        ] {
            recipe.check().map_err(|error| error.within(table))?;
            let patience = recipe.stability.patience;
            if patience > 0 && !held_out {
                let reason = format!(
                    "= {patience}: this stage has no held-out loss to stop early by; leave it out (supernet.training and \
                     finetune.training have one)"
                );
                return wrong(&format!("{table}.stability.patience"), reason);
            }
        }
        let images = self.backbone.training.images;
        if images > 0.0 {
            let reason = format!("= {images}: the backbone trains on single frames alone; leave it out");
            return wrong("backbone.training.images", reason);
        }
        self.search.flow.check().map_err(|error| error.within("search.flow"))?;
        self.distill.check().map_err(|error| error.within("distill"))?;
        self.evaluator.check().map_err(|error| error.within("evaluator"))?;
        self.compare.check().map_err(|error| error.within("compare"))
    }

    /// Checks what must be from 0 to 1.
    fn check_fractions(&self) -> Checked {
        for (key, value, of) in [
            ("data.max_broken", self.data.max_broken, "files"),
            ("profile.repeat_fraction", self.profile.repeat_fraction, "architectures"),
            ("finetune.first_frame", self.finetune.first_frame, "clips"),
            ("noise.shared", self.noise.shared, "variance"),
            ("evaluator.hidden", self.evaluator.hidden, "clips"),
        ] {
            if !(0.0..=1.0).contains(&value) {
                return wrong(key, format!("= {value} must be a fraction of the {of}, from 0 to 1"));
            }
        }
        Ok(())
    }

    /// Checks how the image weights train.
    fn check_spatial(&self) -> Checked {
        let (supernet, finetune) = (&self.supernet, &self.finetune);
        let features = supernet.feature_distillation;
        if !(features >= 0.0 && features.is_finite()) {
            return wrong("supernet.feature_distillation", format!("= {features} must be 0 or more"));
        }
        match supernet.spatial {
            SpatialWeights::Lora(0) => {
                wrong("supernet.spatial.lora", "= 0 must be at least 1, or spatial = \"frozen\"")
            }
            SpatialWeights::Slow(rate) if !(rate > 0.0 && rate.is_finite()) => {
                let reason = format!("= {rate} must be above 0, or spatial = \"frozen\"");
                wrong("supernet.spatial.slow", reason)
            }
            _ if finetune.lora_rank > 0 && finetune.spatial_rate == 0.0 => {
                let rank = finetune.lora_rank;
                let reason = format!("= {rank} with spatial_rate = 0 would train nothing; set spatial_rate to 1");
                wrong("finetune.lora_rank", reason)
            }
            _ => Ok(()),
        }
    }

    fn check_search(&self) -> Checked {
        let search = &self.search;
        let sigmas = search.limit_sigmas;
        if !(sigmas >= 0.0 && sigmas.is_finite()) {
            return wrong("search.limit_sigmas", format!("= {sigmas} must be 0 or more"));
        }
        if search.population < 4 || search.population % 2 == 1 {
            let reason = format!("= {} must be even and at least 4", search.population);
            return wrong("search.population", reason);
        }
        Ok(())
    }

    /// Checks what is searched, and what is asked of it by name.
    fn check_objectives(&self) -> Checked {
        let searched = self.search.objectives.set();
        if let Some((name, limit)) = self.limits.iter().find(|(_, limit)| !(*limit > 0.0 && limit.is_finite())) {
            return wrong(&format!("limits.{name}"), format!("= {limit} must be above 0"));
        }
        if let Some(point) = &self.search.reference_point {
            let values = point.values();
            if !point.is_of(&searched) {
                let names: Vec<&str> = searched.iter().map(|objective| &*objective.name).collect();
                let reason =
                    format!("= {values:?} must have a number for each of search.objectives: {}", names.join(", "));
                return wrong("search.reference_point", reason);
            }
            if let Some((name, x)) = values.iter().find(|(_, x)| !(**x > 0.0 && x.is_finite())) {
                return wrong(&format!("search.reference_point.{name}"), format!("= {x} must be above 0"));
            }
        }
        let bounds = self.winner.bounds.iter().map(|(name, _)| (format!("winner.{name}"), name));
        let recorded = |name: &ObjectiveName| {
            searched.get(name.as_str()).is_some() || name.objective().source == Source::Counted
        };
        let named = bounds.chain(self.winner.of.map(|name| ("winner.of".to_owned(), name)));
        match named.into_iter().find(|(_, name)| !recorded(name)) {
            Some((key, name)) => {
                wrong(&key, format!("asks for {name}, which is not searched: add it to search.objectives"))
            }
            None => Ok(()),
        }
    }

    /// Reads the genotypes, of which slots are known later.
    fn check_genotypes(&self) -> Checked {
        let teacher = self.supernet.teacher.iter().map(|text| ("supernet.teacher".to_owned(), text));
        let arms = self.compare.arms.iter().map(|(name, text)| (format!("compare.arms.{name}"), text));
        for (key, text) in teacher.chain(arms) {
            text.parse::<Genotype>().map_err(|error| SettingError::new(key, format!("= {text:?}: {error}")))?;
        }
        Ok(())
    }
}
