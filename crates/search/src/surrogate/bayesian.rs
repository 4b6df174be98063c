//! Bayesian optimisation of a mixed space: a Gaussian process and log expected improvement.
//!
//! Ask and tell, one point or a batch, with what is expected of each point so that a caller can
//! say why, and can judge whether it is worth a trial. Cheap sources, where given, take the place
//! of an initial design. It measures nothing and decides nothing about noise: the caller tells
//! values with their variances.

use std::collections::{BTreeMap, BTreeSet};

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::acquisition::log_expected_improvement;
use super::candidates;
use super::gaussian_process::GaussianProcess;
use super::kernel::{Block, Kernel};
use super::prior::{Belief, Contest, Source};
use super::{Posterior, Surrogate, SurrogateError};
use crate::optimiser::{History, Optimiser};
use crate::space::{MixedSpace, Point};

/// What is expected of a proposed point, in logarithms of times.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Expected {
    /// Expected logarithm of its time.
    pub mean: f64,
    /// Standard deviation of that, measurement noise aside.
    pub deviation: f64,
    /// Logarithm of the improvement to be expected over the best point known, itself a difference
    /// of logarithms of times.
    pub log_improvement: f64,
}

/// What may be chosen about a search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Well-spread points measured first where no source says anything; with none of them, no point is
    /// measured for its own sake, and a source is believed until its points disagree.
    pub initial: usize,
    /// How often [`Optimiser::ask`] proposes the same point; a caller of
    /// [`BayesianSearch::ask_batch`] decides that itself.
    pub repeats: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            initial: 10,
            repeats: 2,
        }
    }
}

/// Figures of a source that differ by so many deviations of what it misses should differ in the job.
const TELLING: f64 = 3.0;
/// Draws that a well-spread point is the best of.
const SPREAD_DRAWS: usize = 100;
/// Best points whose surroundings are candidates.
const BEST: usize = 5;
/// Multiplications spent on exact variances for one suggestion.
const EXACT_COST: usize = 3_000_000;
/// Observations up to which every model may refit at every one.
const ALL_REFIT: usize = 40;

#[derive(Clone, Debug)]
struct Model {
    /// What speaks in it, for people.
    name: Option<String>,
    source: Option<Source>,
    process: GaussianProcess,
    /// Whether it was told observations made elsewhere.
    is_from_elsewhere: bool,
    /// What its evidence owes to observations made elsewhere.
    owed: f64,
    /// Why it can be had no longer.
    failure: Option<SurrogateError>,
}

impl Model {
    fn belief(&self, point: &Point) -> Belief {
        let source = self.source.as_ref();
        source.map_or(Belief::CONSTANT, |source| source.belief(point))
    }

    fn predict(&self, point: &Point) -> Posterior {
        self.process.predict(point, self.belief(point))
    }

    fn tell(&mut self, point: &Point, value: f64, variance: f64) {
        if self.failure.is_none() {
            let belief = self.belief(point);
            self.failure = self.process.tell(point, belief, value, variance).err();
        }
    }

    fn retell(&mut self, point: &Point, value: f64, variance: f64) {
        if self.failure.is_none() {
            let belief = self.belief(point);
            self.failure = self.process.retell(point, belief, value, variance).err();
        }
    }

    fn difference(&self, point: &Point, other: &Point) -> Posterior {
        self.process
            .difference((point, self.belief(point)), (other, self.belief(other)))
    }

    /// Logarithm of the evidence of what was told here.
    fn evidence(&self) -> Option<f64> {
        let is_fit = self.failure.is_none();
        is_fit.then(|| self.process.log_evidence() - self.owed)
    }

    fn refit(&mut self) {
        if self.failure.is_none() {
            self.failure = self.process.refit().err();
        }
    }

    fn sketch(&self, points: &[Point]) -> Vec<Posterior> {
        let beliefs: Vec<Belief> = points.iter().map(|point| self.belief(point)).collect();
        let block = Block::new(self.process.kernel(), points);
        self.process.sketch(&block, &beliefs)
    }
}

/// A search by a Gaussian process.
#[derive(Clone, Debug)]
pub struct BayesianSearch {
    space: MixedSpace,
    settings: Settings,
    /// Every point, of a small space.
    whole: Option<Vec<Point>>,
    /// One for each source, the one believed first in front, and one without.
    models: Vec<Model>,
    contest: Contest,
    history: History,
    /// How often each point was told.
    told: BTreeMap<Point, usize>,
    failed: BTreeSet<Point>,
    /// As before anything is learnt: what "well spread" is measured by.
    plain: Kernel,
    rng: ChaCha8Rng,
}

impl BayesianSearch {
    /// A search of a space, with cheap sources, the one believed first in front.
    pub fn new(
        space: MixedSpace,
        sources: Vec<Source>,
        settings: Settings,
        rng: ChaCha8Rng,
    ) -> Self {
        let process = GaussianProcess::new(&space);
        let models = sources.into_iter().map(Some).chain([None]);
        Self {
            models: models
                .map(|source| Model {
                    process: source.as_ref().and_then(Source::accuracy).map_or_else(
                        || process.clone(),
                        |missed| GaussianProcess::of_residuals(&space, missed),
                    ),
                    name: source.as_ref().map(|s| s.name().to_owned()),
                    source,
                    is_from_elsewhere: false,
                    owed: 0.0,
                    failure: None,
                })
                .collect(),
            whole: candidates::whole(&space),
            plain: process.kernel().clone(),
            space,
            settings,
            contest: Contest::default(),
            history: History::default(),
            told: BTreeMap::new(),
            failed: BTreeSet::new(),
            rng,
        }
    }

    /// Puts in front what was observed elsewhere: points, logarithms of their values, and variances that say
    /// how little they need to be true here. On top of the model that is in front now, which stays behind it:
    /// believed as any source is, until what is told here is likelier without. Told before anything is
    /// measured here, but after what is true by definition. Returns whether it could be had.
    pub fn tell_elsewhere(
        &mut self,
        name: impl Into<String>,
        observations: &[(Point, f64, f64)],
    ) -> bool {
        let Some(front) = self.models.first().filter(|m| m.failure.is_none()) else {
            return false;
        };
        let mut model = front.clone();
        let before = model.process.log_evidence();
        let beside: Vec<_> = observations
            .iter()
            .map(|(point, value, variance)| (point.clone(), model.belief(point), *value, *variance))
            .collect();
        if observations.is_empty() || model.process.tell_elsewhere(&beside).is_err() {
            return false;
        }
        model.is_from_elsewhere = true;
        model.owed += model.process.log_evidence() - before;
        let name = name.into();
        model.name = Some(match &front.name {
            Some(behind) => format!("{behind} with {name}"),
            None => name,
        });
        self.models.insert(0, model);
        self.contest = Contest::default();
        true
    }

    /// Drops the `first` of the models for good; the one without a source stays in any case.
    pub fn drop_first(&mut self, first: usize) {
        let first = first.min(self.models.len() - 1);
        self.models.drain(..first);
        self.contest = self.contest.without(first);
    }

    /// Name of the source that is believed at present; `None` where none is.
    pub fn source(&self) -> Option<&str> {
        self.model().name.as_deref()
    }

    /// Index of the model in use, of the number there are: those put in front first, then one for each source,
    /// and last the one without.
    pub fn in_use(&self) -> (usize, usize) {
        (self.contest.in_use(), self.models.len())
    }

    /// What was told, values as logarithms.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// Tells the logarithm of a time, or of a ratio of times, with its variance. A failed
    /// evaluation is told as infinite: its point is proposed no more, and counts as bad as the
    /// worst. Nothing is learnt from a value whose variance is no finite number from 0 up.
    pub fn tell_noisy(&mut self, point: &Point, log_value: f64, variance: f64) {
        let value = if log_value.is_finite() {
            Some(log_value)
        } else {
            self.failed.insert(point.clone());
            let finite = self.history.evaluations.iter().map(|(_, value)| *value);
            finite.filter(|v| v.is_finite()).reduce(f64::max)
        };
        self.history.push(point, log_value);
        *self.told.entry(point.clone()).or_default() += 1;
        let is_known = variance.is_finite() && variance >= 0.0;
        if let Some(value) = value.filter(|_| is_known) {
            let (count, many) = (self.history.len(), self.models.len());
            for (index, model) in self.models.iter_mut().enumerate() {
                model.tell(point, value, variance);
                // Refits of several models would add up where each is dear: they take turns.
                if count <= ALL_REFIT || count % many == index {
                    model.refit();
                }
            }
            self.judge();
        }
    }

    /// Replaces what was told of a point by one value with its variance: what is known of it by now. As
    /// [`tell_noisy`](Self::tell_noisy) where nothing was told of it, or where it failed.
    pub fn retell(&mut self, point: &Point, log_value: f64, variance: f64) {
        let known = |(told, value): &(Point, f64)| told == point && value.is_finite();
        let is_value = log_value.is_finite() && variance.is_finite() && variance >= 0.0;
        if !is_value || !self.history.evaluations.iter().any(known) {
            return self.tell_noisy(point, log_value, variance);
        }
        self.history.replace(point, log_value);
        self.told.insert(point.clone(), 1);
        for model in &mut self.models {
            model.retell(point, log_value, variance);
            model.refit();
        }
        self.judge();
    }

    /// What is believed of the value of a point less that of another.
    pub fn difference(&self, point: &Point, other: &Point) -> Posterior {
        self.model().difference(point, other)
    }

    /// The same by the model in use or, where that is one of the `first`, by the first behind them.
    pub fn difference_without(&self, first: usize, point: &Point, other: &Point) -> Posterior {
        self.model_without(first).difference(point, other)
    }

    /// What is believed of a point by the model in use or, where that is one of the `first`, by the first
    /// behind them.
    pub fn predict_without(&self, first: usize, point: &Point) -> Posterior {
        self.model_without(first).predict(point)
    }

    fn model_without(&self, first: usize) -> &Model {
        let index = self.contest.in_use().max(first);
        self.models.get(index).unwrap_or_else(|| self.model())
    }

    /// Up to `count` points worth measuring next, best first, among those `allowed`; fewer where
    /// no more are left. Each but the first is chosen as if those before it had given what is
    /// expected of them.
    ///
    /// # Errors
    ///
    /// Where there is no Gaussian process, or nothing is left. Another surrogate should take over.
    pub fn ask_batch(
        &mut self,
        count: usize,
        allowed: &dyn Fn(&Point) -> bool,
    ) -> Result<Vec<(Point, Expected)>, SurrogateError> {
        if let Some(failure) = &self.model().failure {
            return Err(failure.clone());
        }
        let known = self.model().process.len();
        let mut batch: Vec<(Point, Expected)> = Vec::with_capacity(count);
        while batch.len() < count {
            let taken: Vec<Point> = batch.iter().map(|(point, _)| point.clone()).collect();
            let free = |p: &Point| !taken.contains(p) && !self.failed.contains(p) && allowed(p);
            let mut rng = self.rng.clone();
            let proposal = if self.is_designing(taken.len()) {
                self.spread(&taken, &free, &mut rng)
            } else {
                self.improve(&free, &mut rng)
            };
            self.rng = rng;
            let Some(proposal) = proposal else { break };
            let point = proposal.0.clone();
            batch.push(proposal);
            if batch.len() < count {
                let index = self.contest.in_use();
                let belief = self.models[index].belief(&point);
                if !self.models[index].process.believe(&point, belief) {
                    break;
                }
            }
        }
        let index = self.contest.in_use();
        self.models[index].process.forget(known);
        if batch.is_empty() && count > 0 {
            return Err(SurrogateError::NothingLeft);
        }
        Ok(batch)
    }

    /// Chooses the model to use, once what was measured could show that a source is wrong.
    fn judge(&mut self) {
        let model = self.model();
        let source = model.source.as_ref().filter(|_| model.failure.is_none());
        let is_untried = source.is_some_and(|source| !self.is_tried(source));
        if is_untried && !model.is_from_elsewhere {
            return;
        }
        // What was observed elsewhere may prove wrong before the source beneath it is put to the test.
        let is_judged = |m: &&Model| !is_untried || m.source.is_some();
        let evidence = self.models.iter();
        let evidence: Vec<Option<f64>> = evidence
            .map(|m| Some(m).filter(is_judged).and_then(Model::evidence))
            .collect();
        self.contest.judge(&evidence);
    }

    fn model(&self) -> &Model {
        &self.models[self.contest.in_use()]
    }

    /// Whether the next point should be well spread rather than promising: at the start, and where
    /// a source is believed of which nothing measured so far could show that it is wrong.
    fn is_designing(&self, pending: usize) -> bool {
        let model = self.model();
        match &model.source {
            None if model.name.is_some() => false,
            None => self.history.len() + pending < self.settings.initial,
            Some(source) => {
                let is_wanted = self.settings.initial > 0 && pending == 0;
                is_wanted && !self.told.is_empty() && !self.is_tried(source)
            }
        }
    }

    /// Whether points were measured of which a source says different things.
    fn is_tried(&self, source: &Source) -> bool {
        let means = self.told.keys().map(|point| source.belief(point).mean);
        let (low, high) = means.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), mean| {
            (low.min(mean), high.max(mean))
        });
        let telling = source
            .accuracy()
            .map_or(f64::INFINITY, |missed| TELLING * missed);
        high - low >= source.deviation().min(telling)
    }

    /// Of some draws the one farthest from all that is known (maximin, Johnson et al. 1990).
    fn spread(
        &self,
        taken: &[Point],
        free: &dyn Fn(&Point) -> bool,
        rng: &mut ChaCha8Rng,
    ) -> Option<(Point, Expected)> {
        let known: Vec<Vec<u16>> = self
            .told
            .keys()
            .chain(taken)
            .map(|p| self.plain.encode(p))
            .collect();
        let mut farthest: Option<(f64, Point)> = None;
        for _ in 0..SPREAD_DRAWS {
            let point = match &self.whole {
                Some(points) => points
                    .get(rng.random_range(0..points.len().max(1)))?
                    .clone(),
                None => self.space.sample(rng),
            };
            if !free(&point) {
                continue;
            }
            let codes = self.plain.encode(&point);
            let nearest = known.iter().map(|k| self.plain.covariance(k, &codes));
            let likeness = nearest.fold(0.0, f64::max);
            if farthest.as_ref().is_none_or(|(least, _)| likeness < *least) {
                farthest = Some((likeness, point));
            }
        }
        match farthest {
            Some((_, point)) => {
                let expected = self.expected(&point, self.best_mean().unwrap_or(0.0));
                Some((point, expected))
            }
            // Hardly anything is free: look at all of it.
            None => self.improve(free, rng),
        }
    }

    /// The candidate with the highest log expected improvement.
    fn improve(
        &self,
        free: &dyn Fn(&Point) -> bool,
        rng: &mut ChaCha8Rng,
    ) -> Option<(Point, Expected)> {
        let ranked = self.ranked();
        let mut points = match &self.whole {
            Some(points) => points.clone(),
            None => {
                // Nothing is known: around what the source holds for best.
                let around = if ranked.is_empty() {
                    self.rank(candidates::drawn(&self.space, &[], rng))
                } else {
                    ranked.clone()
                };
                let best = around.into_iter().take(BEST).map(|(point, _)| point);
                candidates::drawn(&self.space, &best.collect::<Vec<_>>(), rng)
            }
        };
        points.retain(|point| free(point));
        let sketch = self.model().sketch(&points);
        let best = match ranked.first() {
            Some((_, mean)) => *mean,
            None => sketch.iter().map(|p| p.mean).reduce(f64::min)?,
        };
        self.most_promising(&points, &sketch, best)
    }

    /// Looks at candidates in the order of what they could promise at most, until none can promise
    /// more than the best so far does.
    fn most_promising(
        &self,
        points: &[Point],
        sketch: &[Posterior],
        best: f64,
    ) -> Option<(Point, Expected)> {
        let mut bounds: Vec<(f64, usize)> = sketch
            .iter()
            .enumerate()
            .map(|(index, bound)| (log_expected_improvement(*bound, best), index))
            .collect();
        bounds.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let known = self.model().process.len();
        let most = EXACT_COST / (known * known / 2).max(1);
        let mut found: Option<(Point, Expected)> = None;
        for (bound, index) in bounds.into_iter().take(most.max(1)) {
            if found
                .as_ref()
                .is_some_and(|(_, expected)| bound <= expected.log_improvement)
            {
                break;
            }
            let expected = self.expected(&points[index], best);
            if found
                .as_ref()
                .is_none_or(|(_, other)| expected.log_improvement > other.log_improvement)
            {
                found = Some((points[index].clone(), expected));
            }
        }
        found
    }

    fn expected(&self, point: &Point, best: f64) -> Expected {
        let posterior = self.model().predict(point);
        Expected {
            mean: posterior.mean,
            deviation: posterior.variance.sqrt(),
            log_improvement: log_expected_improvement(posterior, best),
        }
    }

    /// Points that were told and did not fail by their posterior means, the best first: the mean
    /// of the model, not the luckiest measurement (Picheny et al. 2013).
    fn ranked(&self) -> Vec<(Point, f64)> {
        let told = self.told.keys().filter(|p| !self.failed.contains(*p));
        self.rank(told.cloned().collect())
    }

    fn rank(&self, points: Vec<Point>) -> Vec<(Point, f64)> {
        let means = self.model().sketch(&points).into_iter().map(|p| p.mean);
        let mut ranked: Vec<(Point, f64)> = points.into_iter().zip(means).collect();
        ranked.sort_by(|a, b| a.1.total_cmp(&b.1));
        ranked
    }

    fn best_mean(&self) -> Option<f64> {
        self.ranked().first().map(|(_, mean)| *mean)
    }
}

impl Surrogate for BayesianSearch {
    fn predict(&self, point: &Point) -> Posterior {
        self.model().predict(point)
    }
}

impl Optimiser for BayesianSearch {
    /// The first of a batch, or a random point where there is no Gaussian process any more.
    fn ask(&mut self) -> Point {
        let told = self.told.clone();
        let repeats = self.settings.repeats;
        let allowed = |point: &Point| told.get(point).is_none_or(|times| *times < repeats);
        let first = self.ask_batch(1, &allowed).ok();
        match first.and_then(|batch| batch.into_iter().next()) {
            Some((point, _)) => point,
            None => self.space.sample(&mut self.rng),
        }
    }

    fn tell(&mut self, point: &Point, value: f64) {
        self.tell_noisy(point, value.ln(), 0.0);
    }

    fn best(&self) -> Option<Point> {
        if self.model().failure.is_some() {
            return self.history.best().map(|(point, _)| point.clone());
        }
        self.ranked().into_iter().next().map(|(point, _)| point)
    }
}

#[cfg(test)]
mod tests;
