//! The plan is data, held by a golden file.

#[test]
fn the_plan_is_the_one_in_the_docs() {
    let golden = include_str!("../../testdata/failover-plan.md");
    assert_eq!(
        crate::plan::failover_table(),
        golden,
        "regenerate docs/plans.md and testdata/failover-plan.md"
    );
}

#[test]
fn every_step_is_in_the_plan_once_and_needs_only_steps_of_it() {
    for kind in model::StepKind::ALL {
        assert_eq!(crate::plan::FAILOVER.iter().filter(|r| r.kind == kind).count(), 1, "{kind}");
    }
    for rule in crate::plan::FAILOVER {
        assert!(!rule.needs.contains(&rule.kind));
    }
}
