//! Documents that are printed from the code are current, and links between documents hold.

use crate::tree::{read, root};

#[test]
fn the_plan_in_the_docs_is_the_one_in_the_code() {
    let text = read(&root().join("docs/plans.md"));
    assert!(text.contains(&coordination::plan::failover_table()), "docs/plans.md is not current");
}

#[test]
fn the_invariants_in_the_docs_are_those_in_the_code() {
    let text = read(&root().join("docs/architecture.md"));
    for invariant in coordination::invariants::Invariant::ALL {
        let statement = invariant.statement();
        assert!(text.contains(statement), "docs/architecture.md lacks: {statement}");
    }
}

#[test]
fn links_lead_somewhere() {
    let mut files = vec![root().join("README.md")];
    files.extend(std::fs::read_dir(root().join("docs")).expect("docs/ is there").flatten().map(|e| e.path()));
    for file in files.iter().filter(|f| f.extension().is_some_and(|e| e == "md")) {
        let text = read(file);
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let path = target.split('#').next().unwrap_or_default();
            if path.is_empty() || path.contains("://") {
                continue;
            }
            let there = file.parent().expect("a file has a folder").join(path);
            assert!(there.exists(), "{}: {target} leads nowhere", file.display());
        }
    }
}
