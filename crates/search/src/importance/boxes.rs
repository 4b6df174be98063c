//! The chance that a random point of a space with conditions lies in the box of a leaf.

use crate::space::MixedSpace;

/// How existence is passed on in a space: a forest whose roots depend on nothing.
pub(super) struct Chances<'a> {
    space: &'a MixedSpace,
    /// Parameters whose condition names this one.
    dependents: Vec<Vec<usize>>,
    roots: Vec<Root>,
    /// For each parameter the index of its root.
    root_of: Vec<usize>,
}

struct Root {
    parameter: usize,
    /// False for a condition that never holds.
    exists: bool,
}

/// A leaf's box, with the chances of its roots when nothing is given.
pub(super) struct Leaf<'a> {
    chances: &'a Chances<'a>,
    covered: &'a [Vec<bool>],
    roots: Vec<f64>,
}

impl<'a> Chances<'a> {
    pub(super) fn new(space: &'a MixedSpace) -> Self {
        let count = space.dimensions();
        let mut chances = Self {
            space,
            dependents: vec![Vec::new(); count],
            roots: Vec::new(),
            root_of: Vec::with_capacity(count),
        };
        for (index, parameter) in space.parameters().iter().enumerate() {
            match &parameter.when {
                Some(condition) if condition.parameter < index => {
                    chances.dependents[condition.parameter].push(index);
                    chances.root_of.push(chances.root_of[condition.parameter]);
                }
                condition => {
                    chances.root_of.push(chances.roots.len());
                    chances.roots.push(Root {
                        parameter: index,
                        exists: condition.is_none(),
                    });
                }
            }
        }
        chances
    }

    pub(super) fn leaf(&'a self, covered: &'a [Vec<bool>]) -> Leaf<'a> {
        let mut leaf = Leaf {
            chances: self,
            covered,
            roots: Vec::new(),
        };
        leaf.roots = (0..self.roots.len()).map(|r| leaf.root(r, &[])).collect();
        leaf
    }
}

impl Leaf<'_> {
    /// The chance that a point drawn as [`MixedSpace::sample`] draws lies in the box, given the
    /// drawn levels of some parameters (drawn, not had: a level is drawn and then dropped where the
    /// parameter does not exist).
    pub(super) fn given(&self, levels: &[(usize, usize)]) -> f64 {
        let mut chance = 1.0;
        for (root, alone) in self.roots.iter().enumerate() {
            let concerned = levels
                .iter()
                .any(|(index, _)| self.chances.root_of[*index] == root);
            chance *= if concerned {
                self.root(root, levels)
            } else {
                *alone
            };
            if chance == 0.0 {
                break;
            }
        }
        chance
    }

    fn root(&self, root: usize, levels: &[(usize, usize)]) -> f64 {
        let root = &self.chances.roots[root];
        self.inside(root.parameter, root.exists, levels)
    }

    /// The chance that a parameter and all that depend on it lie in the box.
    fn inside(&self, parameter: usize, exists: bool, levels: &[(usize, usize)]) -> f64 {
        let parameters = self.chances.space.parameters();
        let count = usize::from(parameters[parameter].levels());
        let covered = &self.covered[parameter];
        let below = |level: Option<usize>| -> f64 {
            let dependents = self.chances.dependents[parameter].iter();
            dependents
                .map(|&dependent| {
                    let condition = parameters[dependent].when.as_ref();
                    let holds = condition.is_some_and(|c| {
                        level.is_some_and(|l| c.levels.iter().any(|n| usize::from(*n) == l))
                    });
                    self.inside(dependent, holds, levels)
                })
                .product()
        };
        if !exists || count == 0 {
            return if covered[0] { below(None) } else { 0.0 };
        }
        let at = |level: usize| {
            if covered[level + 1] {
                below(Some(level))
            } else {
                0.0
            }
        };
        match levels.iter().find(|(index, _)| *index == parameter) {
            Some((_, level)) => at(*level),
            None => (0..count).map(at).sum::<f64>() / count as f64,
        }
    }
}
