//! Reading clients' logs while they grow and after they ended.

use anyhow::{Context, Result};
use simulation::checkers::{Ack, WriteId};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// What one client's log says so far.
#[derive(Debug)]
pub struct History {
    /// The client's name.
    pub client: String,
    /// All acknowledgements, in the log's order.
    pub acks: Vec<Ack>,
    /// When it tried anything: sent a row that failed, or tried to connect.
    pub tries: Vec<u64>,
    path: PathBuf,
    read: u64,
    rest: String,
}

impl History {
    /// Of a log that may not be there yet.
    #[must_use]
    pub fn new(client: &str, path: &Path) -> Self {
        Self {
            client: client.to_owned(),
            acks: Vec::new(),
            tries: Vec::new(),
            path: path.to_owned(),
            read: 0,
            rest: String::new(),
        }
    }

    /// Takes in what was written since the last time.
    ///
    /// # Errors
    /// If the log is there and can't be read.
    pub fn refresh(&mut self) -> Result<()> {
        let mut file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error).context(self.path.display().to_string()),
        };
        file.seek(SeekFrom::Start(self.read))?;
        let mut bytes = Vec::new();
        self.read += u64::try_from(file.read_to_end(&mut bytes)?)?;
        self.rest += &String::from_utf8_lossy(&bytes);
        let Some(end) = self.rest.rfind('\n') else { return Ok(()) };
        let complete: String = self.rest.drain(..=end).collect();
        complete.lines().for_each(|line| self.take(line));
        Ok(())
    }

    /// The last acknowledgement's time.
    #[must_use]
    pub fn last_ack(&self) -> Option<u64> {
        self.acks.iter().map(|a| a.acked).max()
    }

    /// The longest stretch within `[from, to]` in which it neither was acknowledged nor tried.
    #[must_use]
    pub fn longest_idle(&self, from: u64, to: u64) -> u64 {
        let marks = self.acks.iter().flat_map(|a| [a.sent, a.acked]).chain(self.tries.iter().copied());
        let mut inside: Vec<u64> = marks.filter(|t| *t >= from && *t <= to).chain([from, to]).collect();
        inside.sort_unstable();
        inside.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(0)
    }

    fn take(&mut self, line: &str) {
        let words: Vec<&str> = line.split(' ').collect();
        let number = |n: usize| words.get(n).and_then(|w| w.parse::<u64>().ok());
        match (words.first().copied(), number(1), number(2), number(3)) {
            (Some("A"), Some(id), Some(sent), Some(acked)) => {
                let site = words.get(4).map_or_else(String::new, |host| site_of(host));
                let write = WriteId { client: self.client.clone(), number: id };
                self.acks.push(Ack { write, site, sent, acked });
            }
            (Some("U"), _, Some(sent), Some(ended)) => self.tries.extend([sent, ended]),
            (Some("T" | "E"), Some(time), ..) => self.tries.push(time),
            _ => {}
        }
    }
}

/// `dcN` from an address `a.b.N.1`.
fn site_of(host: &str) -> String {
    host.split('.').nth(2).map_or_else(|| host.to_owned(), |n| format!("dc{n}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_growing_log_is_read_piece_by_piece() {
        let path = std::env::temp_dir().join(format!("chaos-history-{}", std::process::id()));
        let mut file = File::create(&path).expect("a file");
        let mut history = History::new("c", &path);
        write!(file, "A 1 10 20 10.78.1.1\nT 30 10.78.2.1\nA 2 40 5").expect("written");
        history.refresh().expect("read");
        assert_eq!((history.acks.len(), history.tries.len()), (1, 1));
        assert_eq!(history.acks[0].site, "dc1");
        write!(file, "0 10.78.2.1\nU 3 60 70 10.78.2.1 closed\n").expect("written");
        history.refresh().expect("read");
        assert_eq!(history.acks[1].acked, 50);
        assert_eq!(history.longest_idle(10, 100), 30);
        std::fs::remove_file(path).expect("removed");
    }
}
