//! Printing to a stdout that may be closed at any time (`tripoint events | head`).

use std::io::Write;

/// Prints a line; does nothing if nobody reads any more. For programs that have to go on.
pub fn line(text: &str) {
    let mut stdout = std::io::stdout().lock();
    // Nobody reads any more: that is the reader's choice.
    let _ = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.write_all(b"\n"))
        .and_then(|()| stdout.flush());
}

/// Prints a text as it is; ends the process quietly if nobody reads any more, as other
/// programs do.
pub fn text_or_end(text: &str) {
    let mut stdout = std::io::stdout().lock();
    if stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).is_err() {
        std::process::exit(0);
    }
}
