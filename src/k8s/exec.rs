//! Runs commands in pods over the API server's websocket (subprotocol `v5.channel.k8s.io`).
//!
//! kube's own loop is not used: with it a broken connection leaves readers hanging for ever, an answer
//! without status looks like success, and stdin blocks stdout.

use std::time::Duration;

use futures::{FutureExt, Sink, SinkExt, Stream, StreamExt};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;
use kube::Resource;
use kube::api::AttachParams;
use kube::core::Request;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::{Error as WsError, Message};

mod lines;
mod stdin;

use lines::Lines;
use stdin::{FRAME, write};

use super::{ApiError, K8s};

/// Most that [`K8s::exec`] keeps of stdout, bytes; more is an error.
pub const OUTPUT_LIMIT: usize = 8 << 20;
/// How much of the end of stderr is kept, bytes.
const STDERR_KEPT: usize = 64 << 10;
/// A connection on which nothing arrives for this long, pongs included, is dead.
const SILENCE_LIMIT: Duration = Duration::from_secs(45);

const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const STATUS: u8 = 3;
/// Closes the channel named by the next byte; only since v5.
const CLOSE: u8 = 255;

/// What a finished command left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecOutput {
    /// All of stdout; empty when it was given away line by line.
    pub stdout: Vec<u8>,
    /// The last 64 KiB of stderr.
    pub stderr: String,
    /// Exit code.
    pub code: i32,
}

impl ExecOutput {
    /// Stdout as text, wrong bytes replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }
}

/// A command did not run to its end, or its end is not known.
#[derive(Debug, thiserror::Error)]
pub enum ExecError {
    /// The API server refused; nothing ran.
    #[error("running a command in {pod}/{container}: {source}")]
    Refused {
        /// Name of the pod.
        pod: String,
        /// Name of the container.
        container: String,
        /// The API server's answer.
        source: ApiError,
    },
    /// The container runtime could not start the command, such as when the program is not there.
    #[error("cannot run {command} in {pod}/{container}: {why}")]
    NotStarted {
        /// Name of the pod.
        pod: String,
        /// Name of the container.
        container: String,
        /// First word of the command.
        command: String,
        /// The runtime's words.
        why: String,
    },
    /// The connection ended before the command; it may still be running.
    #[error(
        "the connection to {pod}/{container} was lost after {received} bytes: {why}; the command may still be running"
    )]
    Lost {
        /// Name of the pod.
        pod: String,
        /// Name of the container.
        container: String,
        /// Bytes of stdout received before.
        received: u64,
        /// What happened to the connection.
        why: String,
    },
    /// The command took too long; it is still running.
    #[error("the command in {pod}/{container} did not end within {}s", after.as_secs())]
    TimedOut {
        /// Name of the pod.
        pod: String,
        /// Name of the container.
        container: String,
        /// The limit that passed.
        after: Duration,
    },
    /// Stdout exceeded [`OUTPUT_LIMIT`].
    #[error("the command in {pod}/{container} printed more than {OUTPUT_LIMIT} bytes")]
    TooMuch {
        /// Name of the pod.
        pod: String,
        /// Name of the container.
        container: String,
    },
}

impl ExecError {
    /// Nothing ran: the pod or container is not there, or the user may not.
    pub fn is_refused(&self) -> bool {
        matches!(self, Self::Refused { .. })
    }

    /// The command may have run, or still be running.
    pub fn may_be_running(&self) -> bool {
        matches!(
            self,
            Self::Lost { .. } | Self::TimedOut { .. } | Self::TooMuch { .. }
        )
    }
}

impl K8s {
    /// Runs a command in a container and collects its output.
    ///
    /// A non-zero exit code is not an error. When `limit` passes the command is left running: nothing
    /// can stop it from outside.
    pub async fn exec(
        &self,
        pod: &str,
        container: &str,
        argv: &[&str],
        stdin: Option<Vec<u8>>,
        limit: Duration,
    ) -> Result<ExecOutput, ExecError> {
        let place = Place { pod, container };
        let mut stdout = Vec::new();
        let mut output = self
            .run(place, argv, stdin, limit, &mut |bytes| {
                stdout.extend_from_slice(bytes);
                stdout.len() <= OUTPUT_LIMIT
            })
            .await?;
        output.stdout = stdout;
        Ok(output)
    }

    /// Runs a command in a container and hands over each line of its stdout as it comes.
    ///
    /// The last line need not end in a newline. Wrong UTF-8 is replaced.
    pub async fn exec_lines(
        &self,
        pod: &str,
        container: &str,
        argv: &[&str],
        stdin: Option<Vec<u8>>,
        limit: Duration,
        mut on_line: impl FnMut(&str),
    ) -> Result<ExecOutput, ExecError> {
        let place = Place { pod, container };
        let mut lines = Lines::default();
        let output = self
            .run(place, argv, stdin, limit, &mut |bytes| {
                lines.push(bytes, &mut on_line);
                true
            })
            .await?;
        lines.finish(&mut on_line);
        Ok(output)
    }

    /// Runs a command in a container and hands over its stdout as it comes; `on_bytes` says whether it wants more, else the
    /// connection is cut with [`ExecError::TooMuch`].
    pub async fn exec_bytes(
        &self,
        pod: &str,
        container: &str,
        argv: &[&str],
        limit: Duration,
        mut on_bytes: impl FnMut(&[u8]) -> bool,
    ) -> Result<ExecOutput, ExecError> {
        let place = Place { pod, container };
        self.run(place, argv, None, limit, &mut on_bytes).await
    }

    /// Runs a command that is talked to: `script` goes to its stdin, then each of `words` when it comes, and stdin stays
    /// open. Each line of its stdout is handed over. Dropping the future cuts the connection, which ends the stdin.
    pub async fn exec_talk(
        &self,
        pod: &str,
        container: &str,
        argv: &[&str],
        script: Vec<u8>,
        words: UnboundedReceiver<String>,
        mut on_line: impl FnMut(&str),
    ) -> Result<ExecOutput, ExecError> {
        let place = Place { pod, container };
        let mut lines = Lines::default();
        let connection = self.open(place, argv, true).await?;
        let mut session = Session::new(place, argv, Some(script));
        session.closes_stdin = false;
        session.words = Some(words);
        let mut sink = |bytes: &[u8]| {
            lines.push(bytes, &mut on_line);
            true
        };
        let output = session.run(connection.into_stream(), &mut sink).await?;
        lines.finish(&mut on_line);
        Ok(output)
    }

    async fn run(
        &self,
        place: Place<'_>,
        argv: &[&str],
        stdin: Option<Vec<u8>>,
        limit: Duration,
        sink: &mut impl FnMut(&[u8]) -> bool,
    ) -> Result<ExecOutput, ExecError> {
        let whole = async {
            let connection = self.open(place, argv, stdin.is_some()).await?;
            if stdin.is_none() || connection.supports_stream_close() {
                let session = Session::new(place, argv, stdin);
                return session.run(connection.into_stream(), sink).await;
            }
            // Before Kubernetes 1.30 the end of stdin cannot be told, so the command gets a counted one
            // instead. Nothing was sent on the first connection yet.
            drop(connection);
            let stdin = stdin.unwrap_or_default();
            let length = stdin.len().to_string();
            let script = r#"n=$1; shift; head -c "$n" | "$@""#;
            let mut counted = vec!["sh", "-c", script, "sh", &length];
            counted.extend_from_slice(argv);
            let connection = self.open(place, &counted, true).await?;
            let mut session = Session::new(place, argv, Some(stdin));
            session.closes_stdin = false;
            session.run(connection.into_stream(), sink).await
        };
        match tokio::time::timeout(limit, whole).await {
            Ok(result) => result,
            Err(_) => Err(ExecError::TimedOut {
                pod: place.pod.to_owned(),
                container: place.container.to_owned(),
                after: limit,
            }),
        }
    }

    async fn open(
        &self,
        place: Place<'_>,
        argv: &[&str],
        stdin: bool,
    ) -> Result<kube::client::Connection, ExecError> {
        let refused = |error: kube::Error| ExecError::Refused {
            pod: place.pod.to_owned(),
            container: place.container.to_owned(),
            source: error.into(),
        };
        let params = AttachParams::default()
            .container(place.container)
            .stdin(stdin)
            .stdout(true)
            .stderr(true);
        let request = Request::new(Pod::url_path(&(), Some(self.namespace())))
            .exec(place.pod, argv.iter().copied(), &params)
            .map_err(|error| refused(kube::Error::BuildRequest(error)))?;
        self.client().connect(request).await.map_err(refused)
    }
}

/// Where a command runs, for messages.
#[derive(Clone, Copy)]
struct Place<'a> {
    pod: &'a str,
    container: &'a str,
}

/// One command over one websocket.
struct Session<'a> {
    place: Place<'a>,
    command: String,
    stdin: Option<Vec<u8>>,
    closes_stdin: bool,
    /// What goes to stdin later.
    words: Option<UnboundedReceiver<String>>,
}

/// What has come back so far.
#[derive(Default)]
struct Received {
    bytes: u64,
    stderr: Vec<u8>,
}

impl<'a> Session<'a> {
    fn new(place: Place<'a>, argv: &[&str], stdin: Option<Vec<u8>>) -> Self {
        Self {
            place,
            command: argv.first().copied().unwrap_or_default().to_owned(),
            stdin,
            closes_stdin: true,
            words: None,
        }
    }

    async fn run<S>(
        mut self,
        socket: S,
        sink: &mut impl FnMut(&[u8]) -> bool,
    ) -> Result<ExecOutput, ExecError>
    where
        S: Stream<Item = Result<Message, WsError>> + Sink<Message, Error = WsError>,
    {
        let (mut out, mut incoming) = socket.split();
        let words = self.words.take();
        let stdin = self.stdin.as_deref();
        // A server whose stdin pipe is full does not read our pings, so silence then proves nothing.
        let proves = stdin.is_none_or(|stdin| stdin.len() <= FRAME);
        let mut received = Received::default();
        let status = {
            let mut writing = std::pin::pin!(write(&mut out, stdin, self.closes_stdin, words));
            let mut broken: Option<WsError> = None;
            let mut silence = std::pin::pin!(tokio::time::sleep(SILENCE_LIMIT));
            loop {
                tokio::select! {
                    message = incoming.next() => {
                        silence.as_mut().reset(Instant::now() + SILENCE_LIMIT);
                        match message {
                            Some(Ok(message)) => {
                                if let Some(status) = self.take(&message, &mut received, sink)? {
                                    break status;
                                }
                            }
                            Some(Err(error)) => return Err(self.lost(&received, &error)),
                            None => return Err(match &broken {
                                Some(error) => self.lost(&received, error),
                                None => self.lost(&received, &"it was closed without a result"),
                            }),
                        }
                    }
                    // The result may be on its way even when the command did not want its stdin.
                    error = &mut writing, if broken.is_none() => {
                        broken = Some(error);
                        silence.as_mut().reset(Instant::now() + Duration::from_secs(5));
                    }
                    () = &mut silence, if proves || broken.is_some() => {
                        return Err(match &broken {
                            Some(error) => self.lost(&received, error),
                            None => self.lost(&received, &"nothing was heard from it any more"),
                        });
                    }
                }
            }
        };
        // Polite, but not worth waiting for.
        drop(out.close().now_or_never());
        let code = self.exit_code(&status, &received)?;
        Ok(ExecOutput {
            stdout: Vec::new(),
            stderr: String::from_utf8_lossy(&received.stderr).into_owned(),
            code,
        })
    }

    /// Takes in one message; gives the status once that comes.
    fn take(
        &self,
        message: &Message,
        received: &mut Received,
        sink: &mut impl FnMut(&[u8]) -> bool,
    ) -> Result<Option<Status>, ExecError> {
        let Message::Binary(data) = message else {
            return Ok(None);
        };
        let Some((channel, data)) = data.split_first() else {
            return Ok(None);
        };
        match *channel {
            STDOUT => {
                received.bytes += data.len() as u64;
                if !sink(data) {
                    return Err(ExecError::TooMuch {
                        pod: self.place.pod.to_owned(),
                        container: self.place.container.to_owned(),
                    });
                }
            }
            STDERR => {
                received.stderr.extend_from_slice(data);
                if received.stderr.len() > 2 * STDERR_KEPT {
                    let cut = received.stderr.len() - STDERR_KEPT;
                    received.stderr.drain(..cut);
                }
            }
            STATUS => {
                return serde_json::from_slice(data)
                    .map(Some)
                    .map_err(|error| self.lost(received, &error));
            }
            _ => {}
        }
        Ok(None)
    }

    fn exit_code(&self, status: &Status, received: &Received) -> Result<i32, ExecError> {
        if status.status.as_deref() == Some("Success") {
            return Ok(0);
        }
        let code = status
            .details
            .iter()
            .flat_map(|details| details.causes.iter().flatten())
            .find(|cause| cause.reason.as_deref() == Some("ExitCode"))
            .and_then(|cause| cause.message.as_deref()?.trim().parse().ok());
        if let Some(code) = code {
            return Ok(code);
        }
        let why = status.message.as_deref().unwrap_or("no reason given");
        if received.bytes == 0 && NEVER_STARTED.iter().any(|sign| why.contains(sign)) {
            return Err(ExecError::NotStarted {
                pod: self.place.pod.to_owned(),
                container: self.place.container.to_owned(),
                command: self.command.clone(),
                why: why.to_owned(),
            });
        }
        // The API server also reports a lost connection to the kubelet this way.
        Err(self.lost(received, &why))
    }

    fn lost(&self, received: &Received, why: &dyn std::fmt::Display) -> ExecError {
        ExecError::Lost {
            pod: self.place.pod.to_owned(),
            container: self.place.container.to_owned(),
            received: received.bytes,
            why: why.to_string(),
        }
    }
}

/// Signs in the runtime's message that the command did not start.
const NEVER_STARTED: [&str; 8] = [
    "executable file not found",
    "OCI runtime exec failed",
    "failed to exec in container",
    "failed to start exec",
    "container not found",
    "not running",
    "unable to upgrade connection",
    "error dialing backend",
];

#[cfg(test)]
mod tests;
