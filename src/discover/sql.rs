//! Single questions to the running server, asked inside its own container.

use std::time::Duration;

use crate::error::{Exit, Failure, Result};
use crate::facts::server::Session;
use crate::k8s::K8s;
use crate::postgres::version::ServerVersion;

const PRELUDE: &str = include_str!("../scripts/sql.sh");
const ASK: &str = "PGUP_OPTIONS=; PGUP_HELLO=$1; connect; printf '%s\\n' \"$PGUP_FIRST\"\n";
/// Longest time for one answer.
const PATIENCE: Duration = Duration::from_secs(60);
const CHECKPOINT: &str = include_str!("../scripts/checkpoint.sh");

/// Runs one statement as the superuser and returns what it printed.
///
/// # Errors
/// When the container cannot be reached or the server refuses.
pub async fn ask(k8s: &K8s, pod: &str, container: &str, statement: &str) -> Result<String> {
    run(k8s, pod, container, ASK, &[statement], PATIENCE).await
}

/// CHECKPOINT, and everything of the data directory's file system to the disk.
///
/// # Errors
/// As [`ask`].
pub async fn checkpoint(k8s: &K8s, pod: &str, container: &str) -> Result<()> {
    run(
        k8s,
        pod,
        container,
        CHECKPOINT,
        &[],
        Duration::from_secs(3600),
    )
    .await
    .map(drop)
}

/// The version that answers.
///
/// # Errors
/// As [`ask`].
pub async fn version(k8s: &K8s, pod: &str, container: &str) -> Result<ServerVersion> {
    version_within(k8s, pod, container, PATIENCE).await
}

/// The version that answers, for which no longer is waited than `limit`.
///
/// # Errors
/// As [`ask`].
pub async fn version_within(
    k8s: &K8s,
    pod: &str,
    container: &str,
    limit: Duration,
) -> Result<ServerVersion> {
    let statement = "SHOW server_version_num";
    let answer = run(k8s, pod, container, ASK, &[statement], limit).await?;
    let number = answer
        .trim()
        .parse()
        .map_err(|_| Failure::new(Exit::Failed, format!("server_version_num is {answer:?}")))?;
    ServerVersion::from_num(number)
        .ok_or_else(|| Failure::new(Exit::Failed, format!("server_version_num is {answer:?}")))
}

/// Client sessions other than our own.
///
/// # Errors
/// As [`ask`].
pub async fn sessions(k8s: &K8s, pod: &str, container: &str) -> Result<Vec<Session>> {
    let answer = ask(
        k8s,
        pod,
        container,
        "SELECT coalesce(json_agg(json_build_object('pid', pid, 'database', datname, 'role', usename, \
         'applicationName', application_name, 'address', host(client_addr), 'state', state)), '[]') \
         FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() \
         AND application_name <> 'kubectl-pg-upgrade'",
    )
    .await?;
    Ok(serde_json::from_str(answer.trim())?)
}

/// Runs the script that comes by stdin. In the address of the request it would be too long for some proxies, and end in
/// audit logs.
pub(super) const FROM_STDIN: [&str; 4] = ["sh", "-c", r#"script=$(cat) && eval "$script""#, "sh"];

/// As [`FROM_STDIN`], up to a mark: what comes after it is the script's own stdin.
const HELD: &str = r#"script=
while IFS= read -r line && [ "$line" != '#end of script' ]; do script="$script$line
"; done
eval "$script""#;

/// The command whose stdin is [`held_script`], and then what that script reads.
pub(crate) fn held<'a>(args: &[&'a str]) -> Vec<&'a str> {
    [&["sh", "-c", HELD, "sh"], args].concat()
}

/// A script with the prelude that knows the way in, for [`held`].
pub(crate) fn held_script(script: &str) -> Vec<u8> {
    [with_prelude(script), b"\n#end of script\n".to_vec()].concat()
}

/// A script with the prelude that knows the way in.
pub(super) fn with_prelude(script: &str) -> Vec<u8> {
    format!("{PRELUDE}\n{script}").into_bytes()
}

/// Runs a script behind the prelude that knows the way in.
pub(crate) async fn run(
    k8s: &K8s,
    pod: &str,
    container: &str,
    script: &str,
    args: &[&str],
    limit: Duration,
) -> Result<String> {
    let command = [&FROM_STDIN, args].concat();
    let output = k8s
        .exec(pod, container, &command, Some(with_prelude(script)), limit)
        .await
        .map_err(|e| Failure::from(e).context(format!("asking the server in Pod {pod}")))?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.code == 0 {
        return Ok(said);
    }
    let detail = serde_json::from_str::<serde_json::Value>(said.lines().last().unwrap_or_default())
        .ok()
        .and_then(|v| v["detail"].as_str().map(str::to_owned))
        .unwrap_or_else(|| output.stderr.trim().to_owned());
    Err(Failure::new(
        Exit::Failed,
        format!("the server in Pod {pod} did not answer: {detail}"),
    ))
}

/// Bytes that a directory takes, as the server's container sees it; `None` when it does not exist.
///
/// # Errors
/// When the container cannot be reached.
pub async fn directory_bytes(
    k8s: &K8s,
    pod: &str,
    container: &str,
    path: &str,
) -> Result<Option<u64>> {
    let script = "[ -d \"$1\" ] || exit 0; du -sk \"$1\" 2>/dev/null | cut -f1";
    let output = k8s
        .exec(
            pod,
            container,
            &["sh", "-c", script, "sh", path],
            None,
            Duration::from_secs(60),
        )
        .await
        .map_err(|e| Failure::from(e).context(format!("looking into {path} in Pod {pod}")))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(text.trim().parse::<u64>().ok().map(|kib| kib * 1024))
}
