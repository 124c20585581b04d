//! When a service that may not answer is asked: the policy source, or a registry. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

/// So many failures one after another open the circuit.
const FAILURES_MAX: usize = 5;
/// So many questions must wait before their silence counts. One alone can have been lost on its way.
const WAITING_MIN: usize = 5;
/// Silence of so long opens the circuit, if answers usually come faster.
const SILENCE_MIN: Duration = Duration::from_secs(1);
/// What counts as silence, in multiples of the slowest recent answer.
const SILENCE_FACTOR: u32 = 3;
/// An open circuit lets one question through in this time.
const PROBE_INTERVAL: Duration = Duration::from_millis(500);
/// Of the slowest recent answer, what each faster answer leaves: an outlier is forgotten after some hundred answers.
const FORGOTTEN: f64 = 0.98;

/// The questions under way, and whether new ones are asked.
#[derive(Debug, Default)]
pub(crate) struct Circuit {
    /// When each question under way was asked.
    waiting: BTreeMap<u64, Instant>,
    asked: u64,
    /// Failures since the last answer.
    failures: usize,
    answered: Option<Instant>,
    /// The time of the slowest recent answer.
    slowest: Duration,
    /// When the last question was let through, while the circuit is open.
    open: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// The question may be asked; its number.
    Asked(u64),
    /// Nobody is asked.
    Refused,
}

impl Circuit {
    pub(crate) fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Whether a question may be asked now.
    pub(crate) fn ask(&mut self, now: Instant) -> Admission {
        if self.open.is_none() && self.is_silent(now) {
            // The questions that wait are probes enough for now.
            self.open = Some(now);
        }
        match &mut self.open {
            Some(probed) if now < *probed + PROBE_INTERVAL => return Admission::Refused,
            Some(probed) => *probed = now,
            None => {}
        }
        self.asked += 1;
        self.waiting.insert(self.asked, now);
        Admission::Asked(self.asked)
    }

    /// A question has ended. Any answer closes the circuit.
    pub(crate) fn ended(&mut self, number: u64, is_answered: bool, now: Instant) {
        let Some(asked) = self.waiting.remove(&number) else { return };
        if is_answered {
            let taken = now.saturating_duration_since(asked);
            self.slowest = taken.max(self.slowest.mul_f64(FORGOTTEN));
            (self.failures, self.answered, self.open) = (0, Some(now), None);
            return;
        }
        self.failures += 1;
        if self.failures >= FAILURES_MAX {
            self.open.get_or_insert(now);
        }
    }

    /// Whether many wait, and nobody was answered since the first of them asked.
    fn is_silent(&self, now: Instant) -> bool {
        let Some(first) = self.waiting.values().next() else { return false };
        let silence = SILENCE_MIN.max(self.slowest * SILENCE_FACTOR);
        self.waiting.len() >= WAITING_MIN
            && self.answered.is_none_or(|answered| answered < *first)
            && now.saturating_duration_since(*first) >= silence
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Plays a script and says after each step whether the circuit is open.
    ///
    /// `?` asks (and must be let through), `!` asks and must be refused, `+` and `-` end the oldest question with
    /// and without an answer, a number is a pause in milliseconds.
    #[track_caller]
    fn play(script: &str) -> Circuit {
        let (mut circuit, mut now) = (Circuit::default(), Instant::now());
        for (place, word) in script.split(' ').enumerate() {
            let oldest = circuit.waiting.keys().next().copied();
            match word {
                "?" => assert_ne!(circuit.ask(now), Admission::Refused, "word {place} of {script}"),
                "!" => assert_eq!(circuit.ask(now), Admission::Refused, "word {place} of {script}"),
                "+" | "-" => circuit.ended(oldest.expect("one waits"), word == "+", now),
                pause => now += Duration::from_millis(pause.parse().expect("is a number")),
            }
        }
        circuit
    }

    #[test]
    fn failures_one_after_another_open_it_and_one_answer_closes_it() {
        assert!(!play("? - ? - ? - ? - ?").is_open());
        assert!(play("? - ? - ? - ? - ? - !").is_open());
        assert!(!play("? - ? - ? - ? - ? + ? - ? - ? - ? - ?").is_open());
        assert!(!play("? - ? - ? - ? - ? - ! 500 ? + ? ?").is_open());
    }

    #[test]
    fn while_open_one_question_an_interval_is_asked() {
        play("? - ? - ? - ? - ? - 499 ! 1 ? ! 499 ! 1 ? ! - ! 500 ? + ? ?");
    }

    #[test]
    fn silence_opens_it_when_many_wait_and_nobody_is_answered() {
        assert!(play("? ? ? ? ? 1000 !").is_open());
        assert!(!play("? ? ? ? ? 999 ?").is_open());
        // Four are few.
        assert!(!play("? ? ? ? 5000 ?").is_open());
        // One that was lost, while others are answered.
        assert!(!play("? ? ? ? ? ? + 1000 ? ? ?").waiting.is_empty());
        let (mut circuit, start) = (Circuit::default(), Instant::now());
        for _ in 0..6 {
            assert_ne!(circuit.ask(start), Admission::Refused);
        }
        circuit.ended(6, true, start + Duration::from_millis(10));
        assert_ne!(circuit.ask(start + Duration::from_secs(9)), Admission::Refused, "the fifth was lost");
    }

    #[test]
    fn a_source_that_is_always_slow_is_not_taken_for_a_dead_one() {
        assert!(!play("? 1500 + ? ? ? ? ? 1400 ?").is_open());
        assert!(!play("? 1500 + ? ? ? ? ? 4400 ?").is_open());
        assert!(play("? 1500 + 1 ? ? ? ? ? 4500 !").is_open());
    }

    #[test]
    fn a_question_that_was_answered_late_closes_it() {
        assert!(!play("? ? ? ? ? 1000 ! + ?").is_open());
    }
}
