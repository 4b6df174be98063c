//! What is believed of the choices of one key, and which of them to try next.
//!
//! Coordinate descent first where nothing is known: cheap, and every step explains itself. A
//! Gaussian process as soon as there is something to learn from, at once where a cheaper source says
//! something of every choice; a forest where the process cannot be had. Whoever proposed a choice,
//! its trial is told here. All times are logarithms of ratios to untuned NCCL. The model neither
//! measures nor decides; what it says is a candidate like any other.

use std::collections::{BTreeMap, BTreeSet};

use ccl_core::Choice;
use ccl_search::surrogate::{
    BayesianSearch, Posterior, Settings, Source, Surrogate, SurrogateError,
    log_expected_improvement,
};
use ccl_search::{ChoiceSpace, Forest, ForestOptions, KeySearch, Point, Pruning, Space};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// Trials told before a Gaussian process without any source is asked: with fewer, the descent's
/// next step is as good and can be explained.
const DESCENT_TRIALS: usize = 8;
/// Deviation of what is believed of a choice that no model can say anything of, logarithm.
const NO_IDEA: f64 = 0.2;

/// Nobody suggests what is feared to take this many times as long anyway, a logarithm.
const FEARED_AT_MOST: f64 = 1.0;
/// Logarithm of the ratio that nobody expects to see exceeded: ten.
const UNKNOWN: f64 = std::f64::consts::LN_10;
/// No observation is more precise than this, a variance of logarithms.
const LEAST_VARIANCE: f64 = 1e-9;

/// How far the ratio of two choices' times misses, in a simulator that knows the machine by its data
/// sheet: between a quarter and the whole of what its absolute times miss (doc/model-validation.md).
const SIMULATOR_MISSES: f64 = 0.03;

/// The same between algorithms and protocols: each has figures of its own there.
const PAIRS_MISS: f64 = 0.10;
/// The same between channel counts of one of them, and between chunks: where a cliff lies is a matter of a
/// machine's own figures.
const CHANNELS_MISS: f64 = 0.03;
const CHUNK_MISS: f64 = 0.01;

/// Logarithms of time ratios to untuned NCCL that a cheaper source gives.
pub struct CheapFigures {
    /// Its name, for people.
    pub name: String,
    /// Choice to logarithm.
    pub figures: BTreeMap<Choice, f64>,
    /// How much of what it misses of a call shows in them, 0..=1.
    pub misses: f64,
}

/// Choices that were observed somewhere else than in this job: by an earlier run, or outside the job.
#[derive(Clone, Debug, PartialEq)]
pub struct Elsewhere {
    /// Where, for people.
    pub name: String,
    /// Choices with the logarithm of their time over untuned NCCL's there, and its variance as a figure of
    /// this job: that of the measurement, and of how far the two places differ.
    pub observations: Vec<(Choice, f64, f64)>,
    /// Whether it was another run: no measurement of this one is believed or doubted for its sake.
    pub is_remembered: bool,
}

/// One choice worth a trial.
#[derive(Clone, Debug, PartialEq)]
pub struct Suggestion {
    /// The choice.
    pub choice: Choice,
    /// One sentence.
    pub because: String,
    /// What is believed of it.
    pub belief: Posterior,
}

/// What is known of a choice from trials beside one incumbent.
#[derive(Clone, Debug, PartialEq)]
pub struct Observation {
    /// What was tried.
    pub choice: Choice,
    /// What ran beside it, where it was not NCCL's own choice.
    pub beside: Option<Choice>,
    /// Logarithm of its time over untuned NCCL's; infinite where it failed.
    pub log_ratio: f64,
    /// Variance of that.
    pub variance: f64,
}

/// The model of one key.
pub struct KeyModel {
    choices: ChoiceSpace,
    descent: KeySearch,
    process: BayesianSearch,
    rng: ChaCha8Rng,
    observations: Vec<Observation>,
    /// What the key runs, where it is not NCCL's own choice.
    incumbent: Option<Choice>,
    /// What NCCL runs by itself.
    own: Option<Choice>,
    /// The first source and what it says.
    screened_by: Option<String>,
    figures: BTreeMap<Point, f64>,
    /// Choices timed outside the job, with the upper end of what that says of the logarithm.
    outside: Vec<(Choice, f64)>,
    /// Models in front that know an earlier run, and whether there ever were any.
    remembering: usize,
    has_remembered: bool,
    pruning: Pruning,
    /// Observations when what is left out was reviewed last.
    reviewed: usize,
}

impl KeyModel {
    /// A model of a space, around what NCCL runs, with cheaper sources, the one believed first in
    /// front, and on top of them what was observed elsewhere: first what is believed last, what is
    /// remembered at the end.
    pub fn new(
        space: Space,
        untuned: Option<Choice>,
        sources: Vec<CheapFigures>,
        elsewhere: &[Elsewhere],
        seed: u64,
    ) -> Self {
        let choices = ChoiceSpace::new(&space);
        let by_point = |cheap: &CheapFigures| -> BTreeMap<Point, f64> {
            let figures = cheap.figures.iter();
            figures
                .filter_map(|(choice, figure)| Some((choices.point(choice)?.clone(), *figure)))
                .collect()
        };
        let first = sources.first().map(by_point).unwrap_or_default();
        let screened_by = sources.first().map(|cheap| cheap.name.clone());
        let sources = sources.into_iter().map(|cheap| {
            let misses = cheap.misses;
            let figures = by_point(&cheap);
            Source::new(cheap.name, choices.mixed(), move |point| {
                figures.get(point).copied()
            })
            .accurate_to(SIMULATOR_MISSES * misses)
            .missing_by_group(PAIRS_MISS * misses, |point| group(point, &[0, 1]))
            .missing_by_group(CHANNELS_MISS * misses, |point| group(point, &[0, 1, 2, 3]))
            .missing_by_group(CHUNK_MISS * misses, |point| group(point, &[0, 1, 4, 5]))
        });
        let rng = ChaCha8Rng::seed_from_u64(seed);
        let settings = Settings {
            initial: 0,
            ..Settings::default()
        };
        let mut process = BayesianSearch::new(
            choices.mixed().clone(),
            sources.collect(),
            settings,
            rng.clone(),
        );
        // What NCCL runs is the unit of everything else.
        let runs = untuned.map(|own| as_nccl_would(&choices, &own, untuned));
        if let Some(point) = runs.and_then(|runs| choices.point(&runs)) {
            process.tell_noisy(point, 0.0, 0.0);
        }
        let outside = elsewhere.iter().filter(|place| !place.is_remembered);
        let outside = outside.flat_map(|place| &place.observations);
        let outside = outside
            .map(|(choice, mean, variance)| {
                let (mean, variance) = (*mean, *variance);
                (*choice, upper(Posterior { mean, variance }))
            })
            .collect();
        let mut remembering = 0;
        for place in elsewhere {
            let of_space = place.observations.iter();
            let of_space: Vec<(Point, f64, f64)> = of_space
                .filter_map(|(choice, log, variance)| {
                    let written = as_nccl_would(&choices, choice, untuned);
                    Some((choices.point(&written)?.clone(), *log, *variance))
                })
                .collect();
            let is_told = process.tell_elsewhere(&place.name, &of_space);
            remembering += usize::from(is_told && place.is_remembered);
        }
        Self {
            descent: KeySearch::new(space, untuned),
            pruning: Pruning::new(choices.mixed().clone()),
            reviewed: 0,
            screened_by,
            figures: first,
            remembering,
            has_remembered: remembering > 0,
            outside,
            choices,
            process,
            rng,
            observations: Vec::new(),
            incumbent: None,
            own: untuned,
        }
    }

    /// The one name of a choice.
    fn written(&self, choice: &Choice) -> Choice {
        as_nccl_would(&self.choices, choice, self.own)
    }

    /// Where a choice lies: what is the same by another name lies where it lies.
    fn point_of(&self, choice: &Choice) -> Option<&Point> {
        self.choices.point(&self.written(choice))
    }

    /// What the key runs, where it is a point of the space.
    fn running_point(&self) -> Option<&Point> {
        self.point_of(&self.incumbent.or(self.own)?)
    }

    /// Where it searches.
    pub fn space(&self) -> &Space {
        self.descent.space()
    }

    /// The cheaper source that is believed at present.
    pub fn source(&self) -> Option<&str> {
        self.process.source()
    }

    /// Whether a source that speaks of every choice is believed: nobody needs to fear the worst then.
    pub fn is_informed(&self) -> bool {
        self.screened_by.is_some() && self.source().is_some()
    }

    /// Whether it began with an earlier run, whatever became of that.
    pub fn has_remembered(&self) -> bool {
        self.has_remembered
    }

    /// Forgets what earlier runs measured; whether it was believed until now.
    pub fn forget_earlier_runs(&mut self) -> bool {
        let was_believed = self.process.in_use().0 < self.remembering;
        self.process.drop_first(self.remembering);
        self.remembering = 0;
        was_believed
    }

    /// What is believed of a choice, as the logarithm of its time over the incumbent's; `None`
    /// where no model says anything yet.
    pub fn belief(&self, choice: &Choice) -> Option<Posterior> {
        self.belief_without(0, choice)
    }

    /// The same by what is known of this job alone, earlier runs aside: what a measurement is judged with.
    pub fn own_belief(&self, choice: &Choice) -> Option<Posterior> {
        self.belief_without(self.remembering, choice)
    }

    /// Upper end of what is believed of a choice, with an earlier run or without, whichever is worse: a
    /// logarithm over the incumbent's time.
    pub fn feared(&self, choice: &Choice) -> Option<f64> {
        let believed = upper(self.belief(choice)?);
        Some(
            self.own_belief(choice)
                .map_or(believed, |own| believed.max(upper(own))),
        )
    }

    fn belief_without(&self, first: usize, choice: &Choice) -> Option<Posterior> {
        let (in_use, models) = self.process.in_use();
        let is_alone = in_use.max(first) + 1 == models;
        if is_alone && self.observations.is_empty() {
            return None;
        }
        let point = self.point_of(choice)?;
        Some(match self.running_point() {
            Some(runs) => self.process.difference_without(first, point, runs),
            None => self.beside_incumbent(self.process.predict_without(first, point)),
        })
    }

    /// Logarithm of how many times as long as the incumbent a choice may take by what was seen of its
    /// neighbours alone, in the job or outside it: half of the channels, or of the bytes in flight, at most
    /// double the time. Of another algorithm or protocol nothing is known: LL may take ten times as long on a
    /// large message.
    pub fn worst(&self, choice: &Choice) -> f64 {
        let incumbent = self.incumbent_without(self.remembering);
        let Some(own) = self.own else {
            return UNKNOWN;
        };
        let seen = self.observations.iter().map(|o| (o.choice, o.log_ratio));
        let outside = self.outside.iter().copied();
        let seen = seen
            .chain(outside)
            .chain([(own, 0.0)])
            .filter(|(_, log)| log.is_finite());
        let bounds = seen.filter_map(|(other, log)| {
            let levels = choice
                .is_same_pair(&other)
                .then(|| choice.levels_from(&other, Some(own)))?;
            Some(log - incumbent + f64::from(levels) * std::f64::consts::LN_2)
        });
        bounds.fold(UNKNOWN, f64::min)
    }

    fn beside_incumbent(&self, posterior: Posterior) -> Posterior {
        Posterior {
            mean: posterior.mean - self.incumbent_log(),
            variance: posterior.variance,
        }
    }

    /// Up to `count` open choices worth a trial, the most promising first.
    /// Whatever may take more than the ratio with this logarithm, is not.
    pub fn suggest(
        &mut self,
        count: usize,
        most: f64,
        is_open: &dyn Fn(&Choice) -> bool,
    ) -> Vec<Suggestion> {
        let shut: BTreeSet<Choice> = self
            .choices
            .iter()
            .map(|(_, choice)| *choice)
            .filter(|choice| self.is_shut(choice, most))
            .collect();
        let is_open = &|choice: &Choice| is_open(choice) && !shut.contains(choice);
        if self.source().is_none() && self.observations.len() < DESCENT_TRIALS {
            let found = self.descend(count, is_open);
            if !found.is_empty() {
                return found;
            }
        }
        let choices = &self.choices;
        let allowed = |point: &_| choices.choice(point).is_some_and(|c| is_open(&c));
        match self.process.ask_batch(count, &allowed) {
            Ok(batch) => {
                let incumbent = self.incumbent_log();
                let from = self.source().map_or(String::new(), |s| format!(" and {s}"));
                let model = format!("a Gaussian process over {} trials{from}", self.told());
                batch
                    .into_iter()
                    .filter_map(|(point, expected)| {
                        let belief = Posterior {
                            mean: expected.mean - incumbent,
                            variance: expected.deviation.powi(2),
                        };
                        Some(Suggestion {
                            choice: self.choices.choice(&point)?,
                            because: sentence(belief, &model),
                            belief,
                        })
                    })
                    .collect()
            }
            Err(SurrogateError::NothingLeft) => Vec::new(),
            Err(_) => self.ask_forest(count, is_open),
        }
    }

    /// Whether a choice is another name for one that has a better, is left out, or may take too long.
    fn is_shut(&self, choice: &Choice, most: f64) -> bool {
        *choice != self.written(choice)
            || !self.is_left(choice)
            || most < FEARED_AT_MOST && self.feared(choice).is_some_and(|feared| feared > most)
    }

    fn told(&self) -> usize {
        self.observations.len()
    }

    fn descend(&mut self, count: usize, is_open: &dyn Fn(&Choice) -> bool) -> Vec<Suggestion> {
        loop {
            let asked = self.descent.ask(count);
            if asked.is_empty() {
                return Vec::new();
            }
            let found: Vec<Suggestion> = asked
                .into_iter()
                .filter(|(choice, _)| is_open(choice))
                .map(|(choice, because)| Suggestion {
                    choice,
                    because,
                    belief: self.belief(&choice).unwrap_or(Posterior {
                        mean: 0.0,
                        variance: NO_IDEA.powi(2),
                    }),
                })
                .collect();
            if !found.is_empty() {
                return found;
            }
        }
    }

    /// Trials as points, logarithms of ratios to untuned NCCL.
    fn told_points(&self) -> Vec<(Point, f64)> {
        let told = self.observations.iter();
        told.filter_map(|o| Some((self.point_of(&o.choice)?.clone(), o.log_ratio)))
            .collect()
    }

    fn ask_forest(&mut self, count: usize, is_open: &dyn Fn(&Choice) -> bool) -> Vec<Suggestion> {
        let told = self.told_points();
        let options = ForestOptions::default();
        let space = self.choices.mixed().clone();
        let Some(forest) = Forest::fit(&space, &told, &options, &mut self.rng) else {
            return Vec::new();
        };
        let mut ranked: Vec<(f64, Suggestion)> = self
            .choices
            .iter()
            .filter(|(_, choice)| is_open(choice))
            .map(|(point, choice)| {
                let belief = self.beside_incumbent(forest.predict(point));
                let suggestion = Suggestion {
                    choice: *choice,
                    because: sentence(belief, &format!("a forest over {} trials", self.told())),
                    belief,
                };
                (saving(belief), suggestion)
            })
            .collect();
        ranked.sort_by(|a, b| b.0.total_cmp(&a.0));
        ranked.into_iter().take(count).map(|(_, s)| s).collect()
    }

    /// What is known by now of a choice on trial: the logarithm of its time over the incumbent's with its
    /// variance, infinite where it failed. Takes the place of what was known of it beside this incumbent.
    pub fn observe(&mut self, choice: Choice, log_ratio: f64, variance: f64) {
        let incumbent = self.incumbent_without(self.remembering);
        let observation = Observation {
            choice,
            beside: self.incumbent,
            log_ratio: log_ratio + incumbent,
            variance,
        };
        let is_same = |o: &Observation| o.choice == choice && o.beside == self.incumbent;
        match self.observations.iter_mut().find(|o| is_same(o)) {
            Some(known) => *known = observation,
            None => self.observations.push(observation),
        }
        self.descent.tell(choice, Some(log_ratio.exp()), false);
        let Some(point) = self.point_of(&choice).cloned() else {
            return;
        };
        let point = &point;
        match self.known_of(&choice) {
            Some(known) => self.process.retell(point, known.mean, known.variance),
            None => self.process.retell(point, f64::INFINITY, 0.0),
        }
    }

    /// All observations of a choice as one, each by its precision; nothing where it failed.
    fn known_of(&self, choice: &Choice) -> Option<Posterior> {
        let of_choice = self.observations.iter().filter(|o| o.choice == *choice);
        let each = of_choice.map(|o| {
            o.log_ratio.is_finite().then(|| Posterior {
                mean: o.log_ratio,
                variance: o.variance.max(LEAST_VARIANCE),
            })
        });
        let each: Option<Vec<Posterior>> = each.collect();
        each?.into_iter().reduce(Posterior::and)
    }

    /// The key runs this from now on; trials are told beside it.
    pub fn adopt(&mut self, choice: Choice) {
        self.descent.tell(choice, None, true);
        self.incumbent = Some(choice);
    }

    /// The key runs NCCL's own choice again.
    pub fn give_back(&mut self) {
        self.incumbent = None;
    }

    /// What is believed of the incumbent, as the logarithm of its time over untuned NCCL's: by the
    /// model and not by the trial that it won, because whatever wins is lucky.
    fn incumbent_log(&self) -> f64 {
        self.incumbent_without(0)
    }

    fn incumbent_without(&self, first: usize) -> f64 {
        let point = self.incumbent.and_then(|c| self.point_of(&c));
        point.map_or(0.0, |point| self.process.predict_without(first, point).mean)
    }

    /// What was measured in this run: choices with the logarithm of their time over untuned NCCL's and its
    /// variance, without those that failed.
    pub fn measured(&self) -> Vec<(Choice, Posterior)> {
        let choices: BTreeSet<Choice> = self.observations.iter().map(|o| o.choice).collect();
        choices
            .into_iter()
            .filter_map(|choice| Some((choice, self.known_of(&choice)?)))
            .collect()
    }
}

/// A choice of the algorithm and protocol that NCCL runs anyway, with what it leaves open filled in by what
/// NCCL takes, as far as the space has that: one name for what is one and the same. Any other as it is.
fn as_nccl_would(choices: &ChoiceSpace, choice: &Choice, own: Option<Choice>) -> Choice {
    let Some(own) = own.filter(|own| own.is_same_pair(choice)) else {
        return *choice;
    };
    let channels = choice.channels.or(own.channels);
    let chunk_bytes = choice.chunk_bytes.or(own.chunk_bytes);
    let open_channels = channels.filter(|n| Some(*n) != own.channels);
    let open_chunk = chunk_bytes.filter(|n| Some(*n) != own.chunk_bytes);
    let written = [
        (channels, chunk_bytes),
        (open_channels, chunk_bytes),
        (channels, open_chunk),
        (open_channels, open_chunk),
    ];
    let written = written.map(|(channels, chunk_bytes)| Choice {
        channels,
        chunk_bytes,
        ..*choice
    });
    let known = written.into_iter().find(|c| choices.point(c).is_some());
    known.unwrap_or(*choice)
}

/// A number for the levels that a point has of these parameters.
fn group(point: &Point, parameters: &[usize]) -> u32 {
    let level = |parameter: &usize| {
        point
            .level(*parameter)
            .map_or(0, |level| u32::from(level) + 1)
    };
    parameters
        .iter()
        .fold(0, |all, parameter| all << 8 | level(parameter))
}

/// Upper end of what is believed, two deviations up.
pub fn upper(belief: Posterior) -> f64 {
    belief.mean + 2.0 * belief.variance.sqrt()
}

/// Expected saving by a choice over the incumbent, as a share of the time they take.
pub fn saving(belief: Posterior) -> f64 {
    log_expected_improvement(belief, 0.0).exp()
}

fn sentence(belief: Posterior, model: &str) -> String {
    let percent = 100.0 * (1.0 - belief.mean.exp());
    let deviation = 100.0 * belief.variance.sqrt();
    let (size, word) = if percent >= 0.0 {
        (percent, "less")
    } else {
        (-percent, "more")
    };
    format!("{model} expects {size:.1} % {word} time than what runs, give or take {deviation:.1}")
}

mod left_out;
#[cfg(test)]
mod tests;

pub use left_out::Change;
