//! Colour on a terminal only, and lines that fit it.

use anstyle::{AnsiColor, Style};
use std::io::IsTerminal;

/// Width that everything fits when the terminal's is unknown.
pub const WIDTH_DEFAULT: usize = 80;

/// How good a thing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// As it should be.
    Good,
    /// To be looked at.
    Watch,
    /// Wrong.
    Bad,
    /// Neither; small print.
    Faint,
    /// A heading.
    Bold,
}

/// True if stdout is a terminal and nobody asked for plain text.
#[must_use]
pub fn colour_on_stdout() -> bool {
    std::io::stdout().is_terminal() && wanted()
}

/// True if stderr is a terminal and nobody asked for plain text.
#[must_use]
pub fn colour_on_stderr() -> bool {
    std::io::stderr().is_terminal() && wanted()
}

fn wanted() -> bool {
    let plain = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
    !plain && std::env::var_os("TERM").is_none_or(|t| t != "dumb")
}

/// `text` in a tone, if colour is on.
#[must_use]
pub fn paint(text: &str, tone: Tone, colour: bool) -> String {
    if !colour {
        return text.to_owned();
    }
    let style = match tone {
        Tone::Good => AnsiColor::Green.on_default(),
        Tone::Watch => AnsiColor::Yellow.on_default(),
        Tone::Bad => AnsiColor::Red.on_default().bold(),
        Tone::Faint => Style::new().dimmed(),
        Tone::Bold => Style::new().bold(),
    };
    format!("{style}{text}{style:#}")
}

/// Words filled into lines of at most `width` characters; later lines begin with `indent`.
#[must_use]
pub fn wrap(text: &str, width: usize, indent: &str) -> String {
    let mut lines = vec![String::new()];
    let mut used = 0;
    for word in text.split_whitespace() {
        let length = word.chars().count();
        if used > 0 && used + 1 + length > width {
            lines.push(indent.to_owned());
            used = indent.chars().count();
        } else if used > 0 {
            used += 1;
            if let Some(line) = lines.last_mut() {
                line.push(' ');
            }
        }
        used += length;
        if let Some(line) = lines.last_mut() {
            line.push_str(word);
        }
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_filled_and_indented() {
        assert_eq!(wrap("one two three", 7, "  "), "one two\n  three");
        assert_eq!(wrap("", 7, "  "), "");
    }

    #[test]
    fn plain_text_has_no_escape() {
        assert_eq!(paint("up", Tone::Good, false), "up");
        assert!(paint("up", Tone::Good, true).contains('\u{1b}'));
    }
}
