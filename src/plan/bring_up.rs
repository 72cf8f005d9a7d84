//! A server that does not run has to answer before anything can be known about its databases: the steps to that.

use crate::facts::instance::{Down, InstanceFacts};
use crate::postgres::image;
use crate::postgres::version::MajorVersion;
use crate::steps::Step;

/// Seconds that the server may take to be ready; it may have to recover.
const READY_SECONDS: u64 = 900;

/// How the old version is brought up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BringUp {
    /// What is wrong and what is done about it.
    pub why: String,
    /// The image that the data can be read with.
    pub image: String,
    /// What to do.
    pub steps: Vec<Step>,
}

/// Plans it; `old_image` is what the user named.
///
/// # Errors
/// A sentence that says why it cannot be planned, and the next thing to type.
pub fn decide(
    instance: &InstanceFacts,
    down: &Down,
    old_image: Option<&str>,
) -> Result<BringUp, String> {
    let present = image::major(&instance.image);
    let said = if down.said.is_empty() {
        String::new()
    } else {
        format!(" ({})", down.said)
    };
    if down.scaled_to_zero && old_image.is_none_or(|old| old == instance.image) {
        let major = present.ok_or_else(|| {
            format!(
                "{} is at zero replicas, and its image {} does not say its version; start it first",
                instance.workload, instance.image
            )
        })?;
        return Ok(plan(
            instance,
            &instance.image,
            major,
            format!(
                "{} is at zero replicas: it is started first, so that its databases can be looked at",
                instance.workload
            ),
        ));
    }
    if down.data_major.is_some() && down.data_major == present {
        return Err(format!(
            "the server does not start, although its image {} is of the version of its data{said}; mend that first",
            instance.image
        ));
    }
    let fits = |candidate: &&String| match (down.data_major, image::major(candidate)) {
        (Some(data), Some(major)) => data == major,
        // Somebody raised the version, so the image before it was of a lower one.
        (None, Some(major)) => present.is_some_and(|present| major < present),
        _ => false,
    };
    let earlier = down.earlier_images.iter().find(fits).map(String::as_str);
    let Some(old) = old_image.or(earlier) else {
        let guess = down
            .data_major
            .and_then(|data| image::for_major(&instance.image, data).ok())
            .unwrap_or_else(|| "IMAGE".to_owned());
        return Err(format!(
            "the server does not start{said}, and no earlier image of {} is on record; \
             name the one that its data was made with: --old-image {guess}",
            instance.workload
        ));
    };
    let major = down
        .data_major
        .or_else(|| image::major(old))
        .ok_or_else(|| {
            format!("the tag of {old} does not say a version, and neither did the server{said}")
        })?;
    let why = format!(
        "the data directory is of PostgreSQL {major}, which image {} cannot read{said}: {old} is put back first",
        instance.image
    );
    Ok(plan(instance, old, major, why))
}

fn plan(instance: &InstanceFacts, to: &str, major: MajorVersion, why: String) -> BringUp {
    BringUp {
        why,
        image: to.to_owned(),
        steps: vec![
            Step::Switch {
                from: instance.image.clone(),
                to: to.to_owned(),
                replicas: instance.replicas.max(1),
                pgdata: None,
                template: None,
            },
            Step::AwaitServer {
                major: u32::from(major.number()),
                seconds: READY_SECONDS,
            },
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::testing;

    fn bumped() -> (InstanceFacts, Down) {
        let mut instance = testing::input().instance;
        instance.image = "postgres:17".to_owned();
        let down = Down {
            scaled_to_zero: false,
            said: "FATAL:  database files are incompatible with server".to_owned(),
            data_major: Some(MajorVersion::new(15)),
            earlier_images: vec!["postgres:16".to_owned(), "postgres:15.4".to_owned()],
        };
        (instance, down)
    }

    fn switched(plan: &BringUp) -> (&str, &str, i32) {
        match &plan.steps[0] {
            Step::Switch {
                from, to, replicas, ..
            } => (from, to, *replicas),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_image_of_the_datas_version_is_put_back() {
        let (instance, mut down) = bumped();
        let plan = decide(&instance, &down, None).unwrap();
        assert_eq!(switched(&plan), ("postgres:17", "postgres:15.4", 1));
        assert!(plan.why.contains("of PostgreSQL 15"), "{}", plan.why);
        // What the user names wins.
        let plan = decide(&instance, &down, Some("mirror/pg:fifteen")).unwrap();
        assert_eq!(switched(&plan).1, "mirror/pg:fifteen");
        // Without the server's words the newest image of a lower version.
        down.data_major = None;
        let plan = decide(&instance, &down, None).unwrap();
        assert_eq!(switched(&plan).1, "postgres:16");
    }

    #[test]
    fn without_a_known_image_the_next_thing_to_type_is_told() {
        let (instance, mut down) = bumped();
        down.earlier_images.clear();
        let why = decide(&instance, &down, None).unwrap_err();
        assert!(why.ends_with("--old-image postgres:15"), "{why}");
    }

    #[test]
    fn a_server_that_fails_on_its_own_version_is_not_ours_to_mend() {
        let (mut instance, down) = bumped();
        instance.image = "postgres:15".to_owned();
        let why = decide(&instance, &down, None).unwrap_err();
        assert!(why.contains("mend that first"), "{why}");
    }

    #[test]
    fn a_workload_at_zero_is_started() {
        let (mut instance, mut down) = bumped();
        instance.image = "postgres:15".to_owned();
        instance.replicas = 0;
        down.scaled_to_zero = true;
        down.said.clear();
        down.data_major = None;
        let plan = decide(&instance, &down, None).unwrap();
        assert_eq!(switched(&plan), ("postgres:15", "postgres:15", 1));
    }
}
