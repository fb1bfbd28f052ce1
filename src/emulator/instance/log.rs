//! What an instance writes into the log, in CloudWatch's words.

use std::time::Duration;

use super::Instance;
use crate::emulator::{Invocation, Outcome};

impl Instance {
    /// The lines that end an invocation in CloudWatch.
    pub(super) fn report(&self, invocation: &Invocation) {
        let id = &invocation.request_id;
        for line in invocation.outcome.log_lines(id) {
            self.line(&line);
        }
        self.line(&format!("END RequestId: {id}"));
        let duration = milliseconds(invocation.duration);
        let mut report = format!(
            "REPORT RequestId: {id}\tDuration: {duration} ms\tBilled Duration: {} ms\tMemory Size: {} MB",
            invocation.billed_ms, self.function.memory_mb
        );
        if let Some(memory) = invocation.max_memory_mb {
            report.push_str(&format!("\tMax Memory Used: {memory} MB"));
        }
        if let Some(init) = invocation.init {
            report.push_str(&format!("\tInit Duration: {} ms", milliseconds(init)));
        }
        if let Some(restore) = invocation.restore {
            let billed = restore.as_micros().div_ceil(1000);
            let restore = milliseconds(restore);
            report.push_str(&format!("\tRestore Duration: {restore} ms\tBilled Restore Duration: {billed} ms"));
        }
        match (&invocation.outcome, invocation.outcome.error_type()) {
            (_, None) => {}
            (Outcome::TimedOut { .. }, _) => report.push_str("\tStatus: timeout"),
            (_, Some(error)) => report.push_str(&format!("\tStatus: error\tError Type: {error}")),
        }
        self.line(&report);
    }

    pub(super) fn line(&self, line: &str) {
        (self.sink)(line);
    }
}

pub fn milliseconds(time: Duration) -> String {
    format!("{:.2}", time.as_secs_f64() * 1000.0)
}
