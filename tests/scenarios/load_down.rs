//! restore --from dump where no server runs, and where only one pod may mount the data claim.

use crate::support::{Instance, Space, assert_same, library};

use super::down::wait_crash;

/// A pod that has a claim for itself.
const HOLDER: &str = r#"
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: held}
spec:
  accessModes: [ReadWriteOncePod]
  storageClassName: ext4-nosnap
  resources: {requests: {storage: 64Mi}}
---
apiVersion: v1
kind: Pod
metadata: {name: holder}
spec:
  terminationGracePeriodSeconds: 0
  containers:
    - name: postgres
      image: IMAGE
      imagePullPolicy: IfNotPresent
      command: [sleep, "3600"]
      volumeMounts: [{name: held, mountPath: /held}]
  volumes: [{name: held, persistentVolumeClaim: {claimName: held}}]
"#;

#[test]
fn a_dump_is_loaded_where_the_server_was_down_and_only_one_pod_may_mount_the_claim() {
    let once = Instance::library("library-statefulset", 17).class("ext4-nosnap");
    let space = Space::new("loaddown");
    let pg = space.install(&once.with("[ReadWriteOnce]", "[ReadWriteOncePod]"));
    space.apply(&HOLDER.replace("IMAGE", &library(17)));
    pg.seed();
    let before = pg.fingerprint();
    space
        .plugin("snapshot --method dump --dump-claim 1Gi -y")
        .exits(0);
    space.kubectl("wait --for=condition=Ready pod/holder --timeout=120s");
    space
        .plugin("restore pg --from dump --dump-claim held --path x.dump -y")
        .exits(3)
        .says("is in use by pod holder");
    pg.sql("plain", "CREATE TABLE later (i int)");
    let later = pg.fingerprint();
    space.kubectl("set image statefulset/pg postgres=docker.io/library/postgres:18");
    wait_crash(&space);
    space
        .plugin("restore pg --from archive --old-image postgres:16 -y")
        .exits(2)
        .says("--from dump");
    space
        .plugin("restore pg --from dump --dry-run")
        .exits(0)
        .says("postgres:17 is put back first");
    let done = space.plugin("restore pg --from dump -y").exits(0);
    done.says("as in the dump");
    assert_eq!(pg.major(), 17);
    assert_same(&before, &pg.fingerprint());
    pg.scale(0);
    space.kubectl("wait --for=delete pod/pg-0 --timeout=90s");
    // What was there before is in the archive, and the server need not run for that.
    space.plugin("restore pg --from archive -y").exits(0);
    assert_same(&later, &pg.fingerprint());
    pg.scale(0);
    space.kubectl("wait --for=delete pod/pg-0 --timeout=90s");
    space
        .plugin("restore pg --from dump --path x.dump -y")
        .exits(3)
        .says("is at zero replicas")
        .says("only one pod may mount that claim");
    assert_same(&later, &pg.fingerprint());
}
