//! What of a key's space is left out, on what evidence, and when it comes back.
//!
//! Screening asks the cheapest source that speaks of every choice: one parameter at a time around what
//! runs, and elementary effects all over the space. Later the trials themselves say what matters, through
//! a forest. What was left out on the word of a source comes back with the source's credit gone; what was
//! left out by trials, with the next trials that say otherwise or with another incumbent. Only the search
//! is bound by it: who has a reason may try anything.

use ccl_core::Choice;
use ccl_search::{
    Dropped, Effect, Forest, ForestOptions, Ground, Point, Reaction, Verdict, elementary_effects,
    functional_anova, one_at_a_time, permutation_importance,
};

use super::KeyModel;

/// Trajectories of the elementary effects: as many as Morris takes at most.
const TRAJECTORIES: usize = 10;
/// A change of a logarithm of a time that is none.
const NO_EFFECT: f64 = 0.005;
/// Logarithm of how many times as long the best of a level takes that is not tried: twice.
const HOPELESS: f64 = std::f64::consts::LN_2;
/// Algorithm and protocol: whose levels are left out one by one.
const PAIR: [usize; 2] = [0, 1];
/// Trials that a forest has something to say of, and after how many more it is asked again.
const TRIALS_TO_SEE: usize = 24;
/// Choices from which on it is worth remembering what mattered among them.
const TRIALS_TO_REMEMBER: usize = 10;
const TRIALS_BETWEEN: usize = 8;
/// A parameter that explains less of the variance, a share, does not matter.
const NO_SHARE: f64 = 0.01;

/// Part of a space that is no longer searched, or is again.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Whether it came back.
    pub is_back: bool,
    /// What.
    pub what: String,
    /// Why.
    pub because: String,
    /// Choices searched before.
    pub before: u64,
    /// Choices searched after.
    pub after: u64,
}

impl KeyModel {
    /// Whether a choice is in what is left of the space.
    pub(super) fn is_left(&self, choice: &Choice) -> bool {
        let point = self.point_of(choice);
        point.is_none_or(|point| self.pruning.reduce(point).is_some())
    }

    fn size(&self) -> u64 {
        let left = self
            .choices
            .iter()
            .filter(|(point, _)| self.pruning.reduce(point).is_some());
        left.count() as u64
    }

    /// Asks the source in use about the whole space, leaves out what does not matter or is hopeless, and
    /// says what it heard; nothing where there is no source.
    pub fn screen(&mut self) -> Option<(String, Vec<Change>)> {
        let source = self.screened_by.clone().filter(|_| self.is_informed())?;
        let value = |point: &Point| self.figures.get(point).copied().unwrap_or(f64::INFINITY);
        let mut rng = self.rng.clone();
        let space = self.choices.mixed().clone();
        let effects = elementary_effects(&space, TRAJECTORIES, value, &mut rng);
        let around = self.own.and_then(|own| self.point_of(&own));
        let reactions = around.map_or(Vec::new(), |p| one_at_a_time(&space, p, value));
        let words: Vec<String> = effects
            .iter()
            .filter(|e| e.moves > 0)
            .map(|e| format!("{} {}", space.parameters()[e.parameter].name, in_words(e)))
            .collect();
        let mut drops = Vec::new();
        for effect in &effects {
            let around = reactions.iter().find(|r| r.parameter == effect.parameter);
            let largest = effect.largest.max(around.map_or(0.0, largest));
            let ground = Ground::NoEffect {
                effect: largest,
                threshold: NO_EFFECT,
            };
            if effect.verdict(NO_EFFECT) == Verdict::NoEffect {
                drops.push((effect.parameter, None, ground));
            }
        }
        let best = self.figures.values().copied().fold(f64::INFINITY, f64::min);
        for parameter in PAIR {
            for level in 0..space.parameters()[parameter].levels() {
                let of_level = self
                    .figures
                    .iter()
                    .filter(|(p, _)| p.level(parameter) == Some(level));
                let loss = of_level
                    .map(|(_, f)| f - best)
                    .fold(f64::INFINITY, f64::min);
                let ground = Ground::Slower {
                    loss,
                    threshold: HOPELESS,
                };
                let runs = around.and_then(|p| p.level(parameter)) == Some(level);
                if loss.is_finite() && loss >= HOPELESS && !runs {
                    drops.push((parameter, Some(level), ground));
                }
            }
        }
        let changes = drops
            .into_iter()
            .filter_map(|(parameter, level, ground)| {
                self.leave_out(parameter, level, ground, None, &source)
            })
            .collect();
        Some((format!("by {source}: {}", words.join(", ")), changes))
    }

    /// Leaves out one level, or all of a parameter but what runs.
    fn leave_out(
        &mut self,
        parameter: usize,
        level: Option<u16>,
        ground: Ground,
        around: Option<Point>,
        source: &str,
    ) -> Option<Change> {
        let before = self.size();
        let kept = self.pruning.kept(parameter);
        let runs = self.running_point().and_then(|p| p.level(parameter));
        // Where what runs does not have the parameter at all, any level will do, and none at an end.
        let keep = runs.or_else(|| kept.get(kept.len() / 2).copied())?;
        let done = match level {
            Some(level) => self.pruning.drop_levels(Dropped {
                parameter,
                levels: vec![level],
                ground,
                around,
            }),
            None => self.pruning.drop_parameter(parameter, keep, ground, around),
        };
        let name = &self.choices.mixed().parameters()[parameter].name;
        done.then(|| Change {
            is_back: false,
            what: match level {
                Some(level) => self.choices.level_name(parameter, level),
                None => format!(
                    "all {name} but {}",
                    self.choices.level_name(parameter, keep)
                ),
            },
            because: because(ground, source),
            before,
            after: self.size(),
        })
    }

    /// Takes back what is no longer true, and leaves out what the trials by now say does not matter.
    pub fn review(&mut self) -> Vec<Change> {
        let count = self.observations.len();
        let is_due = count >= TRIALS_TO_SEE && count >= self.reviewed + TRIALS_BETWEEN;
        let shares = if is_due { self.importance() } else { None };
        let is_believed = self.is_informed();
        let mut changes = Vec::new();
        if let Some(running) = self.running_point().cloned()
            && !self.pruning.dropped().is_empty()
        {
            let before = self.size();
            let figure = |dropped: &Dropped| match (&dropped.around, dropped.ground) {
                // On the word of a source: it stands and falls with it.
                (None, Ground::NoEffect { .. }) if !is_believed => Some(f64::INFINITY),
                (None, Ground::Slower { .. }) if !is_believed => Some(0.0),
                (None, _) => None,
                (Some(_), _) => shares.as_ref().map(|s| s[dropped.parameter]),
            };
            let back = self.pruning.reconsider(&running, figure);
            let after = self.size();
            for (dropped, why) in back {
                let name = &self.choices.mixed().parameters()[dropped.parameter].name;
                let levels: Vec<String> = dropped
                    .levels
                    .iter()
                    .map(|level| self.choices.level_name(dropped.parameter, *level))
                    .collect();
                changes.push(Change {
                    is_back: true,
                    what: format!("{name}: {}", levels.join(", ")),
                    because: match (dropped.around, why) {
                        (None, _) => "what left it out is not believed any more".to_owned(),
                        (_, ccl_search::Contradiction::IncumbentMoved) => {
                            "something else runs now".to_owned()
                        }
                        (_, ccl_search::Contradiction::Figure(_)) => {
                            "later trials say that it matters".to_owned()
                        }
                    },
                    before,
                    after,
                });
            }
        }
        if let Some(shares) = shares {
            self.reviewed = count;
            let around = self.running_point().cloned();
            for (parameter, effect) in shares.into_iter().enumerate() {
                let ground = Ground::NoEffect {
                    effect,
                    threshold: NO_SHARE,
                };
                if effect <= NO_SHARE && self.pruning.kept(parameter).len() > 1 {
                    let source = "a forest over the trials";
                    changes.extend(self.leave_out(parameter, None, ground, around.clone(), source));
                }
            }
        }
        changes
    }

    /// What each parameter that was varied explains alone of the variance of the trials, 0..=1, by name, and of how
    /// many choices that is told. Nothing where there were too few.
    pub fn main_effects(&self) -> (Vec<(String, f64)>, usize) {
        let told = self.told_points();
        let space = self.choices.mixed();
        let mut rng = self.rng.clone();
        if told.len() < TRIALS_TO_REMEMBER {
            return (Vec::new(), told.len());
        }
        let Some(forest) = Forest::fit(space, &told, &ForestOptions::default(), &mut rng) else {
            return (Vec::new(), told.len());
        };
        let shares = functional_anova(&forest, &[]).main;
        let named = space.parameters().iter().zip(shares).enumerate();
        let effects = named.filter_map(|(index, (parameter, share))| {
            let mut levels = told.iter().filter_map(|(point, _)| point.level(index));
            let first = levels.next()?;
            let was_varied = levels.any(|level| level != first);
            was_varied.then(|| (parameter.name.to_string(), share.mean.clamp(0.0, 1.0)))
        });
        (effects.collect(), told.len())
    }

    /// What each parameter explains of the variance of the trials, a share: an upper figure, of what it does
    /// alone, with others, and of what is lost when it is shuffled. Nothing where it was never varied.
    fn importance(&self) -> Option<Vec<f64>> {
        let told = self.told_points();
        let space = self.choices.mixed().clone();
        let mut rng = self.rng.clone();
        let forest = Forest::fit(&space, &told, &ForestOptions::default(), &mut rng)?;
        let count = space.dimensions();
        let pairs: Vec<(usize, usize)> = (0..count)
            .flat_map(|a| (a + 1..count).map(move |b| (a, b)))
            .collect();
        let anova = functional_anova(&forest, &pairs);
        let shuffled = permutation_importance(&forest, &told, &mut rng);
        let share = |parameter: usize| {
            let was_varied = {
                let mut levels: Vec<_> = told
                    .iter()
                    .filter_map(|(p, _)| p.level(parameter))
                    .collect();
                levels.sort_unstable();
                levels.dedup();
                levels.len() > 1
            };
            if !was_varied {
                return 1.0;
            }
            let main = anova.main.get(parameter).copied().unwrap_or_default();
            let with_others = anova
                .pairs
                .iter()
                .filter(|((a, b), _)| *a == parameter || *b == parameter);
            let with_others: f64 = with_others.map(|(_, share)| share.mean).sum();
            let alone = main.mean + 2.0 * main.deviation;
            (alone + with_others).max(shuffled.get(parameter).copied().unwrap_or(0.0))
        };
        Some((0..count).map(share).collect())
    }
}

fn largest(reaction: &Reaction) -> f64 {
    reaction
        .differences
        .iter()
        .map(|d| d.abs())
        .filter(|d| d.is_finite())
        .fold(0.0, f64::max)
}

fn in_words(effect: &Effect) -> String {
    let percent = 100.0 * (effect.mean_absolute.exp() - 1.0);
    match effect.verdict(NO_EFFECT) {
        Verdict::NoEffect => "does nothing".to_owned(),
        Verdict::NotTried => "is not to be varied".to_owned(),
        Verdict::Matters => format!("changes the time by {percent:.0} % on average"),
        Verdict::Interacts => {
            format!(
                "changes the time by {percent:.0} % on average, by more or less with the others"
            )
        }
    }
}

fn because(ground: Ground, source: &str) -> String {
    match ground {
        Ground::NoEffect { threshold, .. } if source.starts_with("a forest") => format!(
            "{source}: less than {:.0} % of the variance is its doing",
            100.0 * threshold
        ),
        Ground::NoEffect { effect, .. } => format!(
            "{source}: no more than {:.1} % whatever it is",
            100.0 * (effect.exp() - 1.0)
        ),
        Ground::Slower { loss, .. } => format!(
            "{source}: {:.1} times as long as the best, at its best",
            loss.exp()
        ),
    }
}
