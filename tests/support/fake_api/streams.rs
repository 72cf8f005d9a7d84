//! Answers that go on: watches, followed logs, commands in pods.

use std::fmt::Write as _;
use std::time::Duration;

use futures::{FutureExt, SinkExt, StreamExt};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::request::{Asked, chunk, not_found, reset, split, status};
use super::{ExecCall, ExecStep, FakeApi};

impl FakeApi {
    pub(super) async fn serve_watch(&self, mut socket: TcpStream, request: &Asked) {
        let place = split(&request.path);
        let mut from: u64 = request.query("resourceVersion").parse().unwrap_or(0);
        let mut bell = self.bell.subscribe();
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n{}\r\n",
            self.common_headers()
        );
        if socket.write_all(head.as_bytes()).await.is_err() {
            return;
        }
        loop {
            let mut text = String::new();
            let expired = {
                let state = self.state();
                let since = from;
                for (version, change) in
                    state.changes.iter().filter(|(version, _)| *version > since)
                {
                    if request.selects(&place, &change.path, &change.object) {
                        let event = json!({"type": change.kind, "object": change.object});
                        writeln!(text, "{event}").expect("memory");
                    }
                    from = *version;
                }
                from < state.compacted
            };
            if expired {
                let gone = status(410, "Expired", "too old resource version");
                writeln!(text, "{}", json!({"type": "ERROR", "object": gone})).expect("memory");
            }
            if !text.is_empty()
                && socket
                    .write_all(chunk(text.as_bytes()).as_slice())
                    .await
                    .is_err()
            {
                return;
            }
            if expired {
                drop(socket.write_all(b"0\r\n\r\n").await);
                return;
            }
            let mut byte = [0];
            tokio::select! {
                changed = bell.changed() => if changed.is_err() { return },
                _ = socket.read(&mut byte) => return,
            }
        }
    }

    pub(super) async fn serve_log(&self, mut socket: TcpStream, request: &Asked) {
        let place = split(&request.path);
        let key = format!(
            "{}/{}",
            place.name.clone().unwrap_or_default(),
            request.query("container")
        );
        let previous = request.has("previous", "true");
        let follow = request.has("follow", "true");
        let object = request.path.trim_end_matches("/log").to_owned();
        if self.object(&object).is_none() {
            drop(self.answer(&mut socket, 404, &not_found(&place), &[]).await);
            return;
        }
        let since: Option<jiff::Timestamp> = request.query("sinceTime").parse().ok();
        let mut bell = self.bell.subscribe();
        let head =
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n";
        if socket.write_all(head.as_bytes()).await.is_err() {
            return;
        }
        let mut sent = 0;
        loop {
            let (text, ended, cut) = {
                let mut state = self.state();
                let log = state.logs.entry(key.clone()).or_default();
                let lines = if previous { &log.previous } else { &log.lines };
                let mut text = String::new();
                for line in lines.iter().skip(sent) {
                    let at: jiff::Timestamp = line.at.parse().expect("a time");
                    if since.is_none_or(|since| at.as_second() >= since.as_second()) {
                        writeln!(text, "{} {}", line.at, line.text).expect("memory");
                    }
                }
                sent = lines.len();
                (
                    text,
                    log.ended || !follow,
                    if follow { log.cut.take() } else { None },
                )
            };
            if let Some(cut) = cut {
                let cut = cut.min(text.len());
                drop(socket.write_all(&chunk(&text.as_bytes()[..cut])).await);
                return;
            }
            if !text.is_empty() && socket.write_all(&chunk(text.as_bytes())).await.is_err() {
                return;
            }
            if ended {
                drop(socket.write_all(b"0\r\n\r\n").await);
                return;
            }
            let mut byte = [0];
            tokio::select! {
                changed = bell.changed() => if changed.is_err() { return },
                _ = socket.read(&mut byte) => return,
            }
        }
    }

    pub(super) async fn exec(&self, mut socket: TcpStream, request: &Asked) {
        let place = split(&request.path);
        let object = request.path.trim_end_matches("/exec").to_owned();
        if self.object(&object).is_none() {
            drop(self.answer(&mut socket, 404, &not_found(&place), &[]).await);
            return;
        }
        let (v4, ignores, until, handler) = {
            let state = self.state();
            let ignores = state.exec_ignores_stdin;
            (state.v4, ignores, state.stdin_until, state.exec.clone())
        };
        let version = if v4 { "v4" } else { "v5" };
        let key = derive_accept_key(request.header("sec-websocket-key").as_bytes());
        let head = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {key}\r\nSec-WebSocket-Protocol: {version}.channel.k8s.io\r\n\r\n"
        );
        if socket.write_all(head.as_bytes()).await.is_err() {
            return;
        }
        let mut websocket = WebSocketStream::from_raw_socket(socket, Role::Server, None).await;
        let argv: Vec<String> = request.queries("command");
        let stdin = if request.has("stdin", "true") && !ignores {
            let counted = (argv.get(2).map(String::as_str) == Some(COUNTED))
                .then(|| argv.get(4)?.parse().ok())
                .flatten();
            match read_stdin(&mut websocket, counted, until).await {
                Some(stdin) => Some(stdin),
                None => return,
            }
        } else {
            None
        };
        let call = ExecCall {
            namespace: place.namespace.unwrap_or_default(),
            pod: place.name.unwrap_or_default(),
            container: request.query("container"),
            argv,
            stdin,
        };
        self.state().exec_calls.push(call.clone());
        let steps = handler.map_or_else(|| vec![ExecStep::Exit(0)], |handler| handler(&call));
        play(websocket, steps).await;
    }
}

/// The script with which clients count stdin for servers that cannot close it.
const COUNTED: &str = r#"n=$1; shift; head -c "$n" | "$@""#;

async fn read_stdin(
    websocket: &mut WebSocketStream<TcpStream>,
    counted: Option<usize>,
    until: Option<&str>,
) -> Option<Vec<u8>> {
    let mut stdin = Vec::new();
    let ended = |stdin: &[u8]| until.is_some_and(|word| stdin.ends_with(word.as_bytes()));
    while counted.is_none_or(|count| stdin.len() < count) && !ended(&stdin) {
        match websocket.next().await {
            Some(Ok(Message::Binary(data))) => match data.split_first() {
                Some((0, rest)) => stdin.extend_from_slice(rest),
                Some((255, _)) => return until.is_none().then_some(stdin),
                _ => {}
            },
            Some(Ok(_)) => {}
            _ => return None,
        }
    }
    Some(stdin)
}

async fn play(mut websocket: WebSocketStream<TcpStream>, steps: Vec<ExecStep>) {
    let frame = |channel: u8, data: &[u8]| {
        let mut frame = vec![channel];
        frame.extend_from_slice(data);
        Message::Binary(frame.into())
    };
    for step in steps {
        let sent = match step {
            ExecStep::Stdout(data) => websocket.send(frame(1, &data)).await,
            ExecStep::Stderr(data) => websocket.send(frame(2, &data)).await,
            ExecStep::Sleep(time) => {
                // Pings are answered meanwhile.
                drop(tokio::time::timeout(time, websocket.next()).await);
                Ok(())
            }
            ExecStep::Exit(0) => {
                let done = json!({"metadata": {}, "status": "Success"});
                websocket.send(frame(3, done.to_string().as_bytes())).await
            }
            ExecStep::Exit(code) => {
                let done = json!({"metadata": {}, "status": "Failure", "reason": "NonZeroExitCode",
                    "message": format!("command terminated with non-zero exit code: {code}"),
                    "details": {"causes": [{"reason": "ExitCode", "message": code.to_string()}]}});
                websocket.send(frame(3, done.to_string().as_bytes())).await
            }
            ExecStep::Fail(message) => {
                let done = json!({"metadata": {}, "status": "Failure", "reason": "InternalError",
                    "message": message, "code": 500});
                websocket.send(frame(3, done.to_string().as_bytes())).await
            }
            ExecStep::Close => break,
            ExecStep::Reset => return reset(websocket.into_inner()),
            ExecStep::Silence => return std::future::pending().await,
        };
        if sent.is_err() {
            return;
        }
    }
    drop(websocket.close(None).await);
    // The close handshake wants the client's answer read, for a moment.
    let answer = async {
        while websocket
            .next()
            .await
            .is_some_and(|message| message.is_ok())
        {}
    };
    drop(tokio::time::timeout(Duration::from_secs(1), answer.boxed()).await);
}
