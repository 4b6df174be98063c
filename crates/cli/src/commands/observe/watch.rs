//! Reading a job's rings until it is over, and what to say where there are none.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ccl_agent::observe::inspector::InspectorFiles;
use ccl_agent::observe::report::{Depth, Report};
use ccl_agent::observe::rings::{Refusal, Rings};
use ccl_agent::observe::table::Table;

use super::ObserveArgs;
use super::screen::Screen;
use crate::error::{CommandError, CommandResult, ExitKind};

/// Between two readings: a ring of 8,192 records then lasts for 40,000 collectives a second.
const READ_EVERY: Duration = Duration::from_millis(200);
/// Readings of one table that is not followed: a job that refills its rings would never be read.
const MOST_READINGS: usize = 16;

/// A channel on which Ctrl-C arrives.
fn interrupts() -> Receiver<()> {
    let (sender, receiver) = channel();
    // A second handler in one process is refused; the first one is ours, so that is no loss.
    let _ = ctrlc::set_handler(move || {
        let _ = sender.send(());
    });
    receiver
}

fn interrupted() -> CommandError {
    CommandError::bad_input("interrupted; the job goes on as it was")
        .kind(ExitKind::Interrupted)
        .help("what the ranks were asked to record stays as it is")
}

/// Lets time pass; true on an interrupt.
fn pause(interrupts: &Receiver<()>, time: Duration) -> bool {
    match interrupts.recv_timeout(time) {
        Ok(()) => true,
        Err(RecvTimeoutError::Timeout) => false,
        // Without a handler nobody sends, and Ctrl-C ends the process.
        Err(RecvTimeoutError::Disconnected) => {
            std::thread::sleep(time);
            false
        }
    }
}

/// A job that is being observed.
pub(super) struct Watch<'a> {
    job: &'a Path,
    rings: Rings,
    table: Table,
    inspector: Option<(InspectorFiles, &'a Path)>,
}

impl<'a> Watch<'a> {
    /// Checks the folders and asks nothing of the ranks yet.
    ///
    /// # Errors
    /// No directory of the job; a folder for the inspector's files that cannot be made.
    pub(super) fn new(args: &'a ObserveArgs) -> Result<Self, CommandError> {
        let job = args.job.as_path();
        if !job.is_dir() {
            return Err(
                CommandError::bad_input(format!("no directory {}", job.display())).help(
                    "--job names the directory that CCL_AGENT_JOB names for the ranks, on this machine",
                ),
            );
        }
        let mut rings = Rings::new(job);
        rings.ask(
            args.depth.map(|depth| Depth::from(depth).kinds()),
            args.sample,
        );
        let inspector = match args.inspector.as_deref() {
            Some(folder) => {
                let files = InspectorFiles::new(folder).map_err(|e| unwritable(folder, &e))?;
                Some((files, folder))
            }
            None => None,
        };
        Ok(Self {
            job,
            rings,
            table: Table::default(),
            inspector,
        })
    }

    fn find(&mut self) -> CommandResult {
        self.rings.find().map_err(|error| {
            CommandError::bad_input(format!("cannot list {}: {error}", self.job.display()))
                .help("observe as the user who runs the job")
        })
    }

    /// Whether there is anything to read, after that long.
    fn are_there(&self, waited: Duration) -> CommandResult {
        if self.rings.processes() > 0 {
            return Ok(());
        }
        let job = self.job.display();
        if let Some(pid) = self.observer() {
            return Err(
                CommandError::bad_input(format!("{job}: process {pid} observes this job"))
                    .help("a record is read once: end that observer, or use what it writes"),
            );
        }
        let unreadable: Vec<String> = self
            .rings
            .refused()
            .map(|(path, why)| format!("{}: {why}", path.display()))
            .collect();
        if !unreadable.is_empty() {
            return Err(CommandError::bad_input(unreadable.join("\n")).help(
                "the plugin's rings can be read by the user who runs the job, with the observer of the \
                 same version; remove what is left of other jobs",
            ));
        }
        let waited = match waited.as_secs_f64() {
            0.0 => String::new(),
            seconds => format!(" after {seconds} s"),
        };
        Err(
            CommandError::bad_input(format!("no rank records in {job}{waited}")).help(format!(
                "start the job with NCCL_PROFILER_PLUGIN=/path/to/libnccl-ccl-agent.so and \
                 CCL_AGENT_JOB={job} (NCCL 2.23 or newer);\nwith NCCL_DEBUG=INFO the plugin says what it \
                 records and where"
            )),
        )
    }

    /// Another observer, where nothing is left for this one.
    fn observer(&self) -> Option<u32> {
        self.rings.refused().find_map(|(_, why)| match why {
            Refusal::Observed(pid) => Some(*pid),
            _ => None,
        })
    }

    fn wait_for_ranks(&mut self, most: Duration, interrupts: &Receiver<()>) -> CommandResult {
        let began = Instant::now();
        loop {
            self.find()?;
            let is_over = began.elapsed() >= most || self.observer().is_some();
            if self.rings.processes() > 0 || is_over {
                return self.are_there(most);
            }
            if pause(interrupts, READ_EVERY.min(most)) {
                return Err(interrupted());
            }
        }
    }

    /// Reads what is there and shows it.
    ///
    /// # Errors
    /// Nothing that can be read, files that cannot be written.
    pub(super) fn once(&mut self, screen: &mut Screen) -> CommandResult {
        self.find()?;
        self.are_there(Duration::ZERO)?;
        for _ in 0..MOST_READINGS {
            if self.read()? == 0 {
                break;
            }
        }
        screen.show(&self.report(true)).map(drop)
    }

    /// Waits for ranks, then shows a table now and again until all of them are over.
    ///
    /// # Errors
    /// Nothing that can be read, files that cannot be written, an interrupt.
    pub(super) fn follow(&mut self, args: &ObserveArgs, screen: &mut Screen) -> CommandResult {
        let interrupts = interrupts();
        self.wait_for_ranks(args.wait, &interrupts)?;
        while self.show_next(args.every, &interrupts, screen)? == ControlFlow::Continue(()) {}
        Ok(())
    }

    /// Shows a table and reads until the next is due; `Break` when it was the last.
    fn show_next(
        &mut self,
        every: Duration,
        interrupts: &Receiver<()>,
        screen: &mut Screen,
    ) -> Result<ControlFlow<()>, CommandError> {
        self.find()?;
        self.read()?;
        let mut is_interrupted = false;
        let mut is_last = self.rings.living() == 0;
        if is_last {
            // A rank can have been alive at the reading and gone at the question.
            is_interrupted = pause(interrupts, READ_EVERY);
            is_last = self.read()? == 0;
        }
        if !is_interrupted {
            let shown = screen.show(&self.report(is_last))?;
            if is_last || shown == ControlFlow::Break(()) {
                return Ok(ControlFlow::Break(()));
            }
        }
        let next = Instant::now() + every;
        while !is_interrupted && Instant::now() < next {
            let left = next.saturating_duration_since(Instant::now());
            is_interrupted = pause(interrupts, left.min(READ_EVERY));
            self.read()?;
        }
        if is_interrupted {
            // That nobody reads it changes nothing now.
            let _ = screen.show(&self.report(true))?;
            return Err(interrupted());
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Reads what is in the rings; how many records that was.
    fn read(&mut self) -> Result<u64, CommandError> {
        let (table, inspector) = (&mut self.table, &mut self.inspector);
        let mut written = Ok(());
        let count = self.rings.drain(|seen| {
            table.add(&seen);
            if let (Some((files, _)), true) = (inspector.as_mut(), written.is_ok()) {
                written = files.write(&seen);
            }
        });
        if let Some((files, folder)) = inspector {
            let written = written.and_then(|()| files.flush());
            written.map_err(|error| unwritable(folder, &error))?;
        }
        Ok(count)
    }

    fn report(&self, is_last: bool) -> Report {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let at_us = now.map_or(0, |now| u64::try_from(now.as_micros()).unwrap_or(u64::MAX));
        let mut report = Report::new(self.job, at_us, is_last, &self.rings, &self.table);
        let left_out = self.inspector.as_ref().map(|(files, _)| files.left_out());
        report.lost.without_inspector_line = left_out.unwrap_or(0);
        report
    }
}

fn unwritable(folder: &Path, error: &std::io::Error) -> CommandError {
    CommandError::bad_input(format!("cannot write to {}: {error}", folder.display()))
        .help("name a folder you can write to with --inspector")
}
