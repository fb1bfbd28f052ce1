//! Many events through one instance: each is answered once, and its processes are looked at on the way.

use std::time::Instant;

use super::measure::{Progress, blank, subject};
use super::report::{Moment, Report, Soak, Tally};
use super::runtime::{Answer, Runtime};
use super::{BenchError, Case, Setting};
use crate::emulator::EmulatorError;
use crate::progress::{Event, Reporter};

/// Where the processes are looked at, in hundredths of all events.
const LOOKS: [u64; 4] = [1, 10, 50, 100];

pub fn run(setting: &Setting, cases: &[Case], count: u64, reporter: &dyn Reporter) -> Result<Report, BenchError> {
    let stage = subject(setting)?;
    let mut runtime = Runtime::start(&stage, &setting.function)?;
    let mut tallies: Vec<Tally> =
        cases.iter().map(|case| Tally { sent: case.label.clone(), ..Tally::default() }).collect();
    let mut moments = Vec::new();
    let total = usize::try_from(count).unwrap_or(usize::MAX);
    let mut progress = Progress::begin(reporter, "Soak", total, "events through one instance");
    let started = Instant::now();
    for (done, (case, at)) in (1..=count).zip(cases.iter().zip(0..).cycle()) {
        let cycle = match runtime.invoke(&case.event) {
            Ok(cycle) => cycle,
            Err(BenchError::Emulator(EmulatorError::Interrupted)) => return Err(EmulatorError::Interrupted.into()),
            Err(cause) => return Err(BenchError::SoakEnded { count: done - 1, wanted: count, cause: Box::new(cause) }),
        };
        tallies[at].add(&cycle.answer);
        progress.reached(usize::try_from(done).unwrap_or(usize::MAX));
        let percents = LOOKS.into_iter().filter(|percent| (count * percent).div_ceil(100) == done);
        for percent in percents {
            moments.push(Moment { percent, events: done, processes: runtime.processes() });
            let rate = done as f64 / started.elapsed().as_secs_f64();
            reporter.event(Event::Done { verb: "Soak", text: format!("{percent} % after {done} events, {rate:.0}/s") });
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    let processes = runtime.processes();
    Ok(Report {
        sent: cases.iter().map(|case| case.label.clone()).collect(),
        processes,
        soak: Some(Soak {
            events: count,
            seconds: (seconds * 10.0).round() / 10.0,
            cases: tallies,
            memory_growth: growth(&moments),
            descriptor_growth: descriptors(&moments),
            moments,
        }),
        ..blank(&setting.function, &stage)
    })
}

impl Tally {
    fn add(&mut self, answer: &Answer) {
        match answer {
            Answer::Response(_) => self.responses += 1,
            Answer::Error(_) => self.errors += 1,
        }
        if let Some(status) = answer.status() {
            *self.statuses.entry(status).or_default() += 1;
        }
    }
}

/// The moments at 10 % and at the end: what an instance takes in its first minutes is no leak.
fn settled_and_last(moments: &[Moment]) -> Option<(&Moment, &Moment)> {
    Some((moments.iter().find(|moment| moment.percent == 10)?, moments.last()?))
}

fn growth(moments: &[Moment]) -> Option<f64> {
    let (settled, last) = settled_and_last(moments)?;
    let resident = |moment: &Moment| moment.processes.iter().map(|process| process.rss).sum::<u64>() as f64;
    (resident(settled) > 0.0).then(|| super::statistics::round(resident(last) / resident(settled)))
}

fn descriptors(moments: &[Moment]) -> Option<i64> {
    let (settled, last) = settled_and_last(moments)?;
    let open = |moment: &Moment| moment.processes.iter().map(|process| process.descriptors as i64).sum::<i64>();
    Some(open(last) - open(settled))
}

#[cfg(test)]
mod tests {
    use super::super::processes::Process;
    use super::*;

    fn moment(percent: u64, rss: u64, descriptors: usize) -> Moment {
        let process = Process { name: "p".into(), rss, pss: 1, descriptors };
        Moment { percent, events: percent, processes: vec![process.clone(), process] }
    }

    #[test]
    fn growth_counts_from_ten_percent_to_the_end() {
        let moments = [moment(1, 100, 1), moment(10, 1000, 5), moment(50, 9000, 9), moment(100, 1100, 7)];
        assert_eq!((growth(&moments), descriptors(&moments)), (Some(1.1), Some(4)));
        assert_eq!((growth(&moments[..1]), descriptors(&[])), (None, None));
    }

    #[test]
    fn answers_are_counted_by_kind_and_status() {
        let mut tally = Tally::default();
        for answer in [
            Answer::Response(br#"{"statusCode":404}"#.to_vec()),
            Answer::Response(b"{}".to_vec()),
            Answer::Error(b"{}".to_vec()),
        ] {
            tally.add(&answer);
        }
        assert_eq!((tally.responses, tally.errors), (2, 1));
        assert_eq!(tally.statuses.into_iter().collect::<Vec<_>>(), [(404, 1)]);
    }
}
