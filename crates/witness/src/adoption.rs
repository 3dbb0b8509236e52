//! Whether a stack that runs already may be adopted: every site with a copy has registered,
//! exactly one reports a primary, and the others stream from it (design, section 5).

use coordination::Command;
use model::{DatabaseRole, GroupStatus, SiteId, SiteReport, StackId, SystemId};

/// The command that adopts the stack, or why it may not be, with the remedy.
///
/// # Errors
/// One English sentence or two.
pub fn check(
    status: &GroupStatus,
    stack: &StackId,
    sites: &[SiteId],
    active: &SiteId,
) -> Result<Command, String> {
    let Some(view) = status.stacks.iter().find(|s| s.stack == *stack) else {
        return Err(format!("There is no stack {stack}; define it in every witness's configuration."));
    };
    if let Some(site) = &view.active {
        return Err(format!("Stack {stack} was adopted before; {site} is active at epoch {}.", view.epoch));
    }
    if !sites.contains(active) {
        return Err(format!("Site {active} does not carry stack {stack}; name one of its sites."));
    }
    registered(status, sites)?;
    let reports =
        sites.iter().map(|site| report(&view.reports, site, stack)).collect::<Result<Vec<_>, _>>()?;
    let primary = the_primary(&reports, stack, active)?;
    let system_id = primary.database.system_id.ok_or_else(|| unknown(active, "its system identifier"))?;
    let timeline = primary.database.timeline.ok_or_else(|| unknown(active, "its timeline"))?;
    for standby in reports.iter().filter(|r| r.site != *active) {
        streams(standby, active, system_id)?;
    }
    Ok(Command::Adopt { stack: stack.clone(), site: active.clone(), system_id, timeline })
}

fn unknown(site: &SiteId, what: &str) -> String {
    format!("The actor of {site} has not reported {what}; see its log and `tripoint status`.")
}

fn registered(status: &GroupStatus, sites: &[SiteId]) -> Result<(), String> {
    let lives =
        |site: &SiteId| status.sites.iter().any(|s| s.site == *site && s.incarnation.is_some() && !s.expired);
    match sites.iter().find(|site| !lives(site)) {
        Some(site) => {
            Err(format!("The actor of {site} is not registered; start it (`tripoint actor`) and ask again."))
        }
        None => Ok(()),
    }
}

fn report<'a>(reports: &'a [SiteReport], site: &SiteId, stack: &StackId) -> Result<&'a SiteReport, String> {
    let report = reports.iter().find(|r| r.site == *site);
    let report = report.ok_or_else(|| {
        format!("The actor of {site} has reported nothing about {stack} yet; ask again in a few seconds.")
    })?;
    if report.gate.is_none() {
        return Err(format!(
            "No gate of {stack} is attached at {site}; run its PostgreSQL under `tripoint gate run`."
        ));
    }
    Ok(report)
}

fn the_primary<'a>(
    reports: &[&'a SiteReport],
    stack: &StackId,
    active: &SiteId,
) -> Result<&'a SiteReport, String> {
    let primaries: Vec<&SiteReport> =
        reports.iter().copied().filter(|r| r.database.role == DatabaseRole::Primary).collect();
    match primaries.as_slice() {
        [one] if one.site == *active => Ok(one),
        [one] => Err(format!(
            "The primary of {stack} is at {}, not at {active}; adopt it with --active {}.",
            one.site, one.site
        )),
        [] => Err(format!("No site reports a primary of {stack}; start the database of {active}.")),
        many => {
            let names: Vec<&str> = many.iter().map(|r| r.site.as_str()).collect();
            Err(format!(
                "More than one site reports a primary of {stack}: {}. Make standbys of all but one first.",
                names.join(", ")
            ))
        }
    }
}

fn streams(standby: &SiteReport, active: &SiteId, system_id: SystemId) -> Result<(), String> {
    let site = &standby.site;
    let database = &standby.database;
    if database.system_id.is_some_and(|id| id != system_id) {
        return Err(format!(
            "The database of {site} has another system identifier than that of {active}: make it a standby of {active} (pg_basebackup)."
        ));
    }
    let upstream = database.upstream.as_ref().filter(|u| u.streaming);
    let right = upstream.is_some_and(|u| u.site.as_ref().is_none_or(|s| s == active));
    if database.role == DatabaseRole::Standby && right {
        return Ok(());
    }
    Err(format!(
        "The database of {site} does not stream from {active} (it is {}); set its primary_conninfo and look at its log.",
        database.role
    ))
}

#[cfg(test)]
mod tests;
