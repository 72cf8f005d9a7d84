//! One file per subcommand: discover, decide, show, confirm, execute, report.

mod bring_up;
pub mod cleanup;
pub mod completion;
mod dry_run;
mod flags;
mod given;
pub mod history;
mod image_probe;
pub mod list;
mod permanent;
pub mod preflight;
pub mod quiesce;
pub mod rbac;
pub mod rehearse;
pub mod report;
pub mod restore;
mod restore_dump;
pub mod resume;
pub mod run;
mod runs;
mod side_by_side;
mod side_dump;
mod side_report;
pub mod snapshot;
pub mod status;
mod survey;
pub mod upgrade;
pub mod vacuum;
pub mod version;

use crate::cli::options::{ActArgs, DryRun, TargetArgs};
use crate::discover::Namespace;
use crate::discover::target::{self, Found};
use crate::error::{Exit, Failure, Result};
use crate::facts::instance::InstanceFacts;
use crate::k8s::ConnectOptions;
use crate::k8s::{K8s, Notice};
use crate::output::{self, Ui};
use crate::steps::Step;

/// What every command that talks to the API server needs.
pub struct Session {
    /// The wire.
    pub k8s: K8s,
    /// The story, on stderr.
    pub ui: Ui,
}

/// What a step changes in the pod template, as lines of YAML behind a title.
fn template_lines(step: &Step) -> Vec<String> {
    let Step::Switch {
        template: Some(patch),
        ..
    } = step
    else {
        return Vec::new();
    };
    let mut shown = patch.clone();
    for container in shown["containers"].as_array_mut().into_iter().flatten() {
        if let Some(members) = container.as_object_mut() {
            // The order of variables is the API server's business.
            members.retain(|name, _| !name.starts_with("$setElementOrder"));
        }
    }
    let text = output::yaml(&shown).unwrap_or_default();
    let lines = text.lines().map(|line| format!("      {line}"));
    ["  change of the pod template (null and delete: taken away):".to_owned()]
        .into_iter()
        .chain(lines)
        .collect()
}

impl Session {
    /// Reads the kubeconfig and builds the client; nothing is asked of the API server yet.
    ///
    /// # Errors
    /// Exit code 2 when the kubeconfig or the flags do not make a connection.
    pub async fn open(options: &ConnectOptions, ui: Ui) -> Result<Self> {
        let k8s = K8s::connect(options).await.map_err(|e| Failure {
            exit: Exit::Usage,
            error: e,
            hints: Vec::new(),
        })?;
        let voice = ui.clone();
        k8s.on_notice(move |notice| match notice {
            Notice::Warning(text) => voice.warn(text),
            Notice::Retrying { call, why, since } => {
                voice.warn(format!(
                    "{call}: {why}; trying again ({} s)",
                    since.as_secs()
                ));
            }
        });
        Ok(Self { k8s, ui })
    }

    /// The instance that TARGET means, and the namespace that it was found in.
    ///
    /// # Errors
    /// Those of [`target::find`], and when the namespace cannot be read.
    pub(crate) async fn instance(&self, args: &TargetArgs) -> Result<(Namespace, Found)> {
        let namespace = Namespace::read(&self.k8s).await?;
        let (target, container) = (args.target.as_ref(), args.container.as_deref());
        let found = target::find(&self.k8s, &namespace, target, container).await?;
        Ok((namespace, found))
    }

    /// Shows what is going to be done and asks, unless told not to.
    ///
    /// # Errors
    /// Exit code 2 without a terminal and without `--yes`; exit code 130 when the answer is no.
    pub fn confirm(&self, act: &ActArgs, what: &str, steps: &[Step]) -> Result<()> {
        self.show(what, steps);
        if act.yes {
            return Ok(());
        }
        match self.ui.confirm("Do you want to continue?") {
            Ok(true) => Ok(()),
            Ok(false) => Err(Failure::new(
                Exit::Interrupted,
                "not confirmed; nothing was changed",
            )),
            Err(_) => Err(Failure::usage(
                "there is no terminal to confirm on; nothing was changed",
            )
            .hint("add --yes to go on without asking, or --dry-run to see the steps")),
        }
    }

    /// Shows the steps of a plan.
    pub fn show(&self, what: &str, steps: &[Step]) {
        self.ui.say(format!(
            "{what} in namespace {} of context {}:",
            self.k8s.namespace(),
            self.k8s.context()
        ));
        for (number, step) in steps.iter().enumerate() {
            self.ui.say(format!("  {:>2}. {step}", number + 1));
        }
        for line in steps.iter().flat_map(template_lines) {
            self.ui.say(line);
        }
    }

    /// `--dry-run`: the steps are shown, the API server is asked about each write when that is wanted, and that is all.
    ///
    /// # Errors
    /// Exit code 3 when the API server would refuse a write.
    pub(crate) async fn is_dry_run(
        &self,
        act: &ActArgs,
        instance: &InstanceFacts,
        what: &str,
        steps: &[Step],
    ) -> Result<bool> {
        if act.dry_run == DryRun::None {
            return Ok(false);
        }
        self.show(what, steps);
        if act.dry_run == DryRun::Server {
            dry_run::ask(self, instance, steps).await?;
        }
        self.ui.say("nothing was done (dry run)");
        Ok(true)
    }
}
