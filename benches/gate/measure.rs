//! Taking turns, and what comes of it.

use std::time::Duration;

use crate::peer::Peer;
use crate::tree;

/// One line of the table.
#[derive(Clone, Debug)]
pub struct Row {
    /// What was measured; `--only` looks at it.
    pub name: String,
    /// The unit of the figures.
    pub unit: &'static str,
    /// Whom the goal is about: the name of a participant.
    pub against: &'static str,
    /// The highest ratio of ours to theirs that is good enough.
    pub goal: Option<f64>,
    /// The participants, ours first.
    pub figures: Vec<Figure>,
}

/// One participant of a row.
#[derive(Clone, Debug)]
pub struct Figure {
    pub name: &'static str,
    /// The median of the rounds.
    pub median: f64,
    /// The median of ours divided by theirs, round by round.
    pub ratio: f64,
}

impl Row {
    /// The ratio that the goal is about.
    pub fn ratio(&self) -> Option<f64> {
        let peer = self.figures.iter().find(|f| f.name == self.against);
        peer.map(|figure| figure.ratio)
    }

    /// Whether the goal is reached; `None` where there is none.
    pub fn is_reached(&self) -> Option<bool> {
        Some(self.ratio()? <= self.goal?)
    }
}

/// What a row is about.
#[derive(Clone, Debug)]
pub struct About {
    pub name: String,
    pub unit: &'static str,
    pub against: &'static str,
    pub goal: Option<f64>,
}

/// Lets the participants take turns, `rounds` times; each round begins with another one, so that nobody always comes
/// first. `figure` measures one; the first participant is ours.
pub fn take_turns<P>(
    about: About,
    rounds: usize,
    participants: &mut [(&'static str, P)],
    mut figure: impl FnMut(&mut P) -> f64,
) -> Row {
    let mut figures = vec![Vec::new(); participants.len()];
    for round in 0..rounds {
        for turn in 0..participants.len() {
            let at = (round + turn) % participants.len();
            figures[at].push(figure(&mut participants[at].1));
        }
    }
    let ours = figures[0].clone();
    let figures = participants.iter().zip(figures).map(|((name, _), theirs)| {
        let ratios = ours.iter().zip(&theirs).map(|(ours, theirs)| ours / theirs);
        Figure {
            name,
            ratio: median(ratios.collect()),
            median: median(theirs),
        }
    });
    let row = Row {
        name: about.name,
        unit: about.unit,
        against: about.against,
        goal: about.goal,
        figures: figures.collect(),
    };
    crate::report::print(&row);
    row
}

/// The value in the middle.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
    }
}

/// CPU time that these servers spend while something is done.
pub fn cost(servers: &[&Peer], work: impl FnOnce()) -> Duration {
    let sum = || -> Duration { servers.iter().map(|peer| tree::cpu(peer.id())).sum() };
    let before = sum();
    work();
    sum().saturating_sub(before)
}
