//! Who uses the database: the owners of the sessions' pods, and workloads whose settings name its Service.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{PodSpec, PodTemplateSpec};

use super::namespace::{Namespace, Workload};
use crate::facts::clients::{Client, Clients, Stranger};
use crate::facts::instance::{InstanceFacts, ObjectId};

/// Finds the clients. `addresses` are the client addresses of the sessions seen, with repeats.
pub fn find(namespace: &Namespace, instance: &InstanceFacts, addresses: &[String]) -> Clients {
    let mut by_name: BTreeMap<(String, String), Client> = BTreeMap::new();
    let mut strangers = Vec::new();
    let mut counted: BTreeMap<&str, usize> = BTreeMap::new();
    for address in addresses.iter().filter(|a| !a.is_empty()) {
        *counted.entry(address).or_default() += 1;
    }
    for (address, sessions) in counted {
        if instance.pod.as_ref().is_some_and(|p| p.ip == address)
            || address.starts_with("127.")
            || address == "::1"
        {
            continue;
        }
        match owner_of(namespace, address) {
            Some(workload) if workload.id.uid == instance.workload.uid => {}
            Some(workload) => {
                let reason = format!(
                    "{sessions} session{} from its pods",
                    if sessions == 1 { "" } else { "s" }
                );
                add(
                    &mut by_name,
                    namespace,
                    workload.id.clone(),
                    workload.replicas,
                    reason,
                );
            }
            None => strangers.push(Stranger {
                address: address.to_owned(),
                who: name_of(namespace, address),
            }),
        }
    }
    for workload in namespace
        .workloads
        .iter()
        .filter(|w| w.id.uid != instance.workload.uid)
    {
        if let Some(reason) = names_service(namespace, &workload.pod, instance) {
            add(
                &mut by_name,
                namespace,
                workload.id.clone(),
                workload.replicas,
                reason,
            );
        }
    }
    for job in &namespace.cron_jobs {
        let spec = &job.spec;
        let template: Option<&PodTemplateSpec> =
            spec.job_template.spec.as_ref().map(|s| &s.template);
        let Some(pod) = template.and_then(|t| t.spec.as_ref()) else {
            continue;
        };
        if let Some(reason) = names_service(namespace, pod, instance) {
            let id = ObjectId {
                api_version: "batch/v1".to_owned(),
                kind: "CronJob".to_owned(),
                namespace: job.metadata.namespace.clone().unwrap_or_default(),
                name: job.metadata.name.clone().unwrap_or_default(),
                uid: job.metadata.uid.clone().unwrap_or_default(),
            };
            let replicas = i32::from(spec.suspend != Some(true));
            add(&mut by_name, namespace, id, replicas, reason);
        }
    }
    Clients {
        workloads: by_name.into_values().collect(),
        strangers,
    }
}

fn add(
    found: &mut BTreeMap<(String, String), Client>,
    namespace: &Namespace,
    id: ObjectId,
    replicas: i32,
    reason: String,
) {
    found
        .entry((id.kind.clone(), id.name.clone()))
        .and_modify(|client| {
            client.reason.push_str(", ");
            client.reason.push_str(&reason);
        })
        .or_insert_with(|| {
            let autoscaler = namespace.autoscalers.iter().find(|h| {
                h.spec.scale_target_ref.kind == id.kind && h.spec.scale_target_ref.name == id.name
            });
            Client {
                autoscaler: autoscaler.and_then(|h| h.metadata.name.clone()),
                id,
                replicas,
                reason,
            }
        });
}

fn owner_of<'a>(namespace: &'a Namespace, address: &str) -> Option<&'a Workload> {
    namespace.workloads.iter().find(|workload| {
        namespace
            .pods_of(workload)
            .iter()
            .any(|pod| has_address(pod, address))
    })
}

fn has_address(pod: &k8s_openapi::api::core::v1::Pod, address: &str) -> bool {
    pod.status.as_ref().is_some_and(|s| {
        s.pod_ip.as_deref() == Some(address)
            || s.pod_ips.iter().flatten().any(|ip| ip.ip == address)
    })
}

fn name_of(namespace: &Namespace, address: &str) -> String {
    namespace
        .pods
        .iter()
        .find(|pod| has_address(pod, address))
        .map_or_else(
            || "no pod of this namespace".to_owned(),
            |pod| {
                let name = pod.metadata.name.clone().unwrap_or_default();
                match pod.metadata.owner_references.iter().flatten().next() {
                    Some(owner) => format!("Pod {name} of {} {}", owner.kind, owner.name),
                    None => format!("Pod {name}, which nothing controls"),
                }
            },
        )
}

/// Tells where a pod's settings name one of the instance's Services.
fn names_service(namespace: &Namespace, pod: &PodSpec, instance: &InstanceFacts) -> Option<String> {
    let is_service =
        |host: &str| is_service(host, &instance.services, &instance.workload.namespace);
    for container in pod
        .containers
        .iter()
        .chain(pod.init_containers.iter().flatten())
    {
        for variable in container.env.iter().flatten() {
            if let Some(value) = &variable.value
                && names_host(&variable.name, value, &is_service)
            {
                return Some(format!("{} names the Service", variable.name));
            }
            if let Some(reference) = variable
                .value_from
                .as_ref()
                .and_then(|v| v.config_map_key_ref.as_ref())
                && config(namespace, &reference.name).any(|(key, value)| {
                    *key == reference.key && names_host(&variable.name, value, &is_service)
                })
            {
                return Some(format!(
                    "{} names the Service (ConfigMap {})",
                    variable.name, reference.name
                ));
            }
        }
        for source in container.env_from.iter().flatten() {
            if let Some(reference) = &source.config_map_ref
                && config(namespace, &reference.name)
                    .any(|(key, value)| names_host(key, value, &is_service))
            {
                return Some(format!("ConfigMap {} names the Service", reference.name));
            }
        }
        let command: Vec<&str> = container
            .command
            .iter()
            .flatten()
            .chain(container.args.iter().flatten())
            .map(String::as_str)
            .collect();
        if names_host("", &command.join(" "), &is_service) {
            return Some("its command names the Service".to_owned());
        }
    }
    for volume in pod.volumes.iter().flatten() {
        if let Some(source) = &volume.config_map
            && config(namespace, &source.name)
                .any(|(key, value)| names_host(key, value, &is_service))
        {
            return Some(format!("ConfigMap {} names the Service", source.name));
        }
    }
    None
}

fn config<'a>(
    namespace: &'a Namespace,
    name: &str,
) -> impl Iterator<Item = (&'a String, &'a String)> + use<'a> {
    let map = namespace
        .config_maps
        .iter()
        .find(|m| m.metadata.name.as_deref() == Some(name));
    map.and_then(|m| m.data.as_ref()).into_iter().flatten()
}

/// A host is a Service when it is its name, alone or followed by its namespace.
fn is_service(host: &str, services: &[String], namespace: &str) -> bool {
    services.iter().any(|service| {
        host.strip_prefix(service.as_str()).is_some_and(|rest| {
            rest.is_empty()
                || rest.strip_prefix('.').is_some_and(|rest| {
                    rest == namespace || rest.starts_with(&format!("{namespace}."))
                })
        })
    })
}

/// Words in names of settings whose plain value is a host.
const HOST_KEYS: &[&str] = &["host", "server", "addr", "url", "uri", "dsn", "endpoint"];

/// Finds hosts where settings have them: in URLs, after `host=` or `-h`, before `:5432`, or as the value of a setting
/// whose name says so. A bare word elsewhere is no host: a Service may be called `postgres` and so may a user.
fn names_host(key: &str, text: &str, is_service: &impl Fn(&str) -> bool) -> bool {
    text.lines().any(|line| {
        let (own_key, value) = line
            .split_once(['=', ':'])
            .filter(|(key, rest)| !rest.starts_with("//") && !key.trim().contains(' '))
            .map_or((key, line), |(key, value)| (key.trim(), value));
        let says_host = |key: &str| {
            let key = key.to_ascii_lowercase();
            HOST_KEYS.iter().any(|word| key.contains(word))
        };
        let plain = |text: &str| {
            let text = text.trim().trim_matches(['"', '\'']);
            !text.contains("://") && is_service(without_port(text))
        };
        (says_host(own_key) && plain(value))
            || (says_host(key) && plain(line))
            || hosts_in(line).iter().any(|h| is_service(h))
    })
}

fn without_port(host: &str) -> &str {
    host.split_once(':').map_or(host, |(host, _)| host)
}

fn hosts_in(line: &str) -> Vec<&str> {
    let mut hosts = Vec::new();
    for (at, _) in line.match_indices("://") {
        let rest = &line[at + 3..];
        let end = rest
            .find(['/', '?', '#', '"', '\'', ' '])
            .unwrap_or(rest.len());
        let authority = rest[..end].rsplit('@').next().unwrap_or_default();
        hosts.extend(authority.split(',').map(without_port));
    }
    let words: Vec<&str> = line
        .split([' ', '\t', '"', '\'', ';', '&', '?', ',', '(', ')'])
        .collect();
    for (i, word) in words.iter().enumerate() {
        let next = words.get(i + 1).copied().unwrap_or_default();
        match *word {
            "-h" | "--host" => hosts.push(next),
            _ => {
                if let Some((name, value)) = word.split_once('=')
                    && (name.ends_with("host")
                        || name.ends_with("HOST")
                        || name.ends_with("hostaddr"))
                {
                    hosts.push(without_port(value));
                }
                if let Some(host) = word.strip_suffix(":5432") {
                    hosts.push(host.rsplit(['@', '=', '/']).next().unwrap_or_default());
                }
            }
        }
    }
    hosts
}

#[cfg(test)]
mod tests {
    use super::{is_service, names_host};

    fn found(key: &str, text: &str, service: &str) -> bool {
        names_host(key, text, &|host: &str| {
            is_service(host, &[service.to_owned()], "shop")
        })
    }

    #[test]
    fn a_service_is_found_in_hosts_and_urls() {
        for (key, text) in [
            ("PGHOST", "pg"),
            ("PGHOST", "pg:5432"),
            ("DATABASE_URL", "postgres://u:p@pg:5432/db"),
            ("X", "jdbc:postgresql://pg.shop.svc.cluster.local/db?x=1"),
            ("X", "host=pg.shop user=x"),
            ("app.yaml", "db:\n  host: \"pg\"\n"),
            ("", "psql -h pg -U u"),
            ("", "wait-for pg:5432"),
        ] {
            assert!(found(key, text, "pg"), "{key} {text}");
        }
    }

    #[test]
    fn other_names_are_left_alone() {
        for (key, text) in [
            ("PGHOST", "pg-other"),
            ("PGHOST", "my-pg"),
            ("PGHOST", "pg.elsewhere.svc"),
            ("DATABASE_URL", "postgres://pg@other/pg"),
            ("PGUSER", "pg"),
        ] {
            assert!(!found(key, text, "pg"), "{key} {text}");
        }
        assert!(!found(
            "DATABASE_URL",
            "postgres://postgres@other/postgres",
            "postgres"
        ));
    }
}
