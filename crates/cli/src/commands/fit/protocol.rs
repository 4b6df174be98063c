//! Which protocol NCCL takes when only the algorithm was named: by NCCL's own model of the cluster
//! stated, or of every catalogue cluster with the sweep's GPU, if they agree.
//!
//! An inference, not a record; every row that rests on it says so.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use ccl_core::{Algorithm, CLUSTERS, ClusterSpec, Environment, Protocol};
use ccl_search::fit::{CurveKey, Fit, PairBasis};
use ccl_sim::ProcessSettings;
use ccl_sim::nccl::{Model, System};

use crate::commands::cluster_argument;
use crate::error::CommandError;

/// Models of NCCL, with the names of their clusters.
type Named = Rc<[(String, Model)]>;

/// The clusters that may answer.
pub struct Catalogue {
    stated: bool,
    clusters: Vec<ClusterSpec>,
    models: RefCell<BTreeMap<CurveKey, Named>>,
}

impl Catalogue {
    /// The stated cluster alone, or the whole catalogue.
    ///
    /// # Errors
    /// A catalogue entry that does not read.
    pub fn new(stated: Option<ClusterSpec>) -> Result<Self, CommandError> {
        Ok(Self {
            stated: stated.is_some(),
            clusters: match stated {
                Some(cluster) => vec![cluster],
                None => CLUSTERS
                    .iter()
                    .map(|(name, _)| cluster_argument::load(name))
                    .collect::<Result<_, _>>()?,
            },
            models: RefCell::default(),
        })
    }

    /// The protocol, if there is a model and all that there are agree.
    pub fn protocol(&self, key: &CurveKey, algorithm: Algorithm, bytes: u64) -> Option<Protocol> {
        let models = self.models(key);
        let mut answers = models
            .iter()
            .map(|(_, model)| cheapest(model, key, algorithm, bytes));
        let first = answers.next()??;
        answers.all(|a| a == Some(first)).then_some(first)
    }

    /// What the rows of a fit rest on, for people; nothing if they need no model.
    pub fn used(&self, fit: &Fit) -> Vec<String> {
        let mut used: Vec<String> = fit
            .windows
            .iter()
            .filter(|w| w.rows.iter().any(|r| r.basis == PairBasis::Model))
            .flat_map(|w| self.models(&w.key).to_vec())
            .map(|(name, _)| name)
            .collect();
        used.sort();
        used.dedup();
        used
    }

    fn models(&self, key: &CurveKey) -> Named {
        let mut models = self.models.borrow_mut();
        let found = models.entry(key.clone()).or_insert_with(|| {
            self.clusters
                .iter()
                .filter(|c| (self.stated || same_machine(c, key)) && holds(c, key))
                .filter_map(|c| model(c, key))
                .collect()
        });
        Rc::clone(found)
    }
}

fn cheapest(model: &Model, key: &CurveKey, algorithm: Algorithm, bytes: u64) -> Option<Protocol> {
    let table = model.cost_table(key.collective, bytes, 1);
    let mut best: Option<(Protocol, f32)> = None;
    for protocol in Protocol::ALL {
        if let Some(cost) = table.get(algorithm, protocol)
            && best.is_none_or(|(_, least)| cost < least)
        {
            best = Some((protocol, cost));
        }
    }
    best.map(|(protocol, _)| protocol)
}

/// NCCL's model with the sweep's version and those of its settings that the model knows.
fn model(cluster: &ClusterSpec, key: &CurveKey) -> Option<(String, Model)> {
    let mut cluster = cluster.clone();
    if let Ok(version) = key.conditions.nccl.parse() {
        cluster.nccl_version = version;
    }
    let words = key.conditions.settings.split([' ', ',', ';']);
    let variables = words
        .filter_map(|word| word.split_once('='))
        .filter(|(name, _)| ProcessSettings::MODELLED.contains(name))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let settings = ProcessSettings::from_environment(&Environment { variables }).ok()?;
    let system = System::derive(&cluster, key.shape, &settings);
    let name = format!("{} (NCCL {})", cluster.name, cluster.nccl_version);
    Some((name, Model::new(system, settings)))
}

/// Whether the sweep's GPU is this cluster's, as `NVIDIA H100 80GB HBM3` is an `H100`.
fn same_machine(cluster: &ClusterSpec, key: &CurveKey) -> bool {
    let words = |text: &str| -> Vec<String> {
        text.split(|c: char| !c.is_ascii_alphanumeric())
            .filter(|w| !w.is_empty())
            .map(str::to_ascii_uppercase)
            .collect()
    };
    let gpu = words(&key.conditions.gpu);
    let per_node = key.conditions.gpus_per_node;
    words(&cluster.gpu.model).iter().all(|w| gpu.contains(w))
        && (per_node == 0 || per_node == cluster.gpus_per_node)
}

/// Whether the communicator fits into nodes like these.
fn holds(cluster: &ClusterSpec, key: &CurveKey) -> bool {
    let shape = key.shape;
    shape.ranks <= shape.nodes.saturating_mul(cluster.gpus_per_node)
        && (shape.nodes == 1 || cluster.network.is_some())
}
