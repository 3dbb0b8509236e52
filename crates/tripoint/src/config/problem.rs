//! What is wrong with a configuration file: the place, the fault and the remedy, all of them at
//! once rather than the first alone.

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use std::ops::Range;
use std::path::Path;

/// Width to which problems are rendered: they are read in logs and narrow terminals.
const RENDER_WIDTH: usize = 100;

/// One fault in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Bytes of the source at fault.
    pub span: Range<usize>,
    /// What is wrong, in one line.
    pub title: String,
    /// What is said beside the marked bytes.
    pub label: String,
    /// What to do about it.
    pub remedy: String,
}

impl Problem {
    /// A fault at `span`.
    pub fn new(
        span: Range<usize>,
        title: impl Into<String>,
        label: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self { span, title: title.into(), label: label.into(), remedy: remedy.into() }
    }
}

/// All problems of one file, in the order of its lines, with the lines at fault.
pub fn render(path: &Path, source: &str, problems: &[Problem], colour: bool) -> String {
    let renderer = if colour { Renderer::styled() } else { Renderer::plain() }.term_width(RENDER_WIDTH);
    let name = path.display().to_string();
    let mut sorted: Vec<&Problem> = problems.iter().collect();
    sorted.sort_by_key(|p| p.span.start);
    let mut text = String::new();
    for problem in sorted {
        let end = problem.span.end.min(source.len());
        let span = problem.span.start.min(end)..end;
        let annotation = AnnotationKind::Primary.span(span).label(problem.label.as_str());
        let group = Level::ERROR
            .primary_title(problem.title.as_str())
            .element(Snippet::source(source).path(name.as_str()).annotation(annotation))
            .element(Level::HELP.message(problem.remedy.as_str()));
        text.push_str(&renderer.render(&[group]));
        text.push_str("\n\n");
    }
    text
}
