//! Which of the repairs is meant.

use sternway_model::catalog::TrackName;
use sternway_model::position::Position;
use thiserror::Error;

use super::{Diagnosis, Repair, RepairKind};

/// What somebody asks the doctor for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// The kind of repair.
    pub kind: RepairKind,
    /// What the row is to say, where that alone is written.
    pub to: Position,
    /// The track, where several need it.
    pub track: Option<TrackName>,
    /// Whether what it destroys and cannot keep may go.
    pub discard: bool,
}

/// Why there is no repair to carry out.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum ChoiceError {
    /// None fits.
    #[error("nothing can be repaired so")]
    None,
    /// Several fit.
    #[error("several repairs may be meant")]
    Several,
    /// It destroys what cannot be kept.
    #[error("{}, which cannot be kept, would be destroyed", .0.join(", "))]
    Unkept(Vec<String>),
}

impl Choice {
    /// The one repair that is meant, and what it repairs.
    ///
    /// # Errors
    /// When none or several are, and when the one destroys what cannot be kept.
    pub fn among<'a>(
        &self,
        diagnoses: &'a [Diagnosis],
    ) -> Result<(&'a Diagnosis, &'a Repair), ChoiceError> {
        let diagnoses =
            diagnoses.iter().filter(|it| self.track.as_ref().is_none_or(|of| *of == it.track));
        let repairs =
            diagnoses.flat_map(|diagnosis| diagnosis.repairs.iter().map(move |it| (diagnosis, it)));
        let is_meant = |it: &Repair| {
            it.kind == self.kind && (self.kind != RepairKind::SetRow || it.to == self.to)
        };
        let mut meant = repairs.filter(|(_, repair)| is_meant(repair));
        match (meant.next(), meant.next()) {
            (None, _) => Err(ChoiceError::None),
            (Some(_), Some(_)) => Err(ChoiceError::Several),
            (Some((_, repair)), None) if !repair.unkept.is_empty() && !self.discard => {
                Err(ChoiceError::Unkept(repair.unkept.clone()))
            }
            (Some(one), None) => Ok(one),
        }
    }
}
