//! `list`: every PostgreSQL in sight, with what can be said about it without touching it.

use std::io::{IsTerminal as _, Write};

use clap::Args;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::Session;
use super::report::API_VERSION;
use crate::cli::options::OutputArgs;
use crate::discover::{inventory, list};
use crate::error::{Exit, Result};
use crate::facts::instance::{Owner, OwnerKind};
use crate::facts::listed::Listed;
use crate::k8s::selector::Selector;
use crate::output::{self, Cell, ColorChoice, Look, Report, TableSection, Tone, human_bytes};
use crate::plan::outlook::{Outlook, Support, outlook};

/// List every PostgreSQL in the namespace, or in all of them
///
/// Instances of operators are listed too. Nothing is changed.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  # Every PostgreSQL of this namespace
  kubectl pg-upgrade list

  # Of all namespaces, by the lists alone: no command is run in any pod
  kubectl pg-upgrade list -A --no-exec

  # Those of one team, with image, pod and claim
  kubectl pg-upgrade list -l team=shop -o wide

  # What is past its end of life, for a script
  kubectl pg-upgrade list -A -o jsonpath='{.items[?(@.support==\"ended\")].target}'

VERSION is the running server's word where a command may be run in its pod, else the image tag's, marked (tag). \
BLOCKERS are those that lists tell; preflight finds the others. The list of all namespaces needs a ClusterRole: \
kubectl pg-upgrade rbac --read-only --cluster-role")]
pub struct ListArgs {
    /// Look into all namespaces
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    /// Only those whose workload, or whose pods where there is none, have such labels
    #[arg(short = 'l', long, value_name = "SELECTOR")]
    selector: Option<Selector>,
    /// Run no command in any pod; versions are those of image tags
    #[arg(long)]
    no_exec: bool,
    #[command(flatten)]
    output: OutputArgs,
}

/// Prints the list; an empty one is no error.
///
/// # Errors
/// When neither workloads nor pods may be listed.
pub async fn run(args: &ListArgs, session: &Session, out: &mut dyn Write) -> Result<Exit> {
    let k8s = &session.k8s;
    let inventory = list::read(k8s, args.all_namespaces).await?;
    for unknown in &inventory.unknown {
        session.ui.warn(format!("not listed: {unknown}"));
    }
    let mut listed = inventory::rows(&inventory, args.selector.as_ref());
    if !args.no_exec {
        let asked = list::ask_versions(k8s, &mut listed).await;
        if let Some(words) = asked.denied {
            session.ui.warn(format!(
                "servers could not be asked for their versions: {words}; those of image tags are shown (--no-exec asks none)"
            ));
        }
        for (pod, why) in asked.silent {
            session
                .ui
                .warn(format!("Pod {pod} did not tell its version: {why}"));
        }
    }
    let today = k8s.now().to_zoned(TimeZone::UTC).date();
    let report = InstanceList {
        rows: listed
            .into_iter()
            .map(|one| {
                let outlook = outlook(&one, today);
                (one, outlook)
            })
            .collect(),
        all_namespaces: args.all_namespaces,
        unknown: inventory.unknown,
        today,
    };
    if report.rows.is_empty() {
        session.ui.say(if args.all_namespaces {
            "No PostgreSQL found".to_owned()
        } else {
            format!("No PostgreSQL found in namespace {}", k8s.namespace())
        });
    }
    let look = Look {
        color: ColorChoice::Auto.for_stream(std::io::stdout().is_terminal()),
        ..Look::default()
    };
    output::print_with(out, &args.output.output, &report, look)?;
    Ok(Exit::Done)
}

/// The list, printable.
struct InstanceList {
    rows: Vec<(Listed, Outlook)>,
    all_namespaces: bool,
    unknown: Vec<String>,
    today: Date,
}

impl Report for InstanceList {
    fn json(&self) -> Value {
        let items: Vec<Value> = self
            .rows
            .iter()
            .map(|(one, seen)| item(one, seen))
            .collect();
        json!({
            "apiVersion": API_VERSION,
            "kind": "InstanceList",
            "asOf": self.today.to_string(),
            "notListed": self.unknown,
            "items": items,
        })
    }

    fn tables(&self, wide: bool) -> Vec<TableSection> {
        let mut headers = Vec::new();
        if self.all_namespaces {
            headers.push("NAMESPACE");
        }
        headers.extend([
            "NAME",
            "VERSION",
            "NEWEST",
            "END OF LIFE",
            "SIZE",
            "MANAGED BY",
            "METHOD",
            "BLOCKERS",
        ]);
        if wide {
            headers.extend(["IMAGE", "POD/CLAIM"]);
        }
        let mut table = TableSection::new(headers);
        for (one, seen) in &self.rows {
            let mut row = Vec::new();
            if self.all_namespaces {
                row.push(Cell::from(&one.namespace));
            }
            row.extend([
                Cell::from(&one.target),
                version(one, seen),
                Cell::from(seen.newest.map(|newest| newest.to_string())),
                end_of_life(seen),
                Cell::from(one.capacity_bytes.map(human_bytes)),
                Cell::from(managers(&one.owners)),
                Cell::from(seen.method.map_or("-", |method| method.as_str())),
                blockers(&seen.blockers),
            ]);
            if wide {
                row.push(Cell::from(&one.image));
                let place = [one.pod.as_str(), one.claim.as_str()];
                row.push(Cell::from(place.join("/")));
            }
            table.row(row);
        }
        vec![table]
    }

    fn names(&self) -> Vec<String> {
        self.rows
            .iter()
            .map(|(one, _)| match one.target.split_once('/') {
                Some((kind @ ("statefulset" | "deployment"), name)) => {
                    format!("{kind}.apps/{name}")
                }
                _ => one.target.clone(),
            })
            .collect()
    }
}

fn item(one: &Listed, seen: &Outlook) -> Value {
    let source = match (one.version, one.claimed) {
        (Some(_), _) => "server",
        (None, Some(_)) => "tag",
        (None, None) => "unknown",
    };
    json!({
        "namespace": one.namespace,
        "target": one.target,
        "runsAs": one.runs_as,
        "version": one.version,
        "major": one.major(),
        "versionSource": source,
        "newestMinor": seen.newest,
        "endOfLife": seen.end_of_life.map(|end| end.to_string()),
        "support": seen.support,
        "image": one.image,
        "container": one.container,
        "replicas": one.replicas,
        "pod": one.pod,
        "state": one.state,
        "claim": one.claim,
        "capacityBytes": one.capacity_bytes,
        "managedBy": one.owners,
        "method": seen.method,
        "blockers": seen.blockers,
    })
}

fn version(one: &Listed, seen: &Outlook) -> Cell {
    match (one.version, one.claimed) {
        (Some(version), _) => {
            let old = seen.newest.is_some_and(|newest| version < newest);
            let tone = if old { Tone::Warn } else { Tone::Plain };
            Cell::new(version.to_string(), tone)
        }
        (None, Some(major)) => Cell::from(format!("{major} (tag)")),
        (None, None) => Cell::from("<unknown>"),
    }
}

fn end_of_life(seen: &Outlook) -> Cell {
    let tone = match seen.support {
        Some(Support::Ended) => Tone::Bad,
        Some(Support::EndsSoon) => Tone::Warn,
        Some(Support::Supported) | None => Tone::Plain,
    };
    let text = seen.end_of_life.map(|end| end.to_string());
    Cell::new(text.unwrap_or_default(), tone)
}

fn managers(owners: &[Owner]) -> String {
    let words: Vec<String> = owners
        .iter()
        .map(|owner| match owner.kind {
            OwnerKind::Operator | OwnerKind::Other => owner.name.clone(),
            OwnerKind::Helm => format!("Helm {}", owner.name),
            OwnerKind::ArgoCd => format!("Argo CD {}", owner.name),
            OwnerKind::Flux => format!("Flux {}", owner.name),
        })
        .collect();
    words.join(", ")
}

fn blockers(blockers: &[String]) -> Cell {
    if blockers.is_empty() {
        Cell::default()
    } else {
        Cell::new(blockers.join(", "), Tone::Bad)
    }
}

#[cfg(test)]
mod tests;
