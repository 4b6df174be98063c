//! The space and its points in JSON, for optimisers outside the program.

use std::collections::BTreeMap;

use ccl_search::{Point, Scale};
use serde_json::{Map, Value, json};
use thiserror::Error;

use super::{Encoding, Level};

/// The level that leaves a number to NCCL.
const NCCL: &str = "nccl";

/// Why an object is no configuration of the space.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum EncodingError {
    /// No parameter of this name.
    #[error("no parameter {name:?} in the space")]
    Name {
        /// The name.
        name: String,
    },
    /// No level of this value.
    #[error("{name}: {value} is not one of {levels}")]
    Level {
        /// The parameter.
        name: String,
        /// The value.
        value: String,
        /// The levels.
        levels: String,
    },
}

impl Level {
    fn json(self) -> Value {
        match self {
            Self::Untuned | Self::Number(None) => NCCL.into(),
            Self::Pair(algorithm, protocol) => format!("{algorithm}/{protocol}").into(),
            Self::Number(Some(number)) => number.into(),
        }
    }
}

impl Encoding {
    /// The space in JSON: parameters in order, each with its levels and the condition under which it
    /// exists, and NCCL's default as a configuration.
    pub fn describe(&self) -> Value {
        let parameters: Vec<Value> = self
            .space
            .parameters()
            .iter()
            .zip(&self.levels)
            .map(|(parameter, levels)| {
                let names = |levels: &[Level]| -> Vec<Value> {
                    levels.iter().map(|level| level.json()).collect()
                };
                let mut object = json!({ "name": parameter.name, "levels": names(levels) });
                match &parameter.scale {
                    Scale::Categories(_) => object["kind"] = "categorical".into(),
                    Scale::Ordered(positions) => {
                        object["kind"] = "ordered".into();
                        object["positions"] = json!(positions);
                    }
                }
                if let Some(condition) = &parameter.when {
                    let on = &self.levels[condition.parameter];
                    let under: Vec<Level> = condition
                        .levels
                        .iter()
                        .map(|l| on[usize::from(*l)])
                        .collect();
                    object["when"] = json!({
                        "parameter": self.space.parameters()[condition.parameter].name,
                        "levels": names(&under),
                    });
                }
                object
            })
            .collect();
        json!({ "parameters": parameters, "default": self.object(&self.default) })
    }

    /// A point as an object of names and values; what does not exist there is left out.
    pub fn object(&self, point: &Point) -> Map<String, Value> {
        let parameters = self.space.parameters().iter().enumerate();
        parameters
            .filter_map(|(index, parameter)| {
                let level = self.levels[index].get(usize::from(point.level(index)?))?;
                Some((parameter.name.clone(), level.json()))
            })
            .collect()
    }

    /// The point of an object. What is left out is NCCL's own; what does not exist under the rest is
    /// ignored.
    ///
    /// # Errors
    /// A name or a value that the space does not have.
    pub fn point(&self, object: &Map<String, Value>) -> Result<Point, EncodingError> {
        let names: BTreeMap<&str, usize> = (0..)
            .zip(self.space.parameters())
            .map(|(index, parameter)| (parameter.name.as_str(), index))
            .collect();
        let mut wanted: Vec<u16> = (0..self.levels.len())
            .map(|p| self.default_level(p))
            .collect();
        for (name, value) in object {
            let Some(&parameter) = names.get(name.as_str()) else {
                return Err(EncodingError::Name { name: name.clone() });
            };
            // 8 and 8.0 are one number to most languages.
            let same = |level: &Level| match (level, value.as_f64()) {
                #[allow(clippy::cast_precision_loss)] // channels and chunk sizes
                (Level::Number(Some(number)), Some(asked)) => {
                    (*number as f64).to_bits() == asked.to_bits()
                }
                _ => level.json() == *value,
            };
            let Some(level) = self.levels[parameter].iter().position(same) else {
                let levels: Vec<String> = self.levels[parameter]
                    .iter()
                    .map(|level| level.json().to_string())
                    .collect();
                return Err(EncodingError::Level {
                    name: name.clone(),
                    value: value.to_string(),
                    levels: levels.join(", "),
                });
            };
            wanted[parameter] = u16::try_from(level).unwrap_or(u16::MAX);
        }
        Ok(self.space.point(&wanted))
    }
}
