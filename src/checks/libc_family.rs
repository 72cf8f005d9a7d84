//! Both images have the same C library.

use super::{Check, Concerns, Finding, Run, Severity, Target};
use crate::facts::container::Libc;

/// Both images have the same C library.
pub(super) const CHECK: Check = Check {
    id: "libc-family",
    title: "Both images have the same C library",
    why: "musl (Alpine) and glibc sort text differently: every index on text would be wrong, and the old programs do not run in the other image",
    mend: "Take an image with the same C library, such as the -alpine or the Debian variant, or cross it with --method dump",
    severity: Severity::Blocker,
    waivable: false,
    concerns: Concerns::StoredForm,
    queries: &[],
    run: Run::Target(run),
};

fn run(target: &Target<'_>) -> Vec<Finding> {
    let (old, new) = (target.server.container.libc(), &target.target.libc);
    match (&old, new) {
        (Libc::Glibc(_), Libc::Glibc(_)) | (Libc::Musl(_), Libc::Musl(_)) => Vec::new(),
        (Libc::Unknown, _) | (_, Libc::Unknown) => {
            vec![Finding::blocker(format!(
                "the C libraries could not be compared: old image {old}, new image {new}"
            ))]
        }
        _ => vec![
            Finding::blocker(format!("the old image has {old}, the new image {new}"))
                .fix("take the variant of the image with the same C library with --image, or --method dump"),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{fires, input, silent};
    use super::*;

    #[test]
    fn a_dump_crosses_the_c_library() {
        let mut input = input();
        input.target.as_mut().unwrap().libc = Libc::Musl("1.2.5".to_owned());
        fires("libc-family", &input);
        input.request.transfer = crate::record::DUMP.to_owned();
        let all = super::super::run_all(&input, &[]);
        assert!(all.iter().all(|f| f.check != "libc-family"), "{all:?}");
    }

    #[test]
    fn crossing_the_c_library_is_refused() {
        let mut input = input();
        silent("libc-family", &input);
        input.target.as_mut().unwrap().libc = Libc::Musl("1.2.5".to_owned());
        assert_eq!(
            fires("libc-family", &input)[0].message,
            "the old image has glibc 2.31, the new image musl 1.2.5"
        );
        input.server.as_mut().unwrap().container.libc =
            "musl libc (x86_64) Version 1.2.3".to_owned();
        silent("libc-family", &input);
        input.server.as_mut().unwrap().container.libc.clear();
        fires("libc-family", &input);
    }
}
