//! What the tests of several plans share.

use crate::facts::instance::ObjectId;
use crate::steps::Step;

/// One client that goes from three replicas to none, and the wait for its sessions.
pub(super) fn quiesce() -> Vec<Step> {
    let client = ObjectId {
        api_version: "apps/v1".into(),
        kind: "Deployment".into(),
        namespace: "shop".into(),
        name: "api".into(),
        uid: "u".into(),
    };
    vec![
        Step::Scale {
            workload: client,
            from: 3,
            to: 0,
        },
        Step::AwaitNoSessions {
            seconds: 60,
            except: Vec::new(),
        },
    ]
}
