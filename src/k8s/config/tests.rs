use std::collections::HashMap;
use std::fs;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;

/// Files and variables of one test.
struct Surroundings {
    home: TempDir,
    variables: HashMap<String, String>,
}

impl Surroundings {
    fn new() -> Self {
        Self {
            home: TempDir::new().unwrap(),
            variables: HashMap::new(),
        }
    }

    fn set(mut self, name: &str, value: &str) -> Self {
        self.variables.insert(name.into(), value.into());
        self
    }

    fn file(&self, name: &str, content: &Value) -> PathBuf {
        let path = self.home.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content.to_string()).unwrap();
        path
    }

    fn resolve(&self, options: &ConnectOptions) -> anyhow::Result<Target> {
        let env = |name: &str| self.variables.get(name).cloned();
        resolve(options, &env, Some(self.home.path()))
    }
}

/// A kubeconfig with one context, cluster and user of that name.
fn kubeconfig(name: &str, server: &str) -> Value {
    json!({
        "current-context": name,
        "contexts": [{"name": name, "context": {"cluster": name, "user": name, "namespace": name}}],
        "clusters": [{"name": name, "cluster": {"server": server}}],
        "users": [{"name": name, "user": {"token": name}}],
    })
}

fn options() -> ConnectOptions {
    ConnectOptions::default()
}

#[test]
fn the_default_file_is_read() {
    let around = Surroundings::new();
    around.file(".kube/config", &kubeconfig("home", "https://home:6443"));
    let target = around.resolve(&options()).unwrap();
    assert_eq!(target.context, "home");
    assert_eq!(target.user, "home");
    assert_eq!(target.namespace, "home");
    assert_eq!(target.config.cluster_url, "https://home:6443");
}

#[test]
fn a_missing_file_in_the_list_is_skipped() {
    let around = Surroundings::new();
    let one = around.file("one", &kubeconfig("one", "https://one"));
    let two = around.file("two", &kubeconfig("two", "https://two"));
    let list = format!(":/no/such/file:{}:{}", one.display(), two.display());
    let around = around.set("KUBECONFIG", &list);
    assert_eq!(around.resolve(&options()).unwrap().context, "one");
    let other = ConnectOptions {
        context: Some("two".into()),
        ..options()
    };
    assert_eq!(
        around.resolve(&other).unwrap().config.cluster_url,
        "https://two"
    );
}

#[test]
fn a_file_named_by_flag_must_exist() {
    let around = Surroundings::new();
    around.file(".kube/config", &kubeconfig("home", "https://home"));
    let flag = ConnectOptions {
        kubeconfig: Some("/no/such/file".into()),
        ..options()
    };
    let error = around.resolve(&flag).err().unwrap();
    assert!(format!("{error:#}").contains("/no/such/file"), "{error:#}");
}

#[test]
fn an_empty_current_context_is_not_set() {
    let around = Surroundings::new();
    let mut first = kubeconfig("one", "https://one");
    first["current-context"] = "".into();
    let one = around.file("one", &first);
    let two = around.file("two", &kubeconfig("two", "https://two"));
    let alone = ConnectOptions {
        kubeconfig: Some(one.clone()),
        ..options()
    };
    let error = around.resolve(&alone).err().unwrap().to_string();
    assert!(error.contains("--context (one)"), "{error}");
    let list = format!("{}:{}", one.display(), two.display());
    let around = around.set("KUBECONFIG", &list);
    assert_eq!(around.resolve(&options()).unwrap().context, "two");
}

#[test]
fn names_that_do_not_exist_are_told_as_kubectl_does() {
    let around = Surroundings::new();
    around.file(".kube/config", &kubeconfig("home", "https://home"));
    let told = |options: ConnectOptions| around.resolve(&options).err().unwrap().to_string();
    let x = || Some("x".to_owned());
    assert_eq!(
        told(ConnectOptions {
            context: x(),
            ..options()
        }),
        "context \"x\" does not exist"
    );
    assert_eq!(
        told(ConnectOptions {
            cluster: x(),
            ..options()
        }),
        "cluster \"x\" does not exist"
    );
    assert_eq!(
        told(ConnectOptions {
            user: x(),
            ..options()
        }),
        "auth info \"x\" does not exist"
    );
}

#[test]
fn nothing_configured_is_an_error_that_says_what_to_do() {
    let error = Surroundings::new().resolve(&options()).err().unwrap();
    assert!(error.to_string().contains("--kubeconfig"), "{error}");
}

#[test]
fn a_server_by_flag_needs_no_kubeconfig() {
    let flag = ConnectOptions {
        server: Some("127.0.0.1:8080".into()),
        ..options()
    };
    let target = Surroundings::new().resolve(&flag).unwrap();
    assert_eq!(target.config.cluster_url, "http://127.0.0.1:8080");
    assert_eq!(target.namespace, "default");
}

#[test]
fn another_server_drops_the_name_expected_in_its_certificate() {
    let around = Surroundings::new();
    let mut config = kubeconfig("home", "https://home");
    config["clusters"][0]["cluster"]["tls-server-name"] = "inner".into();
    around.file(".kube/config", &config);
    let server = Some("https://127.0.0.1:6443".to_owned());
    assert_eq!(
        around
            .resolve(&options())
            .unwrap()
            .config
            .tls_server_name
            .as_deref(),
        Some("inner")
    );
    let flag = ConnectOptions {
        server,
        ..options()
    };
    assert_eq!(around.resolve(&flag).unwrap().config.tls_server_name, None);
}

#[test]
fn a_token_by_flag_wins_over_every_other_credential() {
    let around = Surroundings::new();
    let mut config = kubeconfig("home", "https://home");
    config["users"][0]["user"] = json!({
        "username": "u", "password": "p", "tokenFile": "/no/such/file",
        "exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "aws"},
    });
    around.file(".kube/config", &config);
    let flag = ConnectOptions {
        token: Some("t".into()),
        ..options()
    };
    let target = around.resolve(&flag).unwrap();
    assert!(target.plugin.is_none());
    let auth = serde_json::to_value(&target.config.auth_info).unwrap();
    assert_eq!(auth, json!({"token": "t"}));
}

#[test]
fn a_plugin_is_taken_out_and_gets_the_cluster_it_asked_for() {
    let around = Surroundings::new();
    let mut config = kubeconfig("home", "https://home");
    config["users"][0]["user"] = json!({"exec": {
        "apiVersion": "client.authentication.k8s.io/v1", "command": "aws", "provideClusterInfo": true,
    }});
    around.file(".kube/config", &config);
    let target = around.resolve(&options()).unwrap();
    let plugin = target.plugin.unwrap();
    assert_eq!(
        plugin.cluster.unwrap().server.as_deref(),
        Some("https://home")
    );
    assert!(target.config.auth_info.exec.is_none());
}

#[test]
fn skipping_tls_verification_drops_the_authority() {
    let around = Surroundings::new();
    let mut config = kubeconfig("home", "https://home");
    config["clusters"][0]["cluster"]["certificate-authority"] = "/no/such/file".into();
    around.file(".kube/config", &config);
    assert!(around.resolve(&options()).is_err());
    let flag = ConnectOptions {
        insecure_skip_tls_verify: Some(true),
        ..options()
    };
    assert!(around.resolve(&flag).unwrap().config.accept_invalid_certs);
}

#[test]
fn in_a_pod_without_kubeconfig_the_service_account_is_tried() {
    let around = Surroundings::new().set("KUBERNETES_SERVICE_HOST", "10.0.0.1");
    let error = around.resolve(&options()).err().unwrap();
    assert!(error.to_string().contains("service account"), "{error}");
}

fn proxy_for(server: &str, variables: &[(&str, &str)]) -> Option<String> {
    let env = |name: &str| {
        let found = variables.iter().find(|(key, _)| *key == name);
        found.map(|(_, value)| (*value).to_owned())
    };
    let found = proxy(&Cluster::default(), &server.parse().unwrap(), &env).unwrap();
    found.map(|uri| uri.to_string())
}

#[test]
fn no_proxy_is_about_the_api_server() {
    let proxy = ("HTTPS_PROXY", "http://proxy:3128");
    let with = |list: &'static str| [proxy, ("NO_PROXY", list)];
    let through = Some("http://proxy:3128/".to_owned());
    assert_eq!(proxy_for("https://10.0.0.1:6443", &[proxy]), through);
    for list in [
        "10.0.0.1",
        "10.0.0.0/8",
        "a, 10.0.0.1,",
        "*",
        "10.0.0.1:6443",
        "a 10.0.0.1",
    ] {
        assert_eq!(
            proxy_for("https://10.0.0.1:6443", &with(list)),
            None,
            "{list}"
        );
    }
    for list in ["", ",", "proxy", "10.0.0.2", "10.0.0.1:443"] {
        assert_eq!(
            proxy_for("https://10.0.0.1:6443", &with(list)),
            through,
            "{list}"
        );
    }
    for list in ["k8s.example", ".k8s.example", "*.k8s.example"] {
        assert_eq!(
            proxy_for("https://api.k8s.example", &with(list)),
            None,
            "{list}"
        );
    }
    assert_eq!(
        proxy_for("https://[fd00::1]:6443", &with("[fd00::1]:6443")),
        None
    );
    assert_eq!(proxy_for("https://[fd00::1]:6443", &with("fd00::/8")), None);
}

#[test]
fn a_proxy_without_scheme_is_an_http_proxy() {
    let found = proxy_for("https://k8s", &[("https_proxy", "proxy:3128")]);
    assert_eq!(found.as_deref(), Some("http://proxy:3128/"));
    let found = proxy_for("https://k8s", &[("HTTPS_PROXY", "socks5h://proxy:1080")]);
    assert_eq!(found.as_deref(), Some("socks5://proxy:1080/"));
}

#[test]
fn loopback_and_unset_variables_mean_no_proxy() {
    let variables = [("HTTPS_PROXY", "http://proxy:3128")];
    assert_eq!(proxy_for("https://127.0.0.1:6443", &variables), None);
    assert_eq!(proxy_for("https://localhost:6443", &variables), None);
    assert_eq!(
        proxy_for("https://k8s", &[("ALL_PROXY", "http://proxy")]),
        None
    );
    assert_eq!(proxy_for("https://k8s", &[("HTTPS_PROXY", "")]), None);
}

#[test]
fn the_proxy_of_the_kubeconfig_ignores_no_proxy() {
    let around = Surroundings::new().set("NO_PROXY", "*");
    let mut config = kubeconfig("home", "https://home");
    config["clusters"][0]["cluster"]["proxy-url"] = "http://inner:1".into();
    around.file(".kube/config", &config);
    let target = around.resolve(&options()).unwrap();
    assert_eq!(target.config.proxy_url.unwrap(), "http://inner:1");
}

#[test]
fn malformed_proxy_exceptions_do_not_matter_without_a_proxy() {
    let around = Surroundings::new().set("NO_PROXY", "a,,  ,no/host");
    around.file(".kube/config", &kubeconfig("home", "https://home"));
    assert!(around.resolve(&options()).is_ok());
}
