//! What goes to the command.

use std::time::Duration;

use futures::{Sink, SinkExt};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::{Error as WsError, Message};

use super::{CLOSE, STDIN};

/// Stdin goes out in frames of this size, so that output is read in between.
pub(super) const FRAME: usize = 16 << 10;
const PING_EVERY: Duration = Duration::from_secs(10);

/// Sends stdin and its end, then later words and pings; ends only with an error.
pub(super) async fn write<S>(
    out: &mut S,
    stdin: Option<&[u8]>,
    closes: bool,
    mut words: Option<UnboundedReceiver<String>>,
) -> WsError
where
    S: Sink<Message, Error = WsError> + Unpin,
{
    let sending = async {
        if let Some(stdin) = stdin {
            for chunk in stdin.chunks(FRAME) {
                out.feed(stdin_frame(chunk)).await?;
            }
            if closes {
                out.feed(Message::Binary(vec![CLOSE, STDIN].into())).await?;
            }
            // One flush: the end of a short stdin travels with it.
            out.flush().await?;
        }
        let mut pings = tokio::time::interval_at(Instant::now() + PING_EVERY, PING_EVERY);
        loop {
            let word = async {
                match &mut words {
                    Some(words) => words.recv().await,
                    None => None,
                }
            };
            let message = tokio::select! {
                Some(word) = word => stdin_frame(word.as_bytes()),
                _ = pings.tick() => Message::Ping(Vec::new().into()),
            };
            out.send(message).await?;
        }
    };
    let result: Result<std::convert::Infallible, WsError> = sending.await;
    match result {
        Ok(never) => match never {},
        Err(error) => error,
    }
}

fn stdin_frame(bytes: &[u8]) -> Message {
    let mut frame = Vec::with_capacity(bytes.len() + 1);
    frame.push(STDIN);
    frame.extend_from_slice(bytes);
    Message::Binary(frame.into())
}
