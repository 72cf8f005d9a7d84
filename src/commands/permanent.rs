//! What the user changes in values or manifests so that the next deployment does not put the old image back.

use super::Session;
use crate::facts::instance::OwnerKind;
use crate::record::Record;

/// Says on stderr what to make permanent, by who owns the workload.
pub(super) fn tell(session: &Session, record: &Record) {
    let Some(upgrade) = &record.upgrade else {
        return;
    };
    let target = record.target();
    let container = &record.instance.container;
    let pgdata = upgrade
        .set_pgdata
        .as_ref()
        .map_or_else(String::new, |dir| format!(" and env PGDATA={dir}"));
    if record.is_load() {
        return session.ui.say(format!(
            "The data before is kept in {}/old-{}: restore --from archive puts it back, kubectl pg-upgrade cleanup removes it.",
            upgrade.run_directory, upgrade.from
        ));
    }
    session.ui.say("Make it permanent:");
    let mut said = false;
    for owner in &record.instance.owners {
        let text = match owner.kind {
            OwnerKind::Helm => format!(
                "  Helm release {}: set the image of container {container} to {}{pgdata} in its values, or the next helm upgrade puts {} back",
                owner.name, upgrade.new_image, upgrade.old_image
            ),
            OwnerKind::ArgoCd | OwnerKind::Flux => format!(
                "  {}: commit image {}{pgdata} for container {container} of {target}, or the next sync puts {} back",
                owner.name, upgrade.new_image, upgrade.old_image
            ),
            OwnerKind::Operator | OwnerKind::Other => continue,
        };
        session.ui.say(text);
        said = true;
    }
    if !said {
        session.ui.say(format!(
            "  in the manifest of {target}: container {container}: image: {}{pgdata}",
            upgrade.new_image
        ));
    }
    session.ui.say(format!(
        "The old data directory is kept in {}/old-{}; kubectl pg-upgrade cleanup shows and removes it.",
        upgrade.run_directory, upgrade.from
    ));
}
