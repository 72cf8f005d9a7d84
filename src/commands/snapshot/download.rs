//! `snapshot --method dump --download FILE`: a dump on the user's machine, as a tar.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::part::Part;
use super::tar::{self, File};
use crate::commands::Session;
use crate::commands::runs::Run;
use crate::error::{Exit, Failure, Result};
use crate::exec::Acting;
use crate::output::human_bytes;
use crate::record::{DumpEntry, Record};
use crate::steps::{Step, dump_access, worker::CONTAINER};

/// Lists a dump: its sizes, its manifest and the sizes of these two.
const LIST: &str =
    r#"cd "$1" && cat sizes && stat -c '%s %n' sizes manifest && cat manifest && : >"$HOME/used""#;
/// Sends the files from number $2 on, the first of them from byte $3 on. The pod ends when nobody has used it for a while.
const SEND: &str = r#"cd "$1" || exit 1
main=$$
(while kill -0 "$main" 2>/dev/null; do : >"$HOME/used"; sleep 20; done) >/dev/null 2>&1 &
names() { sed 's/^[^ ]* [ *]//' manifest; echo manifest; }
tail -c "+$(($3 + 1))" "$(names | sed -n "$(($2 + 1))p")" && names | tail -n "+$(($2 + 2))" | xargs cat"#;
/// Connections that may be lost without a byte in between.
const TRIES: usize = 5;
const LIMIT: Duration = Duration::from_secs(24 * 3600);

/// Where a download is written until it is whole.
pub(super) fn part_of(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".part");
    name.into()
}

/// Refuses a file that is there already.
///
/// # Errors
/// Exit code 2.
pub(super) fn refuse_existing(file: &Path) -> Result<()> {
    if file.symlink_metadata().is_ok() {
        return Err(
            Failure::usage(format!("{} exists and is not overwritten", file.display()))
                .hint("nothing was changed; name another file with --download"),
        );
    }
    Ok(())
}

/// The newest dump that is whole, and who may read it.
pub(super) fn newest(record: &Record) -> Option<(DumpEntry, i64, i64)> {
    let dump = record.dumps.iter().rev().find(|dump| dump.sealed)?;
    record.steps.iter().find_map(|entry| match &entry.step {
        Step::DumpClaim { place, uid, gid } if *place == dump.place => {
            Some((dump.clone(), *uid, *gid))
        }
        _ => None,
    })
}

/// Brings the newest dump of a run to `file`.
///
/// # Errors
/// When it is not whole any more, cannot be read, or cannot be written here.
pub(super) async fn run(session: &Session, run: &mut Run, file: &Path) -> Result<()> {
    let Some((dump, uid, gid)) = newest(&run.record) else {
        return Err(Failure::refused(format!(
            "run {} has no finished dump",
            run.record.run
        )));
    };
    let step = session
        .ui
        .step(format!("bring dump {} to {}", dump.place, file.display()));
    let acting = Acting::new(&session.k8s, &session.ui, &run.store, &mut run.record);
    let pod = dump_access::open(&acting, &dump.place, (uid, gid)).await?;
    let directory = dump_access::directory(&dump.place);
    let fetched = async {
        let files = list(session, &pod, &directory).await?;
        let part = part_of(file);
        let seconds = u64::try_from(dump.at.as_second()).unwrap_or(0);
        let here = |e: io::Error| Failure::from(e).context(format!("writing {}", part.display()));
        let mut out = Part::open(&part, &dump.place.directory, &files, seconds).map_err(here)?;
        let total: u64 = files.iter().map(|file| file.size).sum();
        let had = out.done();
        let mut tries = TRIES;
        while let Some((number, offset)) = out.next() {
            let before = out.done();
            let (number, offset) = (number.to_string(), offset.to_string());
            let argv = ["sh", "-c", SEND, "sh", &directory, &number, &offset];
            let mut wrong = None;
            let sent = session
                .k8s
                .exec_bytes(&pod, CONTAINER, &argv, LIMIT, |bytes| {
                    wrong = out.take(bytes).err();
                    step.note(format!(
                        "{} of {}",
                        human_bytes(out.done()),
                        human_bytes(total)
                    ));
                    wrong.is_none()
                })
                .await;
            if let Some(wrong) = wrong {
                return Err(here(wrong));
            }
            match sent {
                Ok(output) if output.code == 0 => {
                    out.take(&[]).map_err(here)?;
                    if out.next().is_some() {
                        let why =
                            "the dump is truncated: the pod sent less than its manifest names";
                        return Err(Failure::new(Exit::Failed, why));
                    }
                }
                Ok(output) => return Err(Failure::new(Exit::Failed, output.stderr)),
                Err(error) if error.may_be_running() => {
                    tries = if out.done() > before {
                        TRIES
                    } else {
                        tries - 1
                    };
                    if tries == 0 {
                        return Err(Failure::from(error));
                    }
                }
                Err(error) => return Err(Failure::from(error)),
            }
        }
        out.finish().map_err(here)?;
        refuse_existing(file)?;
        std::fs::rename(&part, file).map_err(here)?;
        Ok((total, had))
    };
    let fetched = fetched.await;
    let closed = dump_access::close(&acting, &pod).await;
    match fetched {
        Ok((total, had)) => {
            closed?;
            let kept = if had > 0 {
                format!(", of which {} were there", human_bytes(had))
            } else {
                String::new()
            };
            step.done(format!(
                "{}{kept}, every checksum is right",
                human_bytes(total)
            ));
            Ok(())
        }
        Err(failure) => {
            step.failed(failure.error.to_string());
            Err(failure
                .context(format!("downloading dump {}", dump.place))
                .hint("the dump on the claim is as it was; the same command typed again goes on with what is here"))
        }
    }
}

async fn list(session: &Session, pod: &str, directory: &str) -> Result<Vec<File>> {
    let argv = ["sh", "-c", LIST, "sh", directory];
    let limit = Duration::from_secs(300);
    let mut lines = Vec::new();
    let output = session
        .k8s
        .exec_lines(pod, CONTAINER, &argv, None, limit, |line| {
            lines.push(line.to_owned());
        })
        .await?;
    if output.code != 0 {
        return Err(Failure::new(Exit::Failed, output.stderr));
    }
    tar::files(&lines)
        .map_err(|why| Failure::new(Exit::Failed, format!("the dump is not whole: {why}")))
}
