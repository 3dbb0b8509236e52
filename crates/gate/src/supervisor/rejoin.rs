//! Brings a copy home: PostgreSQL's tools run here, held as the database is, while nothing of the
//! database runs. What overwrites is marked on disk before it begins (design, section 8).
//!
//! ```text
//! follow:   stop -> standby.signal
//! inspect:  stop -> pg_waldump -> ask the source for names -> read
//! rewind:   stop -> keep -> [recover] -> checkpoint there -> dry run -> has the source the WAL? -> MARK -> pg_rewind -> own files, standby.signal
//! clone:    stop -> keep -> pg_basebackup beside -> own files, standby.signal -> MARK -> swap
//! ```

mod files;
mod tools;

use super::{Server, Supervisor};
use crate::beside::{self, Stage};
use crate::shared::Job;
use crate::{copy, waldump};
use coordination::book::SOURCE_AWAY;
use coordination::rejoin::Way;
use files::Files;
use model::{CopyTask, CopyWork, Diverged, Lsn, Millis, Moment, StepOutcome, WalPosition};
use std::fs;
use std::io;
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use tools::{DUMP, LOG, NAMES, OUTPUT, Tool};

/// A tool that says nothing for this long has failed.
const SILENCE_MAX: Millis = Millis(300_000);
/// The server's own recovery says little.
const RECOVERY_SILENCE_MAX: Millis = Millis(3_600_000);
/// The source's own checkpoint comes within this (`checkpoint_timeout`, 5 min by default, twice).
const CHECKPOINT_PATIENCE: Millis = Millis(600_000);
/// The copy's files are looked at this often.
const LOOK_EVERY: Millis = Millis(200);
/// A standby must have run for this long before "it streams" is believed of the new copy.
const STREAMS_AFTER: Millis = Millis(2_000);
/// What a tool said last, for evidence.
const COMPLAINT_CHARS: usize = 400;

enum Step {
    /// Waits until the server is down.
    Stop,
    /// A thread works on files; nothing forks there.
    Files(Files, Receiver<Result<Option<Diverged>, String>>),
    /// A tool runs.
    Tool(Tool),
    /// It ended so; what it left is being killed.
    Ended(Tool, u8),
}

/// A job under way.
pub(super) struct Rejoin {
    job: Job,
    began: Moment,
    step: Step,
    /// When the tool last said something, and how much it had said.
    heard: (Moment, u64),
}

/// What is known of the copy, from turn to turn.
#[derive(Default)]
pub(super) struct Home {
    pub(super) rejoin: Option<Rejoin>,
    ended: Option<(Job, StepOutcome, String)>,
    diverged: Option<Diverged>,
    /// The checkpoint that a rewind goes back to, as the dry run says.
    common: Option<Lsn>,
    /// The source made a checkpoint for us.
    checkpointed: bool,
    /// Since when the source has looked as if it were on the old timeline.
    same_timeline: Option<Moment>,
    size: copy::Size,
    looked: Option<Moment>,
    pub(super) report: Option<model::CopyReport>,
    removing: Option<Receiver<io::Result<()>>>,
}

impl Home {
    pub(super) fn is_busy(&self) -> bool {
        self.rejoin.is_some()
    }

    /// True while the copy can't be relied upon.
    pub(super) fn overwrites(&self) -> bool {
        self.rejoin.as_ref().is_some_and(|r| matches!(r.job.way, Way::Rewind { .. } | Way::Clone))
    }
}

/// What a step came to: the next one, or the end.
type Next = Result<Option<Step>, (StepOutcome, String)>;

fn end<T>(evidence: impl Into<String>) -> Result<T, (StepOutcome, String)> {
    Err((StepOutcome::Done, evidence.into()))
}

fn fail<T>(evidence: impl Into<String>) -> Result<T, (StepOutcome, String)> {
    Err((StepOutcome::Failed, evidence.into()))
}

impl Supervisor {
    /// Takes a job; the same one again is the same one.
    pub(super) fn begin_rejoin(&mut self, job: &Job) -> Result<(), String> {
        match &self.life.home.rejoin {
            Some(rejoin) if rejoin.job == *job => return Ok(()),
            Some(_) => return Err("something else is being done to the copy".into()),
            None => {}
        }
        if matches!(job.way, Way::Rewind { .. }) && self.data.beside().mark().is_some() {
            return Err(
                "it was rewound before: a second rewind would not see what the first one changed".into()
            );
        }
        self.data.beside().make(self.user.as_ref()).map_err(|e| format!("beside the data directory: {e}"))?;
        tracing::info!("rejoin for epoch {}: {:?}", job.epoch, job.way);
        let now = rpc::clock::now();
        self.life.home.ended = None;
        self.life.home.looked = None;
        // A standby that runs is stopped only for a source that is there, and a source that is away
        // is no refusal of a rewind.
        let step = match job.way {
            Way::Follow | Way::Inspect { .. } => Step::Stop,
            Way::Rewind { .. } | Way::Clone => self.start_files(job, Files::Reach),
        };
        self.life.home.rejoin = Some(Rejoin { job: job.clone(), began: now, step, heard: (now, 0) });
        Ok(())
    }

    /// How a job ended; none while it goes on.
    pub(super) fn rejoin_outcome(&self, job: &Job) -> Option<(StepOutcome, String)> {
        if self.life.home.rejoin.as_ref().is_some_and(|r| r.job == *job) {
            return None;
        }
        match &self.life.home.ended {
            Some((done, outcome, evidence)) if done == job => Some((*outcome, evidence.clone())),
            _ => Some((StepOutcome::Unknown, "it is not known how it ended".into())),
        }
    }

    /// A base backup is given up for something more urgent: the old copy is whole.
    pub(super) fn give_up_clone(&mut self) {
        if let Some(rejoin) = &self.life.home.rejoin
            && rejoin.job.way == Way::Clone
            && matches!(rejoin.step, Step::Tool(_))
        {
            tracing::warn!("the base backup is given up: the group wants something else");
            self.kill_all();
        }
    }

    /// A tool's process was reaped; false if it was none.
    pub(super) fn tool_ended(&mut self, code: u8) -> bool {
        let Some(rejoin) = &mut self.life.home.rejoin else { return false };
        let Step::Tool(tool) = rejoin.step else { return false };
        tracing::info!("{tool:?} ended with exit code {code}");
        rejoin.step = Step::Ended(tool, code);
        true
    }

    /// One step of the job under way, and a look at the copy.
    pub(super) fn work_on_rejoin(&mut self) {
        self.look_at_copy();
        let Some(mut rejoin) = self.life.home.rejoin.take() else { return self.clean_up_home() };
        match self.rejoin_step(&mut rejoin) {
            Ok(next) => {
                if let Some(step) = next {
                    rejoin.step = step;
                    rejoin.heard = (rpc::clock::now(), 0);
                }
                self.life.home.rejoin = Some(rejoin);
            }
            Err((outcome, evidence)) => {
                tracing::info!("rejoin: {outcome:?}: {evidence}");
                self.life.home.ended = Some((rejoin.job, outcome, evidence));
                self.life.home.looked = None;
                self.look_at_copy();
                // What the actor hears next is of after the job, whichever message comes first.
                self.publish();
            }
        }
    }

    fn rejoin_step(&mut self, rejoin: &mut Rejoin) -> Next {
        match &rejoin.step {
            Step::Stop => self.step_stop(&rejoin.job),
            Step::Files(files, done) => match done.try_recv() {
                Err(TryRecvError::Empty) => Ok(None),
                Err(TryRecvError::Disconnected) => fail("a thread died"),
                Ok(Err(e)) => fail(e),
                Ok(Ok(found)) => self.files_done(&rejoin.job, *files, found),
            },
            Step::Tool(tool) => {
                let tool = *tool;
                self.watch_tool(tool, rejoin);
                Ok(None)
            }
            Step::Ended(tool, code) => {
                if !self.holder.is_empty(self.life.directory) {
                    self.kill_all();
                    return Ok(None);
                }
                self.tool_done(&rejoin.job, *tool, *code)
            }
        }
    }

    fn step_stop(&mut self, job: &Job) -> Next {
        match &self.life.server {
            Server::Down => {}
            Server::Open(open) if open.mode != coordination::permit::Mode::Standby => {
                return fail("a primary runs here");
            }
            Server::Open(_) | Server::Clearing(_) => {
                self.stop_planned(None);
                return Ok(None);
            }
            Server::Foreign(_) => return fail("a server that this gate did not start runs there"),
        }
        self.life.directory = crate::processes::DirectoryId::of(self.data.path());
        match job.way {
            Way::Follow => {
                beside::make_file(&self.data.path().join("standby.signal"), self.user.as_ref())
                    .or_else(|e| fail(format!("standby.signal: {e}")))?;
                self.set_home_upstream(job)?;
                end("it holds nothing beyond the chain: it follows as it is")
            }
            Way::Inspect { .. } => self.start_tool(job, Tool::Waldump),
            Way::Rewind { .. } | Way::Clone => Ok(Some(self.start_files(job, Files::Keep))),
        }
    }

    fn files_done(&mut self, job: &Job, files: Files, found: Option<Diverged>) -> Next {
        match files {
            Files::Reach => Ok(Some(Step::Stop)),
            Files::Keep if job.way == Way::Clone => {
                beside::make_directory(&self.data.beside().new_copy(), self.user.as_ref())
                    .or_else(|e| fail(format!("a place for the new copy: {e}")))?;
                self.start_tool(job, Tool::Clone)
            }
            Files::Keep if self.data.control().is_some_and(|c| c.is_clean()) => {
                self.start_tool(job, Tool::Checkpoint)
            }
            Files::Keep => self.start_tool(job, Tool::Recover),
            Files::ReadDump => {
                let text = found.as_ref().map_or_else(String::new, |d| d.summary.clone());
                self.life.home.diverged = found;
                end(text)
            }
            Files::FinishRewind => {
                let marked = self.data.beside().set(Stage::RewindDone);
                marked.or_else(|e| fail(format!("the marker: {e}")))?;
                self.set_home_upstream(job)?;
                self.life.home.diverged = None;
                end(format!("rewound to before {}", fork_text(job)))
            }
            Files::PrepareNew => {
                let beside = self.data.beside();
                let swapped = beside.set(Stage::Swap).and_then(|()| beside.swap());
                swapped.or_else(|e| fail(format!("the new copy can't take the old one's place: {e}")))?;
                self.set_home_upstream(job)?;
                self.life.home.diverged = None;
                self.life.home.size = copy::Size::default();
                end("a base backup took the old copy's place")
            }
        }
    }

    fn tool_done(&mut self, job: &Job, tool: Tool, code: u8) -> Next {
        let said = self.complaint();
        match tool {
            // It always ends with a complaint: at the end of the WAL.
            Tool::Waldump => match self.start_tool(job, Tool::Names) {
                // Without psql the list has no names.
                Err(_) => Ok(Some(self.start_files(job, Files::ReadDump))),
                started => started,
            },
            Tool::Names => Ok(Some(self.start_files(job, Files::ReadDump))),
            Tool::Recover if code == 0 => self.start_tool(job, Tool::Checkpoint),
            Tool::Checkpoint => {
                if code != 0 {
                    tracing::warn!("the source makes no checkpoint for us ({said}); its own will come");
                }
                self.life.home.checkpointed = code == 0;
                self.start_tool(job, Tool::TryRewind)
            }
            Tool::Recover => fail(format!("the copy can't be recovered: {said}")),
            Tool::TryRewind if code == 0 => {
                // Without it the tool would do nothing, and the copy would look well: it holds WAL
                // beyond the fork, so it must say where it goes back to.
                self.life.home.common = waldump::common_checkpoint(&self.read(OUTPUT))
                    .or_else(|| waldump::common_checkpoint(&self.read(LOG)));
                match self.life.home.common {
                    Some(_) => {
                        self.life.home.same_timeline = None;
                        self.start_tool(job, Tool::AskSource)
                    }
                    None => fail(self.nothing_to_rewind(&said)),
                }
            }
            Tool::AskSource if code == 0 && !self.source_has_wal() => {
                fail("the source's WAL before the fork is not there any more; nothing was changed")
            }
            Tool::AskSource if code == 0 => {
                let marked = self.data.beside().set(Stage::RewindBegun);
                marked.or_else(|e| fail(format!("the marker: {e}")))?;
                self.start_tool(job, Tool::Rewind)
            }
            Tool::AskSource => fail(format!("the source does not say what WAL it has: {said}")),
            Tool::TryRewind => fail(format!("pg_rewind refuses, nothing was changed: {said}")),
            Tool::Rewind if code == 0 => Ok(Some(self.start_files(job, Files::FinishRewind))),
            Tool::Rewind => {
                fail(format!("pg_rewind ended with {code} midway: this directory is lost: {said}"))
            }
            Tool::Clone if code == 0 => Ok(Some(self.start_files(job, Files::PrepareNew))),
            Tool::Clone => fail(format!("pg_basebackup ended with {code}: {said}")),
        }
    }

    /// The tool sees nothing to rewind. Right after a promotion that is so because the source's
    /// control file still names the old timeline: then the way is not refused, it is too early.
    fn nothing_to_rewind(&mut self, said: &str) -> String {
        let now = rpc::clock::now();
        let since = *self.life.home.same_timeline.get_or_insert(now);
        let early = said.contains("same timeline")
            && !self.life.home.checkpointed
            && now.elapsed_shortest(since) < CHECKPOINT_PATIENCE;
        if early {
            format!("{SOURCE_AWAY}its last checkpoint is still on the old timeline; nothing was changed")
        } else {
            format!("pg_rewind sees nothing to rewind, nothing was changed: {said}")
        }
    }

    fn set_home_upstream(&mut self, job: &Job) -> Result<(), (StepOutcome, String)> {
        let set = self.settings.set_upstream(&job.conninfo, &job.slot);
        set.map(drop).or_else(|e| fail(e.to_string()))
    }

    fn read(&self, name: &str) -> String {
        let text = fs::read(self.data.beside().at(name)).unwrap_or_default();
        String::from_utf8_lossy(&text).into_owned()
    }

    /// A rewound copy replays from the last common checkpoint on: that WAL comes from the source.
    fn source_has_wal(&self) -> bool {
        let size = self.data.control().and_then(|c| c.more).map_or(16 << 20, |m| m.segment_size);
        let oldest = beside::segment_place(self.read(OUTPUT).trim(), size);
        let needed = self.life.home.common.map(|lsn| lsn.0 / size);
        matches!((oldest, needed), (Some(oldest), Some(needed)) if oldest <= needed)
    }

    /// The tool's last words.
    fn complaint(&self) -> String {
        let text = self.read(LOG);
        let lines: Vec<&str> = text.split(['\n', '\r']).filter(|l| !l.trim().is_empty()).collect();
        let last = lines[lines.len().saturating_sub(3)..].join(" | ");
        let skip = last.chars().count().saturating_sub(COMPLAINT_CHARS);
        last.chars().skip(skip).collect()
    }

    fn watch_tool(&self, tool: Tool, rejoin: &mut Rejoin) {
        let now = rpc::clock::now();
        let length = |name: &str| fs::metadata(self.data.beside().at(name)).map_or(0, |m| m.len());
        let said: u64 = [OUTPUT, LOG, DUMP[0], NAMES[0]].into_iter().map(length).sum();
        if said != rejoin.heard.1 {
            rejoin.heard = (now, said);
        }
        let patience = if tool == Tool::Recover { RECOVERY_SILENCE_MAX } else { SILENCE_MAX };
        if now.elapsed_shortest(rejoin.heard.0) > patience {
            tracing::error!("{tool:?} has said nothing for {patience}: it is killed");
            self.kill_all();
        }
    }

    /// What the files say, not at every turn.
    fn look_at_copy(&mut self) {
        let now = rpc::clock::now();
        let fresh = self.life.home.looked.is_some_and(|t| now.elapsed_shortest(t) < LOOK_EVERY);
        if fresh {
            return;
        }
        self.life.home.looked = Some(now);
        let task = self.life.home.rejoin.as_ref().map(|rejoin| self.task(rejoin, now));
        let down = matches!(self.life.server, Server::Down);
        let size = if down { self.life.home.size.get(self.data.path()) } else { 0 };
        let diverged = self.life.home.diverged.clone();
        self.life.home.report = Some(copy::report(&self.data, size, diverged, task));
    }

    fn task(&self, rejoin: &Rejoin, now: Moment) -> CopyTask {
        let work = match (&rejoin.step, rejoin.job.way) {
            (_, Way::Inspect { .. }) => CopyWork::Inspect,
            (Step::Tool(Tool::Recover) | Step::Ended(Tool::Recover, _), _) => CopyWork::Recover,
            (Step::Files(Files::Keep, _) | Step::Stop, Way::Rewind { .. } | Way::Clone) => CopyWork::Keep,
            (Step::Files(Files::PrepareNew, _), _) | (_, Way::Follow) => CopyWork::Swap,
            (_, Way::Rewind { .. }) => CopyWork::Rewind,
            (_, Way::Clone) => CopyWork::Clone,
        };
        let (done_kib, total_kib) = match rejoin.step {
            Step::Tool(Tool::Rewind | Tool::Clone) => copy::progress(self.data.beside(), LOG),
            _ => (0, None),
        };
        CopyTask { work, done_kib, total_kib, elapsed: now.elapsed_longest(rejoin.began) }
    }

    /// Once the copy streams, nothing of the way back is needed any more.
    fn clean_up_home(&mut self) {
        if let Some(removing) = &self.life.home.removing {
            match removing.try_recv() {
                Err(TryRecvError::Empty) => return,
                Ok(Err(e)) => tracing::warn!("the old copy can't be removed: {e}"),
                Ok(Ok(())) => tracing::info!("the old copy is removed: the new one streams"),
                Err(TryRecvError::Disconnected) => {}
            }
            self.life.home.removing = None;
        }
        if !self.streams() {
            return;
        }
        self.life.home.diverged = None;
        let beside = self.data.beside().clone();
        if beside.mark().is_some()
            && let Err(e) = beside.clear()
        {
            self.complain(&format!("the marker can't be removed: {e}"));
        }
        if beside.has_old() {
            let (sender, done) = sync_channel(1);
            let remove = move || drop(sender.send(beside.remove_old()));
            if std::thread::Builder::new().name("gate-remove".into()).spawn(remove).is_ok() {
                self.life.home.removing = Some(done);
            }
        }
    }

    /// True if the actor has seen the standby stream that runs now.
    fn streams(&self) -> bool {
        let Server::Open(open) = &self.life.server else { return false };
        let Some((asked, report)) = &self.life.database else { return false };
        open.mode == coordination::permit::Mode::Standby
            && open.stop.is_none()
            && asked.elapsed_shortest(open.since) >= STREAMS_AFTER
            && report.upstream.as_ref().is_some_and(|up| up.streaming)
    }
}

fn fork_text(job: &Job) -> String {
    match job.way {
        Way::Inspect { fork } | Way::Rewind { fork } => format!("{} on timeline {}", fork.lsn, fork.timeline),
        Way::Follow | Way::Clone => String::new(),
    }
}

/// Name of the set of what diverged there.
fn fork_name(fork: WalPosition) -> String {
    format!("t{}-{:X}", fork.timeline, fork.lsn.0)
}
