//! Who is stopped, and in which order.

use crate::facts::clients::{Client, Clients};
use crate::steps::Step;

/// What `--apps` or `-l` chose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Apps {
    /// Everything that was found.
    Auto,
    /// Nobody.
    None,
    /// Exactly these, as `KIND/NAME`.
    Named(Vec<String>),
}

impl Apps {
    /// Reads the words of `--apps`.
    ///
    /// # Errors
    /// When `auto` or `none` stands beside other words.
    pub fn parse(words: &[String]) -> Result<Self, String> {
        match words {
            [] => Ok(Self::Auto),
            [word] if word == "auto" => Ok(Self::Auto),
            [word] if word == "none" => Ok(Self::None),
            some if some.iter().any(|w| w == "auto" || w == "none") => {
                Err("auto and none stand alone in --apps".to_owned())
            }
            some => Ok(Self::Named(some.to_vec())),
        }
    }
}

/// Steps that take the chosen clients off. Clients already off get no step, so planning twice changes nothing.
///
/// CronJobs come first: a job that starts in between would connect again.
pub fn steps(clients: &[Client], wait_seconds: u64, except: Vec<String>) -> Vec<Step> {
    let mut steps = Vec::new();
    for client in clients
        .iter()
        .filter(|c| c.id.kind == "CronJob" && c.replicas > 0)
    {
        steps.push(Step::Suspend {
            workload: client.id.clone(),
            from: false,
            to: true,
        });
    }
    for client in clients
        .iter()
        .filter(|c| c.id.kind != "CronJob" && c.replicas > 0)
    {
        steps.push(Step::Scale {
            workload: client.id.clone(),
            from: client.replicas,
            to: 0,
        });
    }
    if !steps.is_empty() {
        steps.push(Step::AwaitNoSessions {
            seconds: wait_seconds,
            except,
        });
    }
    steps
}

/// Addresses whose sessions cannot be stopped by scaling something.
pub fn strangers(clients: &Clients) -> Vec<String> {
    clients
        .strangers
        .iter()
        .map(|s| s.address.clone())
        .collect()
}
