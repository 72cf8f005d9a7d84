//! Requests: read from the connection, and taken apart.

use std::collections::HashMap;

use serde_json::{Value, json};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

/// One request as read from the connection.
#[derive(Clone)]
pub(super) struct Asked {
    pub(super) method: String,
    pub(super) target: String,
    pub(super) path: String,
    pub(super) query: Vec<(String, String)>,
    pub(super) headers: HashMap<String, String>,
    pub(super) body: Vec<u8>,
}

impl Asked {
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    pub(super) fn query(&self, key: &str) -> String {
        self.queries(key).into_iter().next().unwrap_or_default()
    }

    pub(super) fn queries(&self, key: &str) -> Vec<String> {
        let matching = self.query.iter().filter(|(name, _)| name == key);
        matching.map(|(_, value)| value.clone()).collect()
    }

    pub(super) fn has(&self, key: &str, value: &str) -> bool {
        self.query.iter().any(|(k, v)| k == key && v == value)
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// Tells whether an object is in the asked collection and matches the selectors.
    pub(super) fn selects(&self, wanted: &Place, path: &str, object: &Value) -> bool {
        let place = split(path);
        if place.group != wanted.group || place.plural != wanted.plural {
            return false;
        }
        if wanted.namespace.is_some() && place.namespace != wanted.namespace {
            return false;
        }
        let labels = &object["metadata"]["labels"];
        let by_label =
            self.query("labelSelector")
                .split(',')
                .all(|term| match term.split_once('=') {
                    _ if term.is_empty() => true,
                    Some((key, value)) => {
                        labels[key.trim_end_matches('=')] == value.trim_start_matches('=')
                    }
                    None => !labels[term].is_null(),
                });
        let by_field = self.query("fieldSelector").split(',').all(|term| {
            term.split_once('=').is_none_or(|(field, value)| {
                let pointer = format!("/{}", field.replace('.', "/"));
                object
                    .pointer(&pointer)
                    .and_then(Value::as_str)
                    .unwrap_or_default()
                    == value
            })
        });
        by_label && by_field
    }
}

/// What a path names.
#[derive(Clone)]
pub(super) struct Place {
    pub(super) group: String,
    pub(super) namespace: Option<String>,
    pub(super) plural: String,
    pub(super) name: Option<String>,
    pub(super) subresource: Option<String>,
}

pub(super) fn split(path: &str) -> Place {
    let mut parts = path.trim_matches('/').split('/').map(str::to_owned);
    let root = parts.next().unwrap_or_default();
    let mut group = parts.next().unwrap_or_default();
    if root == "apis" {
        group = format!("{group}/{}", parts.next().unwrap_or_default());
    }
    let mut rest: Vec<String> = parts.collect();
    let mut namespace = None;
    if rest.first().is_some_and(|part| part == "namespaces") && rest.len() > 2 {
        namespace = Some(rest.remove(1));
        rest.remove(0);
    }
    let mut rest = rest.into_iter();
    Place {
        group,
        namespace,
        plural: rest.next().unwrap_or_default(),
        name: rest.next(),
        subresource: rest.next(),
    }
}

pub(super) fn not_found(place: &Place) -> Value {
    let name = place.name.clone().unwrap_or_default();
    status(
        404,
        "NotFound",
        &format!("{} \"{name}\" not found", place.plural),
    )
}

pub(super) fn status(code: u16, reason: &str, message: &str) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": reason, "code": code})
}

/// JSON merge patch (RFC 7386).
pub(super) fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(fields) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (key, value) in fields {
        if value.is_null() {
            target.as_object_mut().map(|object| object.remove(key));
        } else {
            merge(&mut target[key], value);
        }
    }
}

pub(super) fn chunk(data: &[u8]) -> Vec<u8> {
    let mut chunk = format!("{:x}\r\n", data.len()).into_bytes();
    chunk.extend_from_slice(data);
    chunk.extend_from_slice(b"\r\n");
    chunk
}

pub(super) fn reset(socket: TcpStream) {
    drop(socket.set_zero_linger());
    drop(socket);
}

pub(super) async fn read_request(socket: &mut TcpStream) -> Option<Asked> {
    let mut data = Vec::new();
    let end = loop {
        if let Some(end) = data.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        if socket.read_buf(&mut data).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8_lossy(&data[..end]).into_owned();
    let mut lines = head.lines();
    let mut first = lines.next()?.split(' ');
    let method = first.next()?.to_owned();
    let target = first.next()?.to_owned();
    let headers: HashMap<String, String> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()))
        .collect();
    let length: usize = headers
        .get("content-length")
        .and_then(|text| text.parse().ok())
        .unwrap_or(0);
    while data.len() < end + length {
        if socket.read_buf(&mut data).await.ok()? == 0 {
            return None;
        }
    }
    let body = data[end..end + length].to_vec();
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let query = query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(key, value)| (decode(key), decode(value)))
        .collect();
    Some(Asked {
        method,
        path: path.to_owned(),
        query,
        headers,
        body,
        target,
    })
}

/// Undoes the encoding of query strings.
fn decode(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let hex: Vec<u8> = rest.by_ref().take(2).collect();
                let hex = String::from_utf8_lossy(&hex).into_owned();
                u8::from_str_radix(&hex, 16).unwrap_or(b'%')
            }
            other => other,
        });
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
