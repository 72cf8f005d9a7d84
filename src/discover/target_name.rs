//! TARGET, as it is typed.

use crate::operators;

/// TARGET as it was typed: an optional kind and a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetName {
    /// `StatefulSet`, `Deployment`, or an operator's custom resource as `list` names it, when it was said.
    pub kind: Option<&'static str>,
    /// Name of the workload, or of the custom resource.
    pub name: String,
}

impl std::str::FromStr for TargetName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, name) = match text.split_once('/') {
            None => (None, text),
            Some((kind, name)) => {
                let kind = match kind.to_ascii_lowercase().as_str() {
                    "sts" | "statefulset" | "statefulsets" | "statefulset.apps"
                    | "statefulsets.apps" => "StatefulSet",
                    "deploy" | "deployment" | "deployments" | "deployment.apps"
                    | "deployments.apps" => "Deployment",
                    // Not to be worked on, but to be answered.
                    other => operators::ALL
                        .iter()
                        .map(|operator| operator.resource)
                        .find(|resource| *resource == other)
                        .ok_or_else(|| {
                            format!(
                            "{kind:?} is not a kind this command knows; use statefulset/NAME or deployment/NAME"
                        )
                        })?,
                };
                (Some(kind), name)
            }
        };
        let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
        if name.is_empty() || name.len() > 253 || !name.chars().all(legal) {
            return Err(format!(
                "{name:?} is not a name of a StatefulSet or Deployment"
            ));
        }
        Ok(Self {
            kind,
            name: name.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<(Option<&'static str>, String)> {
        text.parse::<TargetName>().ok().map(|t| (t.kind, t.name))
    }

    #[test]
    fn kinds_are_those_of_kubectl_and_of_operators() {
        let named = |kind| Some((kind, "pg".to_owned()));
        assert_eq!(read("pg"), named(None));
        assert_eq!(read("sts/pg"), named(Some("StatefulSet")));
        assert_eq!(read("deployments.apps/pg"), named(Some("Deployment")));
        let operators = "cluster.postgresql.cnpg.io";
        assert_eq!(
            read("cluster.postgresql.cnpg.io/pg"),
            named(Some(operators))
        );
        for bad in ["", "pod/pg", "sts/", "sts/Pg", "cluster/pg", "sts/pg/x"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
