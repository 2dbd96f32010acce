//! On a terminal: a bar on standard error while states are restored, below the log lines. Not where somebody reads the log later.

use std::io::IsTerminal as _;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::cli::log::{self, Format};
use crate::runtime::kafka::KafkaHost;
use crate::runtime::status::{Status, TaskState};

/// Time between two looks.
const LOOK: Duration = Duration::from_millis(200);

/// See the module. It goes when this is dropped.
pub struct RestoreBar(Option<(Sender<()>, JoinHandle<()>)>);

impl RestoreBar {
    /// Draws while there is something to draw.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(host: Arc<KafkaHost>, format: Format) -> std::io::Result<Self> {
        if format != Format::Text || !std::io::stderr().is_terminal() {
            return Ok(Self(None));
        }
        let (stop, stopped) = channel();
        let thread = std::thread::Builder::new().name("restore-bar".into()).spawn(move || {
            let mut bar: Option<ProgressBar> = None;
            while stopped.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
                match (progress(&host.status), &bar) {
                    (Some(progress), Some(bar)) => show(bar, &progress),
                    (Some(progress), None) => {
                        let new = drawn();
                        show(&new, &progress);
                        log::draw_below(Some(new.clone()));
                        bar = Some(new);
                    }
                    (None, Some(_)) => clear(bar.take()),
                    (None, None) => {}
                }
            }
            clear(bar);
        })?;
        Ok(Self(Some((stop, thread))))
    }
}

impl Drop for RestoreBar {
    fn drop(&mut self) {
        if let Some((stop, thread)) = self.0.take() {
            drop(stop);
            let _panicked = thread.join();
        }
    }
}

/// How far restores are.
#[derive(Debug, PartialEq, Eq)]
struct Progress {
    tasks: usize,
    done: u64,
    of: u64,
    bytes: u64,
}

/// Of all tasks that are restored now; `None`: there are none.
fn progress(status: &Status) -> Option<Progress> {
    let mut sum = Progress { tasks: 0, done: 0, of: 0, bytes: status.replayed().1 };
    for task in status.tasks().values() {
        if let TaskState::Restoring { done, of } = task.state {
            sum = Progress { tasks: sum.tasks + 1, done: sum.done + done, of: sum.of + of, ..sum };
        }
    }
    (sum.of > 0).then_some(sum)
}

fn drawn() -> ProgressBar {
    let bar = ProgressBar::new(0);
    match ProgressStyle::with_template("{msg} {wide_bar} {percent}% {eta} left") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

fn show(bar: &ProgressBar, progress: &Progress) {
    bar.set_length(progress.of);
    bar.set_position(progress.done);
    bar.set_message(format!("restoring {} tasks, {} replayed", progress.tasks, indicatif::HumanBytes(progress.bytes)));
}

fn clear(bar: Option<ProgressBar>) {
    log::draw_below(None);
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use millstream_core::task::TaskId;

    #[test]
    fn restores_are_summed_while_there_are_any() {
        let status = Status::default();
        let restoring = |partition, done, of| {
            status.task(TaskId { sub: 0, partition }, |t| t.state = TaskState::Restoring { done, of })
        };
        assert_eq!(progress(&status), None);
        restoring(0, 10, 40);
        restoring(1, 5, 20);
        status.restored(3, 2_048);
        assert_eq!(progress(&status), Some(Progress { tasks: 2, done: 15, of: 60, bytes: 2_048 }));
        restoring(0, 0, 0);
        status.task(TaskId { sub: 0, partition: 1 }, |t| t.state = TaskState::Running);
        assert_eq!(progress(&status), None, "an empty changelog is nothing to draw");
    }
}
