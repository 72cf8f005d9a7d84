//! The connection flags, named and behaving as kubectl's.

use std::path::PathBuf;
use std::time::Duration;

/// How to reach the API server and as whom; kubectl's global flags.
#[derive(clap::Args, Clone, Debug, Default)]
#[command(next_help_heading = "Kubernetes options")]
pub struct ConnectOptions {
    /// Namespace to work in
    #[arg(short = 'n', long, global = true, value_name = "NAME")]
    pub namespace: Option<String>,

    /// Name of the kubeconfig context to use
    #[arg(long, global = true, value_name = "NAME")]
    pub context: Option<String>,

    /// Path to the kubeconfig file
    #[arg(long, global = true, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub kubeconfig: Option<PathBuf>,

    /// Name of the kubeconfig cluster to use
    #[arg(long, global = true, value_name = "NAME", hide_short_help = true)]
    pub cluster: Option<String>,

    /// Name of the kubeconfig user to use
    #[arg(long, global = true, value_name = "NAME", hide_short_help = true)]
    pub user: Option<String>,

    /// Address and port of the API server
    #[arg(
        short = 's',
        long,
        global = true,
        value_name = "URL",
        hide_short_help = true
    )]
    pub server: Option<String>,

    /// Bearer token for the API server
    #[arg(long, global = true, value_name = "TOKEN", hide_short_help = true)]
    pub token: Option<String>,

    /// User name to impersonate
    #[arg(
        long = "as",
        global = true,
        value_name = "USER",
        hide_short_help = true
    )]
    pub as_user: Option<String>,

    /// Group to impersonate; can be repeated
    #[arg(long, global = true, value_name = "GROUP", hide_short_help = true)]
    pub as_group: Vec<String>,

    /// UID to impersonate
    #[arg(long, global = true, value_name = "UID", hide_short_help = true)]
    pub as_uid: Option<String>,

    /// Extra attribute to impersonate, as key=value; can be repeated
    #[arg(long, global = true, value_name = "KEY=VALUE", value_parser = key_value, hide_short_help = true)]
    pub as_user_extra: Vec<(String, String)>,

    /// Time to wait for one request, such as 30s or 1m; 0 means no limit
    #[arg(long, global = true, value_name = "TIME", value_parser = timeout, hide_short_help = true)]
    pub request_timeout: Option<Duration>,

    /// Path to the certificate authority of the API server
    #[arg(long, global = true, value_name = "FILE", value_hint = clap::ValueHint::FilePath, hide_short_help = true)]
    pub certificate_authority: Option<PathBuf>,

    /// Path to a client certificate
    #[arg(long, global = true, value_name = "FILE", value_hint = clap::ValueHint::FilePath, hide_short_help = true)]
    pub client_certificate: Option<PathBuf>,

    /// Path to the key of the client certificate
    #[arg(long, global = true, value_name = "FILE", value_hint = clap::ValueHint::FilePath, hide_short_help = true)]
    pub client_key: Option<PathBuf>,

    /// Do not check the certificate of the API server; this makes the connection insecure
    #[arg(
        long,
        global = true,
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true",
        value_name = "BOOL",
        hide_short_help = true
    )]
    pub insecure_skip_tls_verify: Option<bool>,

    /// Name to expect in the certificate of the API server
    #[arg(long, global = true, value_name = "NAME", hide_short_help = true)]
    pub tls_server_name: Option<String>,
}

/// Reads `--request-timeout`: a duration, or an integer that means seconds (as kubectl does).
fn timeout(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Ok(Duration::from_secs(seconds));
    }
    humantime::parse_duration(text).map_err(|error| error.to_string())
}

/// Splits `key=value`.
fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("expected key=value".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        options: ConnectOptions,
    }

    fn parse(args: &[&str]) -> ConnectOptions {
        let args = std::iter::once("test").chain(args.iter().copied());
        Cli::try_parse_from(args).unwrap().options
    }

    #[test]
    fn kubectls_spellings_are_understood() {
        let options = parse(&[
            "-n",
            "shop",
            "-s=https://k:6443",
            "--as=eve",
            "--as-group=a",
            "--as-group=b",
            "--as-user-extra=team=db",
            "--insecure-skip-tls-verify",
            "--request-timeout=90",
        ]);
        assert_eq!(options.namespace.as_deref(), Some("shop"));
        assert_eq!(options.server.as_deref(), Some("https://k:6443"));
        assert_eq!(options.as_user.as_deref(), Some("eve"));
        assert_eq!(options.as_group, ["a", "b"]);
        assert_eq!(
            options.as_user_extra,
            [("team".to_owned(), "db".to_owned())]
        );
        assert_eq!(options.insecure_skip_tls_verify, Some(true));
        assert_eq!(options.request_timeout, Some(Duration::from_secs(90)));
    }

    #[test]
    fn a_timeout_is_seconds_or_a_duration() {
        assert_eq!(timeout("0"), Ok(Duration::ZERO));
        assert_eq!(timeout("1m30s"), Ok(Duration::from_secs(90)));
        assert!(timeout("-1s").is_err());
        assert!(timeout("soon").is_err());
    }

    #[test]
    fn tls_verification_can_be_asked_for_explicitly() {
        let options = parse(&["--insecure-skip-tls-verify=false"]);
        assert_eq!(options.insecure_skip_tls_verify, Some(false));
    }
}
