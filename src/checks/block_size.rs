//! Pages have the usual size.

use super::{Check, Concerns, Finding, Live, Run, Severity};

/// Pages have the usual size.
pub(super) const CHECK: Check = Check {
    id: "block-size",
    title: "Pages have the usual size",
    why: "The size of a page is compiled in; images have 8 kB, and pg_upgrade refuses another",
    mend: "Build an image with the same --with-blocksize, and name it with --image",
    severity: Severity::Blocker,
    waivable: true,
    concerns: Concerns::StoredForm,
    queries: &[],
    run: Run::Live(run),
};

fn run(live: &Live<'_>) -> Vec<Finding> {
    let (page, segment) = (
        live.server.block_size,
        live.server.control.blocks_per_segment,
    );
    if page == 8192 && (segment == 131_072 || segment == 0) {
        Vec::new()
    } else {
        vec![Finding::blocker(format!(
            "the server has pages of {page} bytes and {segment} pages per file; images have 8192 and 131072"
        ))]
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{fires, input, silent};

    #[test]
    fn an_unusual_page_size_is_refused() {
        let mut input = input();
        silent("block-size", &input);
        input.server.as_mut().unwrap().block_size = 32768;
        fires("block-size", &input);
    }
}
