//! What was measured, as `phplayer bench --format json` says it. Times are milliseconds, sizes bytes.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use super::machine::Machine;
use super::processes::Process;
use super::statistics::{Distribution, round};

/// The answer of `phplayer bench --format json`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Report {
    /// The form of this answer: 1.
    pub schema: u32,
    /// The phplayer that measured.
    pub phplayer: String,
    pub machine: Machine,
    pub function: Subject,
    /// What was sent: `GET /`, or an event's name or beginning.
    pub sent: Vec<String>,
    /// The HTTP status of the first answer, where it had one.
    pub status: Option<u16>,
    pub cold: Option<Cold>,
    pub warm: Option<Warm>,
    pub figures: Figures,
    /// After the last event; with `--soak` see there.
    pub processes: Vec<Process>,
    /// With `--soak` only.
    pub soak: Option<Soak>,
}

/// The function that was measured.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Subject {
    pub handler: String,
    pub layers: Vec<String>,
    pub memory_mb: u32,
    /// Names of the variables that were set beside Lambda's own.
    pub variables: Vec<String>,
    /// The size of the bootstrap's file.
    pub bootstrap: Option<u64>,
}

/// Starts: from the exec of the bootstrap, or of php-fpm.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Cold {
    pub subject: Start,
    /// php-fpm without a runtime, to the end of its first answer. None where the function is no site or the event no
    /// request.
    pub direct: Option<Distribution>,
    /// A bootstrap that does nothing; its start is that of phplayer's own executable.
    pub floor: Start,
}

#[derive(Debug, Serialize, JsonSchema)]
pub struct Start {
    /// To the first question for an event.
    pub init: Distribution,
    /// To the end of the first answer.
    pub response: Distribution,
}

/// Cycles of an instance that has answered before.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Warm {
    pub subject: Cycle,
    /// php-fpm called over FastCGI, each time on a new connection, to the end of its answer.
    pub direct: Option<Distribution>,
    pub floor: Cycle,
}

/// From the event that is handed out.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Cycle {
    /// To the end of the answer.
    pub response: Distribution,
    /// To the question for the next event.
    pub next: Distribution,
}

/// What follows from the medians.
#[derive(Debug, Default, Serialize, JsonSchema)]
pub struct Figures {
    /// subject / (floor + direct), to the answer.
    pub warm_ratio: Option<f64>,
    /// subject / floor, to the question for the next event: the whole loop.
    pub loop_ratio: Option<f64>,
    /// subject − direct, to the first answer, in milliseconds.
    pub cold_above_php_fpm: Option<f64>,
}

/// Many events through one instance.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Soak {
    /// How many were answered: all that were sent, else there is no report.
    pub events: u64,
    pub seconds: f64,
    pub cases: Vec<Tally>,
    pub moments: Vec<Moment>,
    /// From the moment at 10 % to the last: all processes together, resident bytes after to before.
    pub memory_growth: Option<f64>,
    /// The same, descriptors after less before.
    pub descriptor_growth: Option<i64>,
}

/// How often one case was answered, and how.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
pub struct Tally {
    pub sent: String,
    pub responses: u64,
    /// Answers that the runtime posted as errors.
    pub errors: u64,
    /// Of the responses that have one.
    pub statuses: BTreeMap<u16, u64>,
}

/// The instance after so many events.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Moment {
    pub percent: u64,
    pub events: u64,
    pub processes: Vec<Process>,
}

impl Figures {
    pub fn of(cold: Option<&Cold>, warm: Option<&Warm>) -> Self {
        let limits = |warm: &Warm| Some(warm.floor.response.median + warm.direct.as_ref()?.median);
        Self {
            warm_ratio: warm.and_then(|warm| Some(round(warm.subject.response.median / limits(warm)?))),
            loop_ratio: warm.map(|warm| round(warm.subject.next.median / warm.floor.next.median)),
            cold_above_php_fpm: cold
                .and_then(|cold| Some(round(cold.subject.response.median - cold.direct.as_ref()?.median))),
        }
    }
}

impl Report {
    /// The JSON schema of this answer, as it is checked in.
    pub fn schema() -> String {
        let schema = schemars::schema_for!(Report);
        let mut text = serde_json::to_string_pretty(&schema).expect("a schema is plain JSON");
        text.push('\n');
        text
    }

    pub fn json(&self) -> String {
        // Strings, numbers and lists: nothing that could not be written.
        serde_json::to_string_pretty(self).unwrap_or_default()
    }
}

/// Processes of one name: how many, and their resident bytes together.
pub fn by_name(processes: &[Process]) -> Vec<(&str, usize, u64, u64)> {
    let mut rows: Vec<(&str, usize, u64, u64)> = Vec::new();
    for process in processes {
        match rows.iter_mut().find(|(name, ..)| *name == process.name) {
            Some((_, count, rss, pss)) => {
                *count += 1;
                *rss += process.rss;
                *pss += process.pss;
            }
            None => rows.push((&process.name, 1, process.rss, process.pss)),
        }
    }
    rows
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use super::*;

    /// All values are `milliseconds`, but for a little that is added to the later ones.
    pub fn row(milliseconds: f64, count: usize) -> Distribution {
        let time = |at: usize| Duration::from_secs_f64((milliseconds + (at * at) as f64 * 0.001) / 1000.0);
        let times: Vec<Duration> = (0..count).map(time).collect();
        Distribution::of(&times).unwrap()
    }

    /// A whole report of invented values.
    pub fn report() -> Report {
        let process = |name: &str, rss: u64| Process { name: name.into(), rss, pss: rss / 2, descriptors: 7 };
        let cold = Cold {
            subject: Start { init: row(12.0, 20), response: row(14.5, 20) },
            direct: Some(row(12.5, 20)),
            floor: Start { init: row(1.0, 20), response: row(1.2, 20) },
        };
        let warm = Warm {
            subject: Cycle { response: row(0.24, 40), next: row(0.3, 40) },
            direct: Some(row(0.15, 40)),
            floor: Cycle { response: row(0.05, 40), next: row(0.08, 40) },
        };
        Report {
            schema: 1,
            phplayer: "0.1.0".into(),
            machine: Machine { cpu: None, cores: 2, kernel: None, load_before: Some(0.1), load_after: Some(1.0) },
            function: Subject {
                handler: "index.php".into(),
                layers: vec!["runtime.zip".into()],
                memory_mb: 1024,
                variables: vec![],
                bootstrap: Some(600_000),
            },
            sent: vec!["GET /".into()],
            status: Some(200),
            figures: Figures::of(Some(&cold), Some(&warm)),
            cold: Some(cold),
            warm: Some(warm),
            processes: vec![
                process("bootstrap", 1_000_000),
                process("php-fpm: master process", 20_000_000),
                process("php-fpm: pool www", 12_000_000),
            ],
            soak: None,
        }
    }

    #[test]
    fn the_figures_are_ratios_of_medians() {
        let report = report();
        let warm = report.warm.as_ref().unwrap();
        let limits = warm.floor.response.median + warm.direct.as_ref().unwrap().median;
        assert_eq!(report.figures.warm_ratio, Some(round(warm.subject.response.median / limits)));
        assert_eq!(report.figures.loop_ratio, Some(round(warm.subject.next.median / warm.floor.next.median)));
        assert_eq!(report.figures.cold_above_php_fpm, Some(2.0));
        let nothing = Figures::of(None, None);
        assert_eq!((nothing.warm_ratio, nothing.loop_ratio, nothing.cold_above_php_fpm), (None, None, None));
    }

    #[test]
    fn processes_of_one_name_are_counted_together() {
        let worker = Process { name: "w".into(), rss: 2, pss: 1, descriptors: 3 };
        let other = Process { name: "b".into(), ..worker.clone() };
        assert_eq!(by_name(&[worker.clone(), other, worker]), [("w", 2, 4, 2), ("b", 1, 2, 1)]);
    }
}
