//! `GET /slm/v1/doctor` (ours): advice about the whole installation.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What the daemon finds when it looks at its installation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DoctorResponse {
    /// The findings, by area.
    pub findings: Vec<Finding>,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Finding {
    /// What it is about: `daemon`, `home`, `disk`, `memory`, `devices`, `kernels`, `sandbox`, `network`, `config` or `ports`.
    pub area: String,
    /// How much it matters.
    pub level: FindingLevel,
    /// One line for people, in lower case.
    pub text: String,
    /// What helps: a command, or a few words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FindingLevel {
    /// As it should be.
    Ok,
    /// Models run, but something could be better, or be a surprise.
    Note,
    /// It keeps models from running.
    Problem,
}

impl Finding {
    /// A finding that is as it should be.
    pub fn ok(area: &str, text: impl Into<String>) -> Self {
        Self {
            area: area.to_owned(),
            level: FindingLevel::Ok,
            text: text.into(),
            remedy: None,
        }
    }

    /// A finding that could be better.
    pub fn note(area: &str, text: impl Into<String>) -> Self {
        Self {
            level: FindingLevel::Note,
            ..Self::ok(area, text)
        }
    }

    /// A finding that keeps models from running.
    pub fn problem(area: &str, text: impl Into<String>) -> Self {
        Self {
            level: FindingLevel::Problem,
            ..Self::ok(area, text)
        }
    }

    /// The same with what helps.
    #[must_use]
    pub fn with_remedy(self, remedy: impl Into<String>) -> Self {
        Self {
            remedy: Some(remedy.into()),
            ..self
        }
    }
}
