use super::*;

fn blueprint<'a>(env: &'a BTreeMap<String, String>, template: &'a PodSpec) -> Blueprint<'a> {
    Blueprint {
        name: "pg-upgrade-x",
        run: "x",
        instance: "statefulset.pg",
        part: "upgrade",
        script: "worker.sh",
        old_image: Some("postgres:13"),
        image: "postgres:17",
        node: Some("node-1"),
        spared: None,
        uid: 999,
        gid: 999,
        groups: &[1001],
        claim: Some("data-pg-0"),
        mirror: None,
        snapshot_claim: None,
        live_claim: None,
        dump_claim: None,
        login: None,
        empty_claim: false,
        env,
        server: false,
        restart: true,
        container: "postgres",
        template,
    }
}

#[test]
fn what_the_server_needs_to_be_pulled_and_scheduled_is_carried_over() {
    let (env, template) = (
        BTreeMap::new(),
        serde_json::from_value::<PodSpec>(json!({
            "imagePullSecrets": [{"name": "registry"}],
            "tolerations": [{"key": "db", "operator": "Exists"}],
            "nodeSelector": {"disk": "ssd"},
            "priorityClassName": "high",
            "schedulerName": "own",
            "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}],
            "affinity": {
                "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {
                    "nodeSelectorTerms": [{"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}]}]}},
                "podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
                    {"topologyKey": "kubernetes.io/hostname"}]},
            },
            "containers": [
                {"name": "other", "imagePullPolicy": "Always"},
                {"name": "postgres", "imagePullPolicy": "Never"},
            ],
        }))
        .unwrap(),
    );
    let mut blueprint = blueprint(&env, &template);
    let spec = |blueprint: &Blueprint| pod(blueprint).unwrap().spec.unwrap();
    let pinned = spec(&blueprint);
    assert_eq!(pinned.image_pull_secrets, template.image_pull_secrets);
    assert_eq!(pinned.tolerations, template.tolerations);
    assert_eq!(pinned.node_selector, template.node_selector);
    assert_eq!(pinned.priority_class_name, template.priority_class_name);
    assert_eq!(pinned.scheduler_name, template.scheduler_name);
    for container in pinned
        .containers
        .iter()
        .chain(pinned.init_containers.iter().flatten())
    {
        assert_eq!(container.image_pull_policy.as_deref(), Some("Never"));
    }
    let node = serde_json::to_string(&pinned.affinity).unwrap();
    assert!(
        node.contains("metadata.name") && !node.contains("zone"),
        "{node}"
    );
    blueprint.node = None;
    let free = spec(&blueprint);
    let affinity = free.affinity.unwrap();
    assert_eq!(
        affinity.node_affinity,
        template.affinity.as_ref().unwrap().node_affinity
    );
    assert_eq!(
        (affinity.pod_anti_affinity, free.topology_spread_constraints),
        (None, None)
    );
}

#[test]
fn meshes_are_asked_to_leave_the_pod_alone() {
    let (env, template) = (BTreeMap::new(), PodSpec::default());
    let metadata = pod(&blueprint(&env, &template)).unwrap().metadata;
    let (labels, annotations) = (metadata.labels.unwrap(), metadata.annotations.unwrap());
    assert_eq!(labels["sidecar.istio.io/inject"], "false");
    assert_eq!(labels["kuma.io/sidecar-injection"], "disabled");
    assert_eq!(annotations["sidecar.istio.io/inject"], "false");
    assert_eq!(annotations["linkerd.io/inject"], "disabled");
    assert_eq!(annotations["consul.hashicorp.com/connect-inject"], "false");
}

#[test]
fn the_pod_never_sets_fs_group_and_has_no_token() {
    let (env, template) = (BTreeMap::new(), PodSpec::default());
    let pod = pod(&blueprint(&env, &template)).unwrap();
    let spec = pod.spec.unwrap();
    let security = spec.security_context.unwrap();
    assert_eq!(security.fs_group, None);
    assert_eq!(security.supplemental_groups, Some(vec![1001]));
    assert_eq!(spec.automount_service_account_token, Some(false));
}

#[test]
fn only_an_empty_claim_alone_is_given_to_the_group() {
    let (env, template) = (BTreeMap::new(), PodSpec::default());
    let mut blueprint = blueprint(&env, &template);
    blueprint.empty_claim = true;
    let group = |blueprint: &Blueprint| {
        let spec = pod(blueprint).unwrap().spec.unwrap();
        spec.security_context.unwrap().fs_group
    };
    assert_eq!(group(&blueprint), Some(999));
    blueprint.live_claim = Some("data-pg-0");
    assert_eq!(group(&blueprint), None);
    blueprint.live_claim = None;
    blueprint.dump_claim = Some(DumpMount {
        claim: "backups",
        read_only: false,
    });
    assert_eq!(group(&blueprint), None);
}

#[test]
fn a_dump_that_is_only_loaded_is_mounted_read_only() {
    let (env, template) = (BTreeMap::new(), PodSpec::default());
    let mut blueprint = blueprint(&env, &template);
    let mut mounted = |read_only: bool| {
        blueprint.dump_claim = Some(DumpMount {
            claim: "backups",
            read_only,
        });
        let spec = pod(&blueprint).unwrap().spec.unwrap();
        let mounts = spec.containers[0].volume_mounts.clone().unwrap();
        let mut found = mounts.into_iter().filter(|m| m.mount_path == DUMPS);
        found.next().unwrap().read_only.unwrap_or(false)
    };
    assert!(mounted(true));
    assert!(!mounted(false));
}

#[test]
fn the_claim_of_a_running_server_is_mounted_read_only() {
    let (env, template) = (BTreeMap::new(), PodSpec::default());
    let mut blueprint = blueprint(&env, &template);
    blueprint.live_claim = Some("data-pg-0");
    let spec = pod(&blueprint).unwrap().spec.unwrap();
    let mounts = spec.containers[0].volume_mounts.clone().unwrap();
    let live = mounts.iter().find(|m| m.name == "live").unwrap();
    assert_eq!(
        (live.mount_path.as_str(), live.read_only),
        (LIVE, Some(true))
    );
}

#[test]
fn the_data_claim_is_where_the_server_has_it_for_its_tablespaces() {
    let (env, template) = (BTreeMap::new(), PodSpec::default());
    let mut blueprint = blueprint(&env, &template);
    blueprint.mirror = Some(("/data", "of pg"));
    let spec = pod(&blueprint).unwrap().spec.unwrap();
    let mounts = spec.containers[0].volume_mounts.clone().unwrap();
    let data = mounts.iter().filter(|m| m.name == "data");
    let places = data.map(|m| (m.mount_path.as_str(), m.sub_path.as_deref().unwrap_or("")));
    assert_eq!(
        places.collect::<Vec<_>>(),
        [("/vol", ""), ("/data", "of pg")]
    );
}

#[test]
fn the_old_image_never_sees_the_claim() {
    let (env, template) = (BTreeMap::new(), PodSpec::default());
    let pod = pod(&blueprint(&env, &template)).unwrap();
    let init = &pod.spec.unwrap().init_containers.unwrap()[0];
    assert!(
        init.volume_mounts
            .as_ref()
            .unwrap()
            .iter()
            .all(|m| m.mount_path != "/vol")
    );
}

#[test]
fn a_server_in_use_keeps_its_processors() {
    let env = BTreeMap::new();
    let template: PodSpec = serde_json::from_value(json!({
        "affinity": {"nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [{"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}]}]},
            "preferredDuringSchedulingIgnoredDuringExecution": [
                {"weight": 1, "preference": {"matchExpressions": [{"key": "disk", "operator": "Exists"}]}}]}},
        "containers": [],
    }))
    .unwrap();
    let mut blueprint = blueprint(&env, &template);
    let spec = |blueprint: &Blueprint| pod(blueprint).unwrap().spec.unwrap();
    let cpu = |spec: &PodSpec| {
        let containers = spec.containers.iter();
        let all = containers.chain(spec.init_containers.iter().flatten());
        all.map(|c| {
            c.resources.as_ref().unwrap().requests.as_ref().unwrap()["cpu"]
                .0
                .clone()
        })
        .collect::<Vec<_>>()
    };
    assert_eq!(cpu(&spec(&blueprint)), ["100m", "100m"]);
    // Beside a volume in use it has no choice of a node, but asks for next to nothing.
    blueprint.spared = Some("node-1");
    let pinned = spec(&blueprint);
    assert_eq!(cpu(&pinned), ["1m", "1m"]);
    let pinned = pinned.affinity.unwrap().node_affinity.unwrap();
    assert_eq!(
        pinned.preferred_during_scheduling_ignored_during_execution,
        None
    );
    blueprint.node = None;
    let free = spec(&blueprint).affinity.unwrap().node_affinity.unwrap();
    let own = template.affinity.as_ref().unwrap().node_affinity.as_ref();
    assert_eq!(
        free.required_during_scheduling_ignored_during_execution,
        own.unwrap()
            .required_during_scheduling_ignored_during_execution
    );
    let wishes = free
        .preferred_during_scheduling_ignored_during_execution
        .unwrap();
    assert_eq!(wishes.len(), 2);
    assert_eq!(
        json!(wishes[1]),
        json!({"weight": 100, "preference": {"matchFields": [{"key": "metadata.name", "operator": "NotIn", "values": ["node-1"]}]}})
    );
}

#[test]
fn a_pod_whose_server_must_stop_has_the_time_of_the_servers_own_pod() {
    let env = BTreeMap::new();
    let grace = |server: bool, own: Option<i64>| {
        let template = PodSpec {
            termination_grace_period_seconds: own,
            ..PodSpec::default()
        };
        let mut blueprint = blueprint(&env, &template);
        blueprint.server = server;
        let spec = pod(&blueprint).unwrap().spec.unwrap();
        spec.termination_grace_period_seconds.unwrap()
    };
    assert_eq!(grace(true, None), 60);
    assert_eq!(grace(true, Some(0)), 60);
    assert_eq!(grace(true, Some(1800)), 1800);
    assert_eq!(grace(false, Some(1800)), 5);
}
