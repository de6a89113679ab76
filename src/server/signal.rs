//! Signals become commands: SIGTERM and SIGINT drain, a second one ends at once, SIGHUP reloads.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

/// What the server can be told while it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Read the configuration and all files again.
    Reload,
    /// Take nothing new, finish what runs; told a second time: end now.
    Stop,
}

/// Listens to this process's signals; commands are dropped when many of a kind wait (they would do the same work).
///
/// # Errors
/// The system refuses to hand over signals.
pub fn commands() -> io::Result<mpsc::Receiver<Command>> {
    let (sender, receiver) = mpsc::channel(4);
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    // Lives as long as the process: its end is the end of the runtime.
    tokio::spawn(async move {
        loop {
            let command = tokio::select! {
                _ = terminate.recv() => Command::Stop,
                _ = interrupt.recv() => Command::Stop,
                _ = hangup.recv() => Command::Reload,
            };
            match sender.try_send(command) {
                Err(mpsc::error::TrySendError::Closed(_)) => return,
                Err(mpsc::error::TrySendError::Full(Command::Stop))
                    if sender.send(command).await.is_err() =>
                {
                    return;
                }
                _ => {}
            }
        }
    });
    Ok(receiver)
}

/// Comes back when told to stop once more.
pub(super) async fn second_stop(commands: &mut mpsc::Receiver<Command>) {
    while let Some(command) = commands.recv().await {
        if command == Command::Stop {
            return;
        }
    }
    std::future::pending::<()>().await;
}
