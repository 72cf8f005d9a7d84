//! `snapshot --method dump`: a dump of the running server on a claim.

use std::io::Write;
use std::path::Path;

use super::{SnapshotArgs, download};
use crate::checks::{self, CheckInput, Severity};
use crate::commands::Session;
use crate::commands::report::RunReport;
use crate::commands::runs::{self, Run};
use crate::discover::target::Found;
use crate::discover::{self, Namespace};
use crate::error::{Exit, Failure, Result};
use crate::facts::instance::InstanceFacts;
use crate::facts::server::ServerFacts;
use crate::facts::surroundings::Surroundings;
use crate::k8s::names;
use crate::manifests::login::login;
use crate::output;
use crate::plan::dump::{self as plan, DumpClaim};
use crate::postgres::initdb::Wish;
use crate::record::{Asked, DUMP, DumpPlace, Phase, Record};
use crate::steps::{Source, Step};

/// Makes a dump, or goes on with one.
///
/// # Errors
/// Exit code 2 without a claim to put it on, 3 where there can be none, 1 when it failed.
pub(super) async fn run(
    args: &SnapshotArgs,
    session: &Session,
    out: &mut dyn Write,
) -> Result<Exit> {
    if args.class.is_some() {
        return Err(Failure::usage(
            "--class is of a volume snapshot: --method dump has none",
        ));
    }
    if let Some(file) = &args.download {
        download::refuse_existing(file)?;
    }
    let Some(claim) = &args.dump_claim else {
        if let Some(file) = &args.download {
            return existing(args, session, file).await;
        }
        return Err(
            Failure::usage("a dump needs a claim to lie on: say --dump-claim too").hint(
                "one that is made: --dump-claim 5Gi; one that exists: --dump-claim NAME; about half of the data's size is enough",
            ),
        );
    };
    let (namespace, found) = session.instance(&args.target).await?;
    let workload = &found.facts.workload;
    let existing = runs::current(session, workload, args.target.run_id.as_deref()).await?;
    if let Some(run) = &existing
        && run.record.upgrade.is_some()
        && run.record.has_open_steps()
    {
        return Err(Failure::refused(format!(
            "run {} of {workload} is not finished",
            run.record.run
        ))
        .hint("nothing was changed; finish it first: the command that began it goes on with it"));
    }
    let begun = existing.as_ref().is_some_and(|run| is_dumping(&run.record));
    let steps = if begun {
        Vec::new()
    } else {
        steps(args, session, &namespace, &found, claim, existing.as_ref()).await?
    };
    if session
        .is_dry_run(&args.act, &found.facts, "snapshot", &steps)
        .await?
    {
        return Ok(Exit::Done);
    }
    let mut run = if let Some(run) = existing {
        run
    } else {
        let asked = Asked {
            command: "snapshot".to_owned(),
            ..Asked::default()
        };
        runs::start(session, asked, &found.facts).await?
    };
    if begun {
        let begun_by = &run.record.started_by;
        session.ui.say(format!(
            "going on with the dump of run {}, begun by {begun_by}",
            run.record.run
        ));
    } else {
        session.show("snapshot", &steps);
    }
    // The server's pod may be another than when the run was begun.
    run.record.instance.pod.clone_from(&found.facts.pod);
    run.record.plan(Phase::Snapshot, steps);
    runs::execute(session, &mut run).await?;
    if let Some(file) = &args.download {
        download::run(session, &mut run, file).await?;
    }
    let report = RunReport {
        record: &run.record,
        now: session.k8s.now(),
        requests: session.k8s.requests(),
    };
    output::print(out, &args.output.output, &report)?;
    Ok(Exit::Done)
}

/// Brings the newest dump that there is.
async fn existing(args: &SnapshotArgs, session: &Session, file: &Path) -> Result<Exit> {
    let (_, found) = session.instance(&args.target).await?;
    let mut runs = runs::of(session, &found.facts.workload).await?;
    if let Some(id) = &args.target.run_id {
        runs.retain(|run| run.record.run == *id);
    }
    let with_dump = |run: &&mut Run| download::newest(&run.record).is_some();
    let Some(run) = runs.iter_mut().rev().find(with_dump) else {
        return Err(Failure::refused(format!(
            "{} has no finished dump to download",
            found.facts.workload
        ))
        .hint("nothing was changed; make one: kubectl pg-upgrade snapshot --method dump --dump-claim 5Gi --download FILE"));
    };
    // The claim is mounted where the server runs now.
    run.record.instance.pod.clone_from(&found.facts.pod);
    download::run(session, run, file).await?;
    Ok(Exit::Done)
}

/// An earlier client was killed over it.
fn is_dumping(record: &Record) -> bool {
    record.has_open_steps()
        && record
            .steps
            .iter()
            .any(|entry| matches!(entry.step, Step::TakeDump { .. }) && entry.finished_at.is_none())
}

async fn steps(
    args: &SnapshotArgs,
    session: &Session,
    namespace: &Namespace,
    found: &Found,
    claim: &DumpClaim,
    existing: Option<&Run>,
) -> Result<Vec<Step>> {
    let k8s = &session.k8s;
    let facts = &found.facts;
    let pod = facts.pod.as_ref().filter(|_| facts.down.is_none());
    let pod = pod.ok_or_else(|| {
        Failure::refused(format!("no server of {} runs", facts.workload))
            .hint("nothing was changed; a dump is read from a running server")
    })?;
    let superuser = login(
        facts.family,
        &found.container,
        &found.workload.pod,
        args.password_secret.as_ref(),
    );
    let superuser = superuser.map_err(|why| Failure::refused(why).hint("nothing was changed"))?;
    let (server, on_claim) = tokio::join!(
        discover::server::read(k8s, &pod.name, &facts.container),
        discover::dump_claim::read(k8s, namespace, claim, Some(&pod.node)),
    );
    let server = server.map_err(|e| {
        Failure::refused(format!(
            "the server in Pod {} could not be read: {e:#}",
            pod.name
        ))
        .hint("nothing was changed")
    })?;
    let owner = |id: Option<u32>| {
        id.map(i64::from)
            .ok_or_else(|| Failure::refused("the owner of the data directory could not be read"))
    };
    let (uid, gid) = (
        owner(server.container.dir_uid)?,
        owner(server.container.dir_gid)?,
    );
    let place = place(session, facts, &server, claim, existing);
    let source = Source {
        uid,
        gid,
        major: server.version.major.to_string(),
        port: server.port,
        login: superuser,
        jobs: args.jobs.unwrap_or(2),
    };
    fits(session, facts, server, on_claim?)?;
    Ok(vec![
        Step::DumpClaim {
            place: place.clone(),
            uid,
            gid,
        },
        Step::TakeDump { place, source },
    ])
}

/// Where it goes: to the place of a dump of this run that was begun and not finished, else to one of its own.
fn place(
    session: &Session,
    facts: &InstanceFacts,
    server: &ServerFacts,
    claim: &DumpClaim,
    existing: Option<&Run>,
) -> DumpPlace {
    let at = session.k8s.now().strftime("%y%m%d-%H%M%S").to_string();
    let name = names::name(&["pg-upgrade", &facts.workload.name, &at, "taken"]);
    let data = server.data_kib().map_or(0, |kib| kib * 1024);
    let new = plan::place(name, claim, data);
    let unfinished = existing.and_then(|run| {
        let mut dumps = run.record.dumps.iter().rev();
        dumps.find(|dump| {
            let same = dump.place.size == new.size;
            !dump.sealed && same && (new.size.is_some() || dump.place.claim == new.claim)
        })
    });
    unfinished.map_or(new, |dump| dump.place.clone())
}

/// What the checks of the claim say.
///
/// # Errors
/// Exit code 3 when it cannot take the dump.
pub(in crate::commands) fn fits(
    session: &Session,
    instance: &InstanceFacts,
    server: ServerFacts,
    claim: crate::facts::dump_claim::DumpClaimFacts,
) -> Result<()> {
    let input = CheckInput {
        instance: instance.clone(),
        server: Some(server),
        target: None,
        access: None,
        surroundings: Surroundings {
            dump_claim: Some(claim),
            ..Surroundings::default()
        },
        dry_run: Vec::new(),
        crossing: None,
        placement: None,
        request: checks::Request {
            to: None,
            image: String::new(),
            transfer: DUMP.to_owned(),
            snapshot: "none".to_owned(),
            wish: Wish::default(),
        },
    };
    let check = checks::find("dump-claim");
    let findings = check.map_or_else(Vec::new, |check| check.findings(&input));
    for finding in findings {
        if finding.severity == Severity::Blocker {
            let refused = Failure::refused(finding.message).hint("nothing was changed");
            return Err(match finding.fix.as_str() {
                "" => refused,
                fix => refused.hint(fix),
            });
        }
        session.ui.warn(finding.message);
    }
    Ok(())
}
