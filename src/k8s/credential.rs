//! Runs the credential plugin of a kubeconfig user (`users[].user.exec`), once per token.
//!
//! kube runs it two or three times per client, hides which program is missing and always hands it our
//! stdin; see <https://kubernetes.io/docs/reference/access-authn-authz/authentication/#client-go-credential-plugins>.

use std::io::IsTerminal;
use std::process::{Command, Stdio};

use http::HeaderValue;
use jiff::Timestamp;
use kube::config::{ExecConfig, ExecInteractiveMode};
use serde::Deserialize;

/// What a plugin answered.
#[derive(Clone)]
pub(super) struct Credential {
    /// `Authorization` header.
    pub(super) bearer: Option<HeaderValue>,
    /// Client certificate and key, PEM.
    pub(super) identity: Option<(String, String)>,
    /// When the plugin has to be asked again; `None`: never.
    pub(super) expires: Option<Timestamp>,
}

/// The credential plugin did not give credentials.
#[derive(Debug, thiserror::Error)]
#[error("credential plugin {command}: {why}")]
pub(super) struct PluginError {
    command: String,
    why: String,
}

#[derive(Deserialize)]
struct Answer {
    status: Option<Status>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    expiration_timestamp: Option<Timestamp>,
    token: Option<String>,
    client_certificate_data: Option<String>,
    client_key_data: Option<String>,
}

/// Runs the plugin and waits for it; blocks the thread.
pub(super) fn run(plugin: &ExecConfig) -> Result<Credential, PluginError> {
    let command = plugin.command.clone().unwrap_or_default();
    let fail = |why: String| PluginError {
        command: command.clone(),
        why,
    };
    let terminal = std::io::stdin().is_terminal();
    let interactive = match plugin.interactive_mode {
        Some(ExecInteractiveMode::Never) => false,
        Some(ExecInteractiveMode::Always) if !terminal => {
            return Err(fail(
                "it asks questions, and stdin is not a terminal".into(),
            ));
        }
        _ => terminal,
    };
    let mut child = Command::new(&command);
    child.args(plugin.args.iter().flatten());
    for pair in plugin.env.iter().flatten() {
        if let (Some(name), Some(value)) = (pair.get("name"), pair.get("value")) {
            child.env(name, value);
        }
    }
    let mut spec = serde_json::json!({ "interactive": interactive });
    if let Some(cluster) = &plugin.cluster {
        spec["cluster"] = serde_json::to_value(cluster).map_err(|error| fail(error.to_string()))?;
    }
    let request = serde_json::json!({
        "apiVersion": plugin.api_version,
        "kind": "ExecCredential",
        "spec": spec,
    });
    child.env("KUBERNETES_EXEC_INFO", request.to_string());
    // A piped stdin belongs to this tool; a plugin would eat it.
    child.stdin(if interactive {
        Stdio::inherit()
    } else {
        Stdio::null()
    });
    child.stderr(Stdio::inherit());
    let output = child.output().map_err(|error| {
        let hint = plugin
            .install_hint
            .as_deref()
            .map(|hint| format!("\n{}", hint.trim()))
            .unwrap_or_default();
        fail(if error.kind() == std::io::ErrorKind::NotFound {
            format!("not found; it is named in the kubeconfig and must be installed{hint}")
        } else {
            format!("{error}{hint}")
        })
    })?;
    if !output.status.success() {
        return Err(fail(format!("failed with {}", output.status)));
    }
    parse(&output.stdout).map_err(fail)
}

/// Reads the plugin's answer; JSON, or YAML as client-go also accepts.
fn parse(stdout: &[u8]) -> Result<Credential, String> {
    let answer: Answer = serde_json::from_slice(stdout)
        .or_else(|_| serde_saphyr::from_slice(stdout))
        // The text is not repeated: it may hold a token.
        .map_err(|_| "its answer is not an ExecCredential".to_owned())?;
    let status = answer.status.ok_or("its answer has no status")?;
    let bearer = status
        .token
        .filter(|token| !token.is_empty())
        .map(|token| {
            let mut value = HeaderValue::try_from(format!("Bearer {token}"))
                .map_err(|_| "its token cannot be sent in a header".to_owned())?;
            value.set_sensitive(true);
            Ok::<_, String>(value)
        })
        .transpose()?;
    let identity = status.client_certificate_data.zip(status.client_key_data);
    if bearer.is_none() && identity.is_none() {
        return Err("its answer has neither a token nor a certificate".into());
    }
    Ok(Credential {
        bearer,
        identity,
        expires: status.expiration_timestamp,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plugin(command: &str, args: &[&str]) -> ExecConfig {
        ExecConfig {
            api_version: Some("client.authentication.k8s.io/v1".into()),
            command: Some(command.into()),
            args: Some(args.iter().map(ToString::to_string).collect()),
            interactive_mode: Some(ExecInteractiveMode::Never),
            ..ExecConfig::default()
        }
    }

    #[test]
    fn a_missing_plugin_is_named_with_its_install_hint() {
        let mut missing = plugin("no-such-plugin-here", &[]);
        missing.install_hint = Some("get it from the shelf".into());
        let error = run(&missing).err().unwrap().to_string();
        assert!(error.contains("no-such-plugin-here"), "{error}");
        assert!(error.contains("get it from the shelf"), "{error}");
    }

    #[test]
    fn a_token_and_its_expiry_are_read() {
        let script = r#"echo '{"kind":"ExecCredential","status":{"token":"abc","expirationTimestamp":"2030-01-02T03:04:05Z"}}'"#;
        let credential = run(&plugin("sh", &["-c", script])).unwrap();
        assert_eq!(credential.bearer.unwrap(), "Bearer abc");
        assert_eq!(
            credential.expires,
            Some("2030-01-02T03:04:05Z".parse().unwrap())
        );
    }

    #[test]
    fn the_plugin_gets_no_stdin_unless_it_is_a_terminal() {
        let script = r#"read -r line; echo "{\"status\":{\"token\":\"x$line\"}}""#;
        let credential = run(&plugin("sh", &["-c", script])).unwrap();
        assert_eq!(credential.bearer.unwrap(), "Bearer x");
    }

    #[test]
    fn an_answer_without_credentials_is_an_error_that_does_not_repeat_it() {
        assert!(parse(b"{}").is_err());
        let error = parse(b"secret-token").err().unwrap();
        assert!(!error.contains("secret"), "{error}");
    }
}
