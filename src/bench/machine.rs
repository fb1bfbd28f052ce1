//! The machine that was measured on: figures of another one cannot be compared with these.

use fs_err as fs;
use schemars::JsonSchema;
use serde::Serialize;

#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Machine {
    pub cpu: Option<String>,
    pub cores: usize,
    pub kernel: Option<String>,
    /// Processes that ran or waited to, on average of the minute before. More than the cores blurs every figure.
    pub load_before: Option<f64>,
    pub load_after: Option<f64>,
}

impl Machine {
    /// As it is now, after the measurement.
    pub fn now() -> Self {
        let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
        Self {
            cpu: model.map(|(_, name)| name.trim().to_owned()),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease").ok().map(|text| text.trim().to_owned()),
            load_before: None,
            load_after: load(),
        }
    }

    /// Whether others ran meanwhile: the bench itself keeps one processor busy.
    pub fn was_busy(&self) -> bool {
        self.load_before > Some(self.cores as f64 / 2.0)
    }
}

pub fn load() -> Option<f64> {
    fs::read_to_string("/proc/loadavg").ok()?.split(' ').next()?.parse().ok()
}
