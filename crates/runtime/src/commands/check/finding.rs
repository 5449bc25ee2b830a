//! What `check` finds: one thing each, how it stands, what that means, and what helps.

use crate::commands::for_people;
use crate::{Explain, Result};
use serde::Serialize;

/// How a thing stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// It is there, or right.
    Ok,
    /// It is not, and some containers need it.
    Warning,
    /// It is not, and no container runs without it; or not the one that was asked about.
    Lacks,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What it belongs to: `kernel`, `cgroups`, `bundle`.
    pub section: &'static str,
    /// The thing.
    pub what: String,
    /// How it stands.
    #[serde(rename = "status")]
    pub standing: Standing,
    /// The line of config.json that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// What was found.
    pub detail: String,
    /// What won't work.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub consequence: String,
    /// What helps.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub remedy: String,
}

impl Finding {
    /// A thing that is as it should be.
    pub(crate) fn ok(
        section: &'static str,
        what: impl Into<String>,
        detail: impl Into<String>,
    ) -> Self {
        Self {
            section,
            what: what.into(),
            standing: Standing::Ok,
            line: None,
            detail: detail.into(),
            consequence: String::new(),
            remedy: String::new(),
        }
    }

    /// The same thing, without which no container runs, and what helps.
    pub(crate) fn lacks(self, consequence: impl Into<String>, remedy: impl Into<String>) -> Self {
        let (consequence, remedy) = (consequence.into(), remedy.into());
        Self { standing: Standing::Lacks, consequence, remedy, ..self }
    }

    /// The same thing, without which some containers run, and what helps.
    pub(crate) fn warns(self, consequence: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { standing: Standing::Warning, ..self.lacks(consequence, remedy) }
    }

    /// The same as a warning, if it is one only here.
    pub(crate) fn only_warns_if(self, it_does: bool) -> Self {
        if it_does && self.standing == Standing::Lacks {
            Self { standing: Standing::Warning, ..self }
        } else {
            self
        }
    }
}

/// What most wrong properties of a config lead to.
pub(super) const CREATE_FAILS: &str = "create refuses the config";

/// A finding about a property of the config.
pub(super) fn at(property: impl Into<String>, detail: impl Into<String>) -> Finding {
    Finding::ok("bundle", property, detail)
}

/// All that was found.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Whether nothing lacks.
    pub ok: bool,
    /// What was found, in the order to show it in.
    pub findings: Vec<Finding>,
}

impl Report {
    pub(crate) fn new(findings: Vec<Finding>) -> Self {
        let ok = findings.iter().all(|one| one.standing != Standing::Lacks);
        Self { ok, findings }
    }

    /// The report as JSON.
    pub fn to_json(&self) -> Result<String> {
        for_people(self).within("printing the report")
    }
}
