//! The measurement itself: cold starts and warm cycles of the three, in turn.

use std::time::Duration;

use super::direct::Direct;
use super::machine::Machine;
use super::processes::Process;
use super::report::{Cold, Cycle, Figures, Report, Start, Subject, Warm};
use super::role::{self, Role};
use super::runtime::{self, Answer, Runtime};
use super::stage::Stage;
use super::statistics::Distribution;
use super::{BenchError, Case, Setting};
use crate::emulator::Function;
use crate::progress::{Event, Reporter};

/// How often a warm instance is asked before its times count: PHP compiles at the first, and caches fill.
const WARM_UP: usize = 20;
/// How often long work says how far it is.
const SAY: Duration = Duration::from_secs(10);

/// The three, each with what it is asked.
struct Trio<'a> {
    function: &'a Function,
    event: &'a [u8],
    subject: Stage,
    direct: Option<(Stage, Vec<u8>)>,
    floor: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    Subject,
    Direct,
    Floor,
}

/// What the unmeasured first start showed.
struct First {
    status: Option<u16>,
    processes: Vec<Process>,
}

pub fn compare(
    setting: &Setting,
    case: &Case,
    cold: usize,
    warm: usize,
    reporter: &dyn Reporter,
) -> Result<Report, BenchError> {
    let mut trio = Trio::new(setting, case, reporter)?;
    let first = trio.first(case, reporter)?;
    let cold = trio.cold(cold, reporter)?;
    let (warm, processes) = match trio.warm(warm, reporter)? {
        Some((warm, processes)) => (Some(warm), processes),
        None => (None, first.processes),
    };
    Ok(Report {
        sent: vec![case.label.clone()],
        status: first.status,
        figures: Figures::of(cold.as_ref(), warm.as_ref()),
        cold,
        warm,
        processes,
        ..blank(&setting.function, &trio.subject)
    })
}

/// A report of which only the surroundings are known.
pub fn blank(function: &Function, subject: &Stage) -> Report {
    let bootstrap = subject.bootstrap().and_then(|path| fs_err::metadata(path).ok());
    Report {
        schema: 1,
        phplayer: env!("CARGO_PKG_VERSION").to_owned(),
        machine: Machine::now(),
        function: Subject {
            handler: function.handler.clone(),
            layers: function.layers.iter().map(|layer| layer.display().to_string()).collect(),
            memory_mb: function.memory_mb,
            variables: function.env.keys().cloned().collect(),
            bootstrap: bootstrap.map(|facts| facts.len()),
        },
        sent: vec![],
        status: None,
        cold: None,
        warm: None,
        figures: Figures::default(),
        processes: vec![],
        soak: None,
    }
}

/// The function's own runtime, unpacked.
pub fn subject(setting: &Setting) -> Result<Stage, BenchError> {
    let stage = Stage::new(Role::Subject, &setting.function, &setting.executable)?;
    match stage.bootstrap() {
        Some(_) => Ok(stage),
        None => {
            let task = setting.function.task.clone();
            Err(crate::emulator::EmulatorError::NoBootstrap { task }.into())
        }
    }
}

impl<'a> Trio<'a> {
    fn new(setting: &'a Setting, case: &'a Case, reporter: &dyn Reporter) -> Result<Self, BenchError> {
        let function = &setting.function;
        let subject = subject(setting)?;
        let direct = match case.fastcgi(function) {
            Some(request) if subject.has_php_fpm() => {
                Some((Stage::new(Role::Direct, function, &setting.executable)?, request))
            }
            Some(_) => {
                let (php, config) = (role::PHP, role::FPM_CONF);
                let text = format!("the layers lack {php} or {config}: php-fpm is not measured beside the function");
                reporter.event(Event::Warning { text });
                None
            }
            None => None,
        };
        let floor = Stage::new(Role::Floor, function, &setting.executable)?;
        Ok(Self { function, event: &case.event, subject, direct, floor })
    }

    /// Starts and asks each once, unmeasured: the files are in the page cache then, and it is known that they answer.
    fn first(&mut self, case: &Case, reporter: &dyn Reporter) -> Result<First, BenchError> {
        let warn = |text: String| reporter.event(Event::Warning { text });
        let mut runtime = Runtime::start(&self.subject, self.function)?;
        let answer = answered(&mut runtime, self.event)?.answer;
        let first = First { status: answer.status(), processes: runtime.processes() };
        if let Some(status @ 400..) = first.status {
            warn(format!("{} is answered with status {status}", case.label));
        }
        drop(runtime);
        if let Some((stage, request)) = &self.direct {
            let status = Direct::start(stage, self.function)?.call(request)?.status;
            if first.status.is_some_and(|ours| ours != status) {
                warn(format!(
                    "php-fpm, called directly, answers {} with status {status}: it may not do the same work",
                    case.label
                ));
            }
        }
        answered(&mut Runtime::start(&self.floor, self.function)?, self.event)?;
        Ok(first)
    }

    fn cold(&mut self, count: usize, reporter: &dyn Reporter) -> Result<Option<Cold>, BenchError> {
        let mut progress = Progress::begin(reporter, "Cold", count, "starts of each, in turn");
        let (mut subject, mut direct, mut floor) = (Starts::default(), Vec::new(), Starts::default());
        for done in 0..count {
            for who in order(done) {
                match (who, &self.direct) {
                    (Who::Subject, _) => subject.add(&self.subject, self)?,
                    (Who::Floor, _) => floor.add(&self.floor, self)?,
                    (Who::Direct, Some((stage, request))) => {
                        let fpm = Direct::start(stage, self.function)?;
                        direct.push(fpm.since_exec(&fpm.call(request)?));
                    }
                    (Who::Direct, None) => {}
                }
            }
            progress.reached(done + 1);
        }
        Ok(match (subject.report(), floor.report()) {
            (Some(subject), Some(floor)) => Some(Cold { subject, direct: Distribution::of(&direct), floor }),
            _ => None,
        })
    }

    fn warm(&mut self, count: usize, reporter: &dyn Reporter) -> Result<Option<(Warm, Vec<Process>)>, BenchError> {
        if count == 0 {
            return Ok(None);
        }
        let mut progress = Progress::begin(reporter, "Warm", count, "events to each, in turn");
        let mut runtime = Runtime::start(&self.subject, self.function)?;
        let mut nothing = Runtime::start(&self.floor, self.function)?;
        let fpm = match &self.direct {
            Some((stage, request)) => Some((Direct::start(stage, self.function)?, request)),
            None => None,
        };
        let (mut subject, mut direct, mut floor) = (Cycles::default(), Vec::new(), Cycles::default());
        for turn in 0..WARM_UP + count {
            let counts = turn >= WARM_UP;
            for who in order(turn) {
                match (who, &fpm) {
                    (Who::Subject, _) => subject.add(&answered(&mut runtime, self.event)?, counts),
                    (Who::Floor, _) => floor.add(&answered(&mut nothing, self.event)?, counts),
                    (Who::Direct, Some((fpm, request))) => {
                        let call = fpm.call(request)?;
                        if counts {
                            direct.push(call.response());
                        }
                    }
                    (Who::Direct, None) => {}
                }
            }
            progress.reached((turn + 1).saturating_sub(WARM_UP));
        }
        let processes = runtime.processes();
        Ok(match (subject.report(), floor.report()) {
            (Some(subject), Some(floor)) => {
                Some((Warm { subject, direct: Distribution::of(&direct), floor }, processes))
            }
            _ => None,
        })
    }
}

/// A cycle that ended well.
fn answered(runtime: &mut Runtime, event: &[u8]) -> Result<runtime::Cycle, BenchError> {
    let cycle = runtime.invoke(event)?;
    match &cycle.answer {
        Answer::Response(_) => Ok(cycle),
        Answer::Error(error) => {
            let error = String::from_utf8_lossy(error).into_owned();
            Err(BenchError::FunctionFailed { error, log: runtime.last_lines() })
        }
    }
}

/// Who comes first changes, so that nobody always follows the same one.
fn order(turn: usize) -> [Who; 3] {
    let mut all = [Who::Subject, Who::Direct, Who::Floor];
    all.rotate_left(turn % 3);
    all
}

#[derive(Default)]
struct Starts {
    init: Vec<Duration>,
    response: Vec<Duration>,
}

impl Starts {
    fn add(&mut self, stage: &Stage, trio: &Trio<'_>) -> Result<(), BenchError> {
        let mut runtime = Runtime::start(stage, trio.function)?;
        let cycle = answered(&mut runtime, trio.event)?;
        self.init.push(runtime.init);
        self.response.push(runtime.since_exec(&cycle));
        Ok(())
    }

    fn report(&self) -> Option<Start> {
        Some(Start { init: Distribution::of(&self.init)?, response: Distribution::of(&self.response)? })
    }
}

#[derive(Default)]
struct Cycles {
    response: Vec<Duration>,
    next: Vec<Duration>,
}

impl Cycles {
    fn add(&mut self, cycle: &runtime::Cycle, counts: bool) {
        if counts {
            self.response.push(cycle.response());
            self.next.push(cycle.next());
        }
    }

    fn report(&self) -> Option<Cycle> {
        Some(Cycle { response: Distribution::of(&self.response)?, next: Distribution::of(&self.next)? })
    }
}

/// Says what begins, and now and then how far it is.
pub struct Progress<'a> {
    reporter: &'a dyn Reporter,
    verb: &'static str,
    total: usize,
    said: std::time::Instant,
}

impl<'a> Progress<'a> {
    pub fn begin(reporter: &'a dyn Reporter, verb: &'static str, total: usize, what: &str) -> Self {
        if total > 0 {
            reporter.event(Event::Done { verb, text: format!("{total} {what}") });
        }
        Self { reporter, verb, total, said: std::time::Instant::now() }
    }

    pub fn reached(&mut self, done: usize) {
        if self.said.elapsed() >= SAY && done < self.total {
            self.said = std::time::Instant::now();
            self.reporter.event(Event::Done { verb: self.verb, text: format!("{done} of {}", self.total) });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_of_the_three_comes_first_equally_often() {
        for who in [Who::Subject, Who::Direct, Who::Floor] {
            assert_eq!((0..30).filter(|turn| order(*turn)[0] == who).count(), 10);
            assert!((0..3).all(|turn| order(turn).contains(&who)));
        }
    }
}
